"""Jobs of a sweep on the GPUs of this machine: one for each GPU at a time, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from vqgen.environment.launcher import JOB
from vqgen.environment.signals import KILL, asked, listen, listening
from vqgen.errors import ConfigError, Interruption
from vqgen.runs.claim import in_use
from vqgen.runs.leaderboard import PLUGINS, UNFINISHED, job_at, write_job

VISIBLE = "CUDA_VISIBLE_DEVICES"
_LOG = "output.log"  # in the folder of a job: what it prints
_PAUSE = 0.2  # seconds between two looks at the processes


class _Job(NamedTuple):
    """A job that waits or runs: its number in the sweep, its words with Hydra's own, those of the task, its folder."""

    number: int
    overrides: list[str]
    words: list[str]
    folder: Path


class LocalGPUs(Launcher):
    """Starts a job where a GPU is free, and the next one when it has ended, well or not.

    A job is this very program with the same words and one more, sees no GPU but its own, and prints into `output.log`
    of its folder. What came of it stands there as well, as with any launcher.

    Args:
        devices: the GPUs, as CUDA_VISIBLE_DEVICES takes them; `["0,1", "2,3"]` gives each job two; None for all.
    """

    def __init__(self, devices: Sequence[int | str] | None = None) -> None:
        self.devices = None if devices is None else [str(device) for device in devices]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Find the GPUs.

        Raises:
            ConfigError: there are none, or one is named twice.
        """
        self.config, self.hydra_context = config, hydra_context
        if self.devices is None:
            self.devices = gpus()
        if not self.devices:
            raise ConfigError(
                "hydra/launcher=local_gpus: this machine has no GPU; hydra/launcher=joblib runs jobs on its cores"
            )
        if len(set(self.devices)) < len(self.devices):
            raise ConfigError(f"hydra.launcher.devices=[{','.join(self.devices)}]: one GPU is named twice")

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs, and return the objective of each, None where it failed.

        Raises:
            Interruption: a signal asked to stop; the jobs were handed it, and have ended.
        """
        jobs = [self._job(number, [*words]) for number, words in enumerate(job_overrides, initial_job_idx)]
        waiting, running = jobs[::-1], dict[str, tuple[_Job, subprocess.Popen[bytes]]]()
        handed_on = False

        def send(number: int) -> None:
            for _, process in running.values():
                process.send_signal(number)

        try:
            with listening():
                listen(send)
                while running or (waiting and not asked()):
                    for device in self.devices or ():
                        if device not in running and waiting and not asked():
                            job = waiting.pop()
                            running[device] = job, _start(job, device)
                            print(f"GPU {device}: job {job.number}, {job.folder / _LOG}", flush=True)
                    if (number := asked()) and not handed_on:
                        send(number)
                        handed_on = True
                    for device, (job, process) in [*running.items()]:
                        if process.poll() is not None:
                            del running[device]
                            print(f"GPU {device}: job {job.number} {_ended(job, process.returncode)}", flush=True)
                    time.sleep(_PAUSE)
        finally:
            send(KILL)
        if number := asked():
            raise Interruption(f"by {signal.Signals(number).name}; the same words with hydra.sweep.dir go on")
        return [_returned(job) for job in jobs]

    def _job(self, number: int, overrides: list[str]) -> _Job:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.num = number
        sweep = config.hydra.sweep
        return _Job(number, overrides, [*config.hydra.overrides.task], Path(sweep.dir) / str(sweep.subdir))


class OneJob(Sweeper):
    """In the process of a job: runs it, whatever the sweep of the words would be."""

    launcher: Any

    def __init__(self, **of_the_sweep: Any) -> None:
        pass

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make Hydra's launcher for jobs in this process."""
        (basic,) = (one for one in Plugins.instance().discover(Launcher) if one.__name__ == "BasicLauncher")
        self.launcher = basic()
        self.launcher.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        """Run the job."""
        job = json.loads(os.environ.pop(JOB))
        self.launcher.launch([job["overrides"]], initial_job_idx=job["number"])


def gpus() -> list[str]:
    """The GPUs that a process of this one would see.

    Another process looks: one that has looked cannot hide GPUs from itself any more.
    """
    count = "from vqgen import devices; print(devices.num_gpus())"
    found = int(subprocess.run([sys.executable, "-c", count], check=True, stdout=subprocess.PIPE).stdout)
    visible = os.environ.get(VISIBLE)
    return [one.strip() for one in visible.split(",")][:found] if visible else [str(number) for number in range(found)]


def _start(job: _Job, device: str) -> "subprocess.Popen[bytes]":
    job.folder.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, *sys.argv, f"hydra.sweeper._target_={PLUGINS}.{OneJob.__name__}"]
    mine = {VISIBLE: device, JOB: json.dumps({"overrides": job.overrides, "number": job.number})}
    with (job.folder / _LOG).open("ab") as log:
        return subprocess.Popen(program, env=os.environ | mine, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _ended(job: _Job, status: int) -> str:
    """How a job ended, noted in its folder where it could not do so itself."""
    found = job_at(job.folder)
    if (found is None or found.error == UNFINISHED) and not in_use(job.folder):
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        write_job(job.folder, job.words, None, f"its process ended {how}: see '{job.folder / _LOG}'")
        found = job_at(job.folder)
    return "still runs elsewhere" if found is None else found.told


def _returned(job: _Job) -> JobReturn:
    found, returned = job_at(job.folder), JobReturn()
    returned.overrides, returned.status = job.words, JobStatus.COMPLETED
    returned.return_value = None if found is None or found.error else found.objective
    return returned

"""`hydra/sweeper=optuna`: searches by the command line, and the words that do not fit one."""

import csv
import signal
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf
from PIL import Image

from tests.conftest import ROOT, TINY, Command
from vqgen.config.check import check
from vqgen.config.overrides import preflight
from vqgen.config.search_path import SearchPath
from vqgen.environment.hydra_versions import allowing
from vqgen.errors import ConfigError
from vqgen.runs.allow_list import PROGRAM
from vqgen.runs.leaderboard import PLUGINS, best, job_at, read_jobs, write_job
from vqgen.sweeps import LocalGPUs, OneJob, OptunaSweeper, register
from vqgen.sweeps.search import require_optuna

SHORT = [*TINY, "data.num_train=32", "trainer.max_epochs=1", "logger=csv", "callbacks=checkpoints"]
SEARCH = ["-m", "hydra/sweeper=optuna", *SHORT]


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "leaderboard.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def optuna() -> None:
    pytest.importorskip("optuna", minversion="4")


def test_pruned_jobs_stand_between_those_that_ended_and_those_that_failed(tmp_path: Path):
    for number, (objective, error, pruned) in enumerate(
        [(None, "broke", None), (0.1, None, "after epoch 1"), (0.5, None, None), (0.4, None, None)]
    ):
        write_job(tmp_path / str(number), [f"seed={number}"], objective, error, pruned)
    jobs = read_jobs(tmp_path)
    assert [Path(job.folder).name for job in jobs] == ["3", "2", "1", "0"]
    assert [job.told for job in jobs] == ["0.4", "0.5", "0.1, pruned after epoch 1", "failed: broke"]
    assert best(jobs[0], ["seed"])[0] == f"Best: seed=3 (0.4): python sample.py run={tmp_path / '3'}"
    assert best(jobs[-1], ["seed"]) == []


def test_where_more_is_better_the_greatest_is_the_best(tmp_path: Path):
    for number in range(3):
        write_job(tmp_path / str(number), [f"seed={number}"], float(number))
        (tmp_path / str(number) / "config.yaml").write_text("callbacks:\n  best:\n    mode: max\n")
    assert [job.objective for job in read_jobs(tmp_path)] == [2.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["hydra.sweeper.n_trial=3"], "there is no option hydra.sweeper.n_trial .did you mean hydra.sweeper.n_trials"),
        (["hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: expected at least 1"),
        (["hydra.sweeper.n_jobs=many"], "hydra.sweeper.n_jobs=many: expected int"),
        (["hydra.sweeper.max_failure_rate=2"], "hydra.sweeper.max_failure_rate=2: expected from 0 to 1"),
        (["hydra.sweeper.direction=min"], "hydra.sweeper.direction=min: take minimize"),
        (
            ["hydra.sweeper.direction=maximize"],
            "direction=maximize: take minimize: the objective is the best val/recon_loss",
        ),
        (["hydra.sweeper.direction=[minimize,maximize]"], "direction=.*: take minimize"),
        (
            ["hydra.sweeper.sampler.sed=1"],
            "no option hydra.sweeper.sampler.sed .did you mean hydra.sweeper.sampler.seed",
        ),
        (["hydra.sweeper.sampler.n_ei_candidates=x"], "n_ei_candidates=x: expected int"),
        (["hydra.sweeper.sampler._target_=os.system"], "sampler._target_=os.system: no class of optuna.samplers"),
        (
            ["hydra.sweeper.pruner._target_=optuna.pruners.Median"],
            "no class of optuna.pruners .did you mean MedianPruner",
        ),
        (["optim.lrr=interval(1e-4,1e-2)"], "there is no option optim.lrr .did you mean optim.lr"),
        (["optim.lr=interval(1e-4,-1)"], "optim.lr=-1.0: expected above 0"),
        (["model=vae"], "choice.64, 128, 256, 512.: there is no option model.quantizer"),
        (["model=vqvae,vqvae3"], "model=vqvae3: there is no such choice"),
    ],
)
@pytest.mark.usefixtures("optuna")
def test_words_that_fit_no_search_are_one_line(words: list[str], told: str):
    register()
    with pytest.raises(ConfigError, match=told) as error:
        preflight(SearchPath("train"), ["sweep=optuna", *words], check)
    assert "\n" not in str(error.value)


def test_a_sweep_of_the_config_is_checked_as_words_are():
    with pytest.raises(ConfigError, match=r"64,128,256,512,1024: there is no option model.quantizer"):
        preflight(SearchPath("train"), ["sweep=codebook_size", "model=vae"], check)


@pytest.mark.usefixtures("optuna")
def test_words_of_the_command_line_come_before_those_of_the_config():
    register()
    preflight(
        SearchPath("train"),
        ["sweep=optuna", "model=vqvae", "optim.lr=choice(1e-3,1e-2)", "hydra.sweeper.n_trials=3"],
        check,
    )


def test_without_optuna_or_with_an_old_one_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    class Old:
        __version__ = "2.10.1"

    for module, told in ((None, "Optuna is not installed"), (Old, "Optuna 2.10.1 is too old")):
        monkeypatch.setitem(sys.modules, "optuna", module)
        with pytest.raises(ConfigError, match=rf"hydra/sweeper=optuna: {told}: pip install 'vqgen\[sweep\]'"):
            require_optuna()
        with pytest.raises(ConfigError, match=told):
            preflight(SearchPath("train"), ["sweep=optuna"], check)


@pytest.mark.parametrize(("plugin", "options"), [(OneJob, {}), (LocalGPUs, {}), (OptunaSweeper, {"sampler": {}})])
def test_hydra_may_build_our_plugins_which_1_4_has_a_list_for(plugin: type, options: dict):
    register()
    assert any(fnmatch(f"{plugin.__module__}.{plugin.__name__}", name) for name in PROGRAM)
    with allowing(PROGRAM):
        node = OmegaConf.create({"_target_": f"{PLUGINS}.{plugin.__name__}", **options})
        assert type(Plugins.instance()._instantiate(node)) is plugin


def test_the_plugin_of_that_name_makes_way():
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="optuna", node={"defaults": [{"sampler": "tpe"}], "_target_": "other"})
    store.store(group="hydra/sweeper/sampler", name="tpe", node={"_target_": "other"})
    register()
    with SearchPath("train").opened() as search_path:
        cfg = search_path.compose(["hydra/sweeper=optuna"], with_hydra=True)
    assert cfg.hydra.sweeper._target_ == f"hydra_plugins.vqgen.{OptunaSweeper.__name__}"
    assert cfg.hydra.sweeper.sampler._target_ == "optuna.samplers.TPESampler"


@pytest.mark.slow
@pytest.mark.usefixtures("optuna")
def test_trials_that_end_are_pruned_or_fail_are_each_told_as_what_they_are(command: Command, tmp_path: Path):
    """A grid of four, in which one epoch is never pruned, two are after the first, and downsampling=3 fails."""
    words = [
        *[word for word in SEARCH if not word.startswith("trainer.max_epochs")],
        "hydra/sweeper/sampler=grid",
        "hydra/sweeper/pruner=none",
        "hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner",
        "+hydra.sweeper.pruner.upper=0.0",
        "trainer.max_epochs=choice(1,2)",
        "model.encoder.downsampling=choice(4,3)",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    ]
    done = command("train.py", *words, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    rows = table(tmp_path / "sweep")
    assert [(row["trainer.max_epochs"], row["model.encoder.downsampling"]) for row in rows[:2]] == [
        ("1", "4"),
        ("2", "4"),
    ]
    assert [row["pruned"] for row in rows] == ["", "after epoch 1", "", ""]
    assert all("downsampling=3" in row["error"] for row in rows[2:])
    assert "pruned after epoch 1 |" in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.startswith("Best: "))
    assert line.startswith("Best: trainer.max_epochs=1 model.encoder.downsampling=4 (")
    assert line.endswith(f"python sample.py run={rows[0]['folder']}")
    assert "Traceback" not in done.stderr
    job = job_at(Path(rows[1]["folder"]))
    assert job is not None
    assert job.pruned == "after epoch 1"
    assert (Path(rows[1]["folder"]) / "checkpoints" / "best.ckpt").exists()
    assert Image.open(tmp_path / "sweep" / "search_history.png").size[0] > 500


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("optuna")
def test_a_killed_search_goes_on_with_the_same_trials(command: Command, tmp_path: Path):
    """Trials of two epochs of two steps: the second one is killed at its last step. The storage knows the folder."""
    sweep = tmp_path / "sweep"
    words = [
        *SEARCH,
        "trainer.max_epochs=2",
        "data.batch_size=11",
        "trainer.log_every_n_steps=1",
        "optim.lr=tag(log, interval(1e-4, 1e-2))",
        f"hydra.sweeper.storage=sqlite:///{tmp_path}/s.db",
    ]
    first = command("train.py", *words, f"hydra.sweep.dir={sweep}", "hydra.sweeper.n_trials=1", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    words.append("hydra.sweeper.n_trials=3")
    line = [sys.executable, "-m", "tests.killed", "3", *words]
    killed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    ended = {file: file.stat().st_mtime for file in (sweep / "0").rglob("*")}
    begun = job_at(sweep / "1")
    assert begun is not None
    assert begun.objective is None
    done = command("train.py", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {file: file.stat().st_mtime for file in (sweep / "0").rglob("*")} == ended
    again = job_at(sweep / "1")
    assert again is not None
    assert again.overrides == begun.overrides
    rows = csv.DictReader((sweep / "1" / "metrics.csv").read_text().splitlines())
    assert [int(row["step"]) for row in rows if row["train/loss"]] == [0, 1, 2, 3]
    assert sorted(Path(row["folder"]).name for row in table(sweep)) == ["0", "1", "2"]
    assert all(row["objective"] for row in table(sweep))
    other = command("train.py", *words, "seed=3", cwd=tmp_path)
    assert other.returncode == 2
    assert "holds a search of other words, with '' where this one has 'seed=3'" in other.stderr
    assert len(other.stderr.strip().splitlines()) == 1


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("optuna")
def test_commands_side_by_side_and_parallel_jobs_share_the_trials(command: Command, tmp_path: Path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = [
        *SEARCH,
        "optim.lr=interval(1e-4,1e-2)",
        "hydra.sweeper.n_trials=4",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    ]
    joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2"]
    line = [sys.executable, str(ROOT / "train.py"), *words]
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as beside:
        done = command("train.py", *words, *joblib, cwd=tmp_path)
        out, err = beside.communicate(timeout=300)
    assert (done.returncode, beside.returncode) == (0, 0), done.stderr + err
    assert sorted(Path(row["folder"]).name for row in table(tmp_path / "sweep")) == ["0", "1", "2", "3"]
    assert len({row["optim.lr"] for row in table(tmp_path / "sweep")}) == 4
    assert done.stdout.count("Run folder: ") + out.count("Run folder: ") == 4
    assert out.count("Run folder: ") in (1, 2, 3)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("optuna")
def test_a_trial_of_two_processes_is_pruned_as_a_whole(command: Command, tmp_path: Path):
    two = ["hardware=ddp", "hardware.devices=2", "hardware.accelerator=cpu", "hardware.precision=32-true"]
    words = [
        *[word for word in SEARCH if not word.startswith(("hardware", "trainer.max_epochs"))],
        *two,
        "hardware.num_workers=0",
        "data.batch_size=8",
        "trainer.max_epochs=3",
        "hydra.sweeper.n_trials=1",
        "hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner",
        "~hydra.sweeper.pruner.n_startup_trials",
        "+hydra.sweeper.pruner.upper=0.0",
        "optim.lr=interval(1e-4,1e-2)",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    ]
    done = command("train.py", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = table(tmp_path / "sweep")
    assert row["pruned"] == "after epoch 1"
    assert "Traceback" not in done.stderr

"""A search lasts: each trial is run by one process, whoever else is killed, and none is drawn twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from vqgen.errors import ConfigError, FolderError
from vqgen.runs.leaderboard import write_job

pytest.importorskip("optuna", minversion="4")

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from vqgen.sweeps.plots import HISTORY, IMPORTANCE, draw, importances
from vqgen.sweeps.samplers import made
from vqgen.sweeps.search import Search, Taken
from vqgen.sweeps.space import Space
from vqgen.sweeps.storage import located, storage_at

TPE = {"_target_": "optuna.samplers.TPESampler", "seed": 0, "n_startup_trials": 2}
GRID = {"_target_": "optuna.samplers.GridSampler", "seed": 0}
SPACE = Space([], {"lr": FloatDistribution(1e-4, 1e-2, log=True), "k": CategoricalDistribution(["64", "128"])})


@pytest.fixture(params=["journal", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return located(None if request.param == "journal" else f"sqlite:///{tmp_path}/s.db", tmp_path / "sweep")


def search(tmp_path: Path, storage: str, space: Space = SPACE, sampler: dict = TPE, **words: str) -> Search:
    return Search(tmp_path / "sweep", storage, "vqgen", "minimize", words, space, sampler)


def end(one: Search, trial: Taken, objective: float | None = None, **more: str) -> None:
    write_job(one.folder / str(trial.number), [f"lr={trial.params['lr']}"], objective, **more)
    one.tell(trial.number)


def test_two_workers_share_the_trials_and_draw_what_one_would(tmp_path: Path, storage: str):
    alone = search(tmp_path / "alone", located(None, tmp_path / "alone" / "sweep"))
    drawn = []
    for _ in range(4):
        (trial,) = alone.take(1, 4)
        drawn.append(trial)
        end(alone, trial, 1.0)
    assert alone.take(1, 4) == []
    one, other = search(tmp_path, storage), search(tmp_path, storage)
    (first,), second = one.take(1, 4), other.take(2, 4)
    assert [first, *second] == [*drawn[:2], second[1]]  # the third is drawn before the first two have ended
    assert [trial.number for trial in second] == [1, 2]
    assert one.running() == other.running() == [0, 1, 2]
    end(one, first, 1.0)
    for trial in second:
        end(other, trial, 1.0)
    assert one.take(2, 4) == [drawn[3]]
    assert other.take(2, 4) == []
    assert other.running() == [3]


def test_a_trial_of_a_killed_process_is_taken_again_with_its_values(tmp_path: Path, storage: str):
    code = (
        "import os, sys; from pathlib import Path; from tests.sweeps.test_search import *;"
        "print(*search(Path(sys.argv[1]), sys.argv[2]).take(2, 3), sep='\\n', flush=True); os.kill(os.getpid(), 9)"
    )
    line = [sys.executable, "-c", code, str(tmp_path), storage]
    killed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    one = search(tmp_path, storage)
    taken = one.take(3, 3)
    assert [str(trial) for trial in taken[:2]] == killed.stdout.splitlines()
    assert [trial.number for trial in taken] == [0, 1, 2]


def test_what_was_told_last_is_kept(tmp_path: Path, storage: str):
    one = search(tmp_path, storage)
    trials = one.take(3, 3)
    one.study.get_trials()
    end(one, trials[0], 0.5)
    end(one, trials[1], 0.7, pruned="after epoch 1")
    end(one, trials[2], None, error="broke")
    again = search(tmp_path, storage)
    states = [trial.state for trial in again.study.trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert again.study.best_value == 0.5
    assert again.take(1, 3) == []
    assert sorted(path.name for path in (tmp_path / "sweep" / "0").iterdir()) == ["job.json"]


def test_a_trial_whose_run_goes_on_in_a_process_of_its_own_is_left_alone(tmp_path: Path):
    storage = located(None, tmp_path / "sweep")
    one = search(tmp_path, storage)
    one.take(1, 1)
    one._let_go(0)  # as if the sweep were killed, and the job's process were not
    code = (
        "import sys, time; from pathlib import Path; from vqgen.runs.claim import hold;"
        "hold(Path(sys.argv[1])); print(flush=True); time.sleep(60)"
    )
    line = [sys.executable, "-c", code, str(tmp_path / "sweep" / "0")]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        job.stdout.readline()
        assert one.take(1, 1) == []
        assert one.running() == [0]
        job.kill()
        job.wait()
    assert [trial.number for trial in one.take(1, 1)] == [0]


def test_a_grid_visits_every_point_once(tmp_path: Path):
    space = Space([], {"lr": CategoricalDistribution(["1", "2"]), "k": CategoricalDistribution(["3", "4", "5"])})
    visited = []
    for _ in range(3):  # three starts
        one = search(tmp_path, located(None, tmp_path / "sweep"), space, GRID)
        for trial in one.take(2, 6):
            visited.append(tuple(trial.params.values()))
            end(one, trial, 1.0)
    assert sorted(visited) == [(lr, k) for lr in "12" for k in "345"]


def test_a_study_of_other_words_another_folder_or_another_program_is_refused(tmp_path: Path, storage: str):
    search(tmp_path, storage, seed="0")
    with pytest.raises(
        FolderError, match=r"other words, with 'seed=0' where this one has 'seed=1', under .*study_name"
    ):
        search(tmp_path, storage, seed="1")
    with pytest.raises(FolderError, match=rf"its runs elsewhere.*hydra.sweep.dir=.*{tmp_path.name}/sweep"):
        Search(tmp_path / "other", storage, "vqgen", "minimize", {"seed": "0"}, SPACE, TPE)
    optuna.create_study(storage=storage_at(storage), study_name="mine").ask()
    with pytest.raises(FolderError, match="trials of another program"):
        Search(tmp_path / "other", storage, "mine", "minimize", {}, SPACE, TPE)


@pytest.mark.parametrize("content", ["garbage", "hello\nworld\n", '{"a": 1}\n', "[1]\n"])
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path: Path, content: str):
    (tmp_path / "file").write_text(content)
    with pytest.raises(ConfigError, match="no journal of Optuna; a database is given as sqlite:///FILE"):
        search(tmp_path, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == content


def test_what_optuna_cannot_read_is_told_in_one_line_without_passwords(tmp_path: Path):
    (tmp_path / "newer").write_text(json.dumps({"op_code": 99, "worker_id": "x"}) + "\n")
    (tmp_path / "garbage.db").write_text("garbage")
    for storage, told in (
        (str(tmp_path / "newer"), "cannot read or write it .*or the version that wrote it"),
        (f"sqlite:///{tmp_path}/garbage.db", "file is not a database"),
        (f"sqlite:///{tmp_path}/none/s.db", "unable to open database file"),
        ("nothing://me:secret@host/db", r"nothing://me:\*\*\*@host/db: Optuna .* cannot read"),
    ):
        with pytest.raises(ConfigError, match=told) as error:
            search(tmp_path, storage)
        assert "\n" not in str(error.value)
        assert "secret" not in str(error.value)


def test_a_line_that_a_killed_process_left_unfinished_is_taken_out_of_the_journal(tmp_path: Path):
    storage = located(None, tmp_path / "sweep")
    before = search(tmp_path, storage).take(1, 2)
    with open(storage, "a") as journal:
        journal.write('{"op_code":5,"work')
    again = search(tmp_path, storage)
    again.take(1, 2)
    assert [json.loads(line) for line in Path(storage).read_text().splitlines()]
    assert again.study.trials[0].params == before[0].params


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ({"_target_": "optuna.samplers.TPESamplr"}, "no class of optuna.samplers .did you mean TPESampler"),
        ({"_target_": "os.system"}, "sampler._target_=os.system: no class of optuna.samplers"),
        (
            {"_target_": "optuna.samplers.RandomSampler", "sed": "1"},
            "hydra.sweeper.sampler: RandomSampler: .*sed",
        ),
    ],
)
def test_a_sampler_that_there_is_not_is_told(node: dict[str, str], told: str):
    with pytest.raises(ConfigError, match=told):
        made(node, "samplers")


def test_the_pictures_show_what_matters(tmp_path: Path):
    one = search(tmp_path, located(None, tmp_path / "sweep"))
    for number in range(12):
        (trial,) = one.take(1, 12)
        if number == 3:
            end(one, trial, None, error="broke")
        elif number == 5:
            end(one, trial, 2.0, pruned="after epoch 1")
        else:
            end(one, trial, trial.params["lr"])
    assert list(draw(one.study, tmp_path)) == [str(tmp_path / HISTORY), str(tmp_path / IMPORTANCE)]
    found = importances(one.study)
    assert found["lr"] > 0.8
    assert sum(found.values()) == pytest.approx(1)


def test_too_few_trials_tell_nothing(tmp_path: Path):
    one = search(tmp_path, located(None, tmp_path / "sweep"))
    assert list(draw(one.study, tmp_path)) == []
    for trial in one.take(2, 2):
        end(one, trial, 1.0)
    lines = list(draw(one.study, tmp_path))
    assert "note: no search_importance.png" in lines[1]

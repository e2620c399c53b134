"""What the loggers write, read back from their files."""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import wandb_file
from tests.conftest import TINY, TINY_PRIOR, Command
from vqgen.logging.journal import Journal
from vqgen.logging.loggers import CSV, Wandb
from vqgen.runs.checkpoint import open_run


@pytest.fixture(autouse=True)
def without_wandb_service() -> Iterator[None]:
    """Once a run was begun in this process, W&B gives its service to all that are started later: end it."""
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()
        sys.modules["wandb.sdk.lib.wbauth"].unauthenticate_session(update_settings=False)


@pytest.mark.slow
def test_two_epochs_with_the_real_wandb_client_hold_all_that_is_promised(vqvae_run: Path):
    rows = wandb_file.rows(vqvae_run)
    keys = {key for row in rows for key in row}
    assert {"val/loss", "val/perplexity", "test/recon_loss", "val/codes", "val/reconstructions"} <= keys
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    usage = next(row["val/codes"] for row in rows if "val/codes" in row)
    assert usage["_type"] == "histogram"
    assert sum(usage["values"]) == 32 * 4 * 4  # validation images, positions of a map
    assert len(list(vqvae_run.glob("wandb/latest-run/files/media/images/val/*.png"))) == 2
    configs = [r.run.config for r in wandb_file.records(vqvae_run) if r.WhichOneof("record_type") == "run"]
    configs += [r.config for r in wandb_file.records(vqvae_run) if r.WhichOneof("record_type") == "config"]
    config = {item.key: json.loads(item.value_json) for part in configs for item in part.update}
    assert config["model"]["_target_"] == "vqgen.models.VQVAE"
    assert config["code_version"]


@pytest.mark.slow
def test_several_loggers_at_once_log_speed_and_gradients(command: Command, tmp_path: Path):
    words = [*TINY, "logger=[csv,tensorboard]", "trainer.max_epochs=1", "trainer.log_every_n_steps=1"]
    done = command("train.py", *words, f"run_dir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
    with (tmp_path / "run" / "metrics.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["train/loss"]]
    assert all(float(row["train/grad_norm"]) > 0 for row in rows)
    assert all(float(row["train/images_per_second"]) > 0 for row in rows)


def _artifacts(run: Path) -> dict[str, dict[str, Any]]:
    """Facts of the artifacts in the latest part of a run, by their names."""
    found = [r.artifact for r in wandb_file.records(run) if r.WhichOneof("record_type") == "artifact"]
    return {one.name: json.loads(one.metadata) for one in found}


@pytest.mark.long
@pytest.mark.slow
def test_artifacts_lead_from_samples_to_the_prior_to_its_tokenizer(command: Command, tmp_path: Path):
    tokenizer, prior = tmp_path / "tokenizer", tmp_path / "prior"
    words = {tokenizer: TINY, prior: ["model=gated_pixelcnn", f"tokenizer={tokenizer}", *TINY_PRIOR]}
    for run, options in words.items():
        done = command("train.py", *options, "trainer.max_epochs=1", "logger.wandb.artifacts=true", f"run_dir={run}")
        assert done.returncode == 0, done.stderr
    (name,) = _artifacts(tokenizer)
    assert name == f"tokenizer-{open_run(prior).tokenizer['fingerprint']}"
    assert [facts["used"] for facts in _artifacts(prior).values()] == [[name]]
    (made,) = _artifacts(prior)
    done = command("sample.py", f"run={prior}", "num_samples=2", "log=true", "seed=5")
    assert done.returncode == 0, done.stderr
    ((drawn, facts),) = _artifacts(prior).items()
    assert drawn == f"sample-{made.removeprefix('prior-')}"
    assert (facts["used"], facts["seed"]) == ([made], 5)


@pytest.mark.slow
def test_a_logger_of_lightning_itself_can_be_added(command: Command, tmp_path: Path):
    run = tmp_path / "run"
    own = "+logger.board={_target_: pytorch_lightning.loggers.TensorBoardLogger, save_dir: '${run_dir}/board'}"
    words = [*TINY, "logger=csv", own, "trainer.max_epochs=1", "trainer.log_every_n_steps=1"]
    done = command("train.py", *words, f"run_dir={run}")
    assert done.returncode == 0, done.stderr
    first = set(run.glob("board/**/events.*"))
    assert first
    done = command("train.py", f"resume={run}", "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    assert "TensorBoardLogger cannot go back: what it has of later steps than 3 stays" in done.stderr
    assert set(run.glob("board/**/events.*")) > first
    done = command("sample.py", "task=evaluate", "metrics=[reconstruction]", f"run={run}")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_logger_whose_package_is_missing_is_told_in_one_line(command: Command, tmp_path: Path):
    own = "+logger.own={_target_: pytorch_lightning.loggers.CometLogger}"
    done = command("train.py", *TINY, "logger=csv", own, f"run_dir={tmp_path / 'run'}")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: logger.own: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_run_without_any_logger(command: Command, tmp_path: Path):
    done = command("train.py", *TINY, "logger=none", "trainer.max_epochs=1", f"run_dir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"config.yaml", "composed.yaml", "checkpoints", "images"}


def test_a_rewound_csv_is_that_of_a_run_that_stopped_there(tmp_path: Path):
    logger = CSV(str(tmp_path))
    for step in range(5):
        logger.log_metrics({"a": step / 10}, step)
        logger.save()
    before = (tmp_path / "metrics.csv").read_text()
    logger.log_metrics({"b": 1.0}, 5)
    logger.save()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("0.5,")  # a row cut short by a kill
    CSV(str(tmp_path)).rewind(5, 0)
    assert (tmp_path / "metrics.csv").read_text().splitlines() == before.splitlines()


def test_rows_of_the_step_in_hand_are_not_those_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    logger = Wandb(str(tmp_path), "test", id="x")
    logger.rewind(0, 0)
    for step, value in ((0, 1.0), (0, 2.0), (3, 3.0), (4, 4.0)):
        logger.log_metrics({"a": value}, step)
    assert logger.rows_before(4) == 3  # the last row belongs to step 4, which a resumed run does again
    assert logger.rows_before(5) == 4
    logger.close()
    resumed = Wandb(str(tmp_path), "test", id="x")
    resumed.rewind(4, 3)
    assert resumed.rows_before(4) == 3
    resumed.close()
    assert len((tmp_path / "wandb" / "rows.jsonl").read_text().splitlines()) == 3


def test_a_row_that_a_kill_cut_short_is_none(tmp_path: Path):
    (tmp_path / "wandb").mkdir()
    (tmp_path / "metrics.csv").write_text("a,step\n0.1,100\n0.2,101\n0.3,10")  # of step 102
    CSV(str(tmp_path)).rewind(102, 0)
    assert (tmp_path / "metrics.csv").read_text().splitlines() == ["a,step", "0.1,100", "0.2,101"]
    journal = Journal(tmp_path, "wandb")
    journal.add({"step": 0, "metrics": {"a": 1.0}})
    with journal.file.open("a") as file:
        file.write('{"step": 1, "met')
    assert [row["metrics"] for row in journal.keep(10)] == [{"a": 1.0}]
    journal.add({"step": 1})
    assert len(journal.keep(10)) == 2


def test_pictures_that_are_gone_are_left_out(tmp_path: Path):
    (tmp_path / "run" / "wandb").mkdir(parents=True)
    journal = Journal(tmp_path / "run", "wandb")
    for name in ("run/a.png", "run/b.png", "c.png"):
        (tmp_path / name).touch()
        journal.add({"step": 0, "images": {"x": journal.noted([str(tmp_path / name)])}})
    (tmp_path / "run" / "b.png").unlink()
    (tmp_path / "run").rename(tmp_path / "moved")
    there = Journal(tmp_path / "moved", "wandb")
    assert [row["images"] for row in there.keep(10)] == [{"x": ["a.png"]}, {}, {}]
    assert (there.folder / "a.png").exists()


def test_without_a_network_a_run_with_credentials_is_kept_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import wandb

    begin, modes = wandb.init, []

    def init(**options: Any) -> Any:
        modes.append(options["mode"])
        if options["mode"] == "online":
            raise wandb.errors.CommError("no such host\nwhile retrying")
        return begin(**options)

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setenv("WANDB_API_KEY", 40 * "a")
    logger = Wandb(str(tmp_path), "test", id="x")
    with pytest.warns(UserWarning, match=r"W&B cannot be used online \(no such host\); the run is kept offline"):
        logger.log_hyperparams({})
    monkeypatch.delenv("WANDB_API_KEY")
    logger.log_metrics({"a": 1.0}, 0)
    logger.close()
    wandb.teardown()  # its service writes until it ends
    assert modes == ["online", "offline"]
    assert [row["a"] for row in wandb_file.rows(tmp_path)] == [1.0]

"""A run or a sweep whose files hold anything still has a page, or an error in a line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tasks import evaluated, tiny
from tests.tasks.test_report import SMALL, Elements, commands, read, report, sections, with_record
from vqgen import open_trained
from vqgen.errors import UserError
from vqgen.runs.folders import without_home
from vqgen.runs.leaderboard import read_jobs, write_job
from vqgen.runs.sweep import sweep_at
from vqgen.tasks.page import of_run, of_sweep
from vqgen.tasks.report import FILE, Report


def page_of(run: Path) -> Elements:
    return read(Report(**SMALL)(open_trained(run)).files[FILE])


@pytest.mark.parametrize(
    "metrics", [{"a": 10**400}, {"a": float("nan"), "b": float("inf")}, {"a": -float("inf"), "b": True}, {"a": [1]}]
)
def test_a_figure_that_is_no_finite_number_is_none(prior_run: Path, tmp_path: Path, metrics: dict[str, object]):
    page = page_of(with_record(prior_run, tmp_path, metrics=metrics | {"told": 4.25}))
    assert "told4.25" in page.text.replace("\n", "")
    assert not {"nan", "inf", "a", "b"} & {*page.titles()}


CURVES = "metrics.csv has no figure of two steps or more"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("step,epoch,train/loss\n0,0," + "9" * 200_000 + "\n1,0,3\n", CURVES),
        ("step,epoch,train/loss\n0,0,1\n", CURVES),
        ("", CURVES),
        (None, "no metrics.csv is beside the weights"),
        ("step,epoch,train/loss,val/loss\n0,0,5e-324,5e-324\n1,0,5e-324,1e308\n", ""),
    ],
)
def test_curves_are_drawn_or_the_page_says_why_not(vqvae_run: Path, tmp_path: Path, text: str | None, told: str):
    run = Path(shutil.copytree(vqvae_run, tmp_path / "run"))
    (run / "metrics.csv").unlink()
    if text is not None:
        (run / "metrics.csv").write_text(text)
    page = page_of(run)
    assert told in page.text
    assert ("Training" in sections(page)) == (not told)


CONFIGS: dict[str, Any] = {
    "callbacks": [[1, 2], {"averaged_weights": {"decay": "x"}}, {"averaged_weights": "x"}, {"best": "x"}],
    "optim": ["x", {"_target_": 5, "lr": float("nan")}],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in CONFIGS.items() for value in values])
def test_a_config_of_other_types_has_a_page(vqvae_run: Path, tmp_path: Path, key: str, value: object):
    run = _changed(vqvae_run, tmp_path, lambda ours: ours["config"].update({key: value}))
    assert "Lineage" in sections(page_of(run))


@pytest.mark.parametrize("path", [5, None])
def test_a_tokenizer_whose_place_is_no_path_is_told_in_a_line(prior_run: Path, tmp_path: Path, path: object):
    run = _changed(prior_run, tmp_path, lambda ours: ours["tokenizer"].update(path=path))
    with pytest.raises(UserError, match=r"its vqgen\.tokenizer is not as it should be"):
        open_trained(run)


def test_the_commands_of_a_run_that_was_gone_on_with_are_a_line_each(vqvae_run: Path, tmp_path: Path):
    words = ["--config-dir=mine", "model=vqvae", "resume=runs/x", "optim.lr=0.1", "resume=runs/x", "seed=2"]
    run = _changed(vqvae_run, tmp_path, lambda ours: ours.update(words=words))
    text = page_of(run).text
    assert "python train.py --config-dir=mine model=vqvaeThe model was gone on with by" in text
    assert "python train.py resume=runs/x optim.lr=0.1The model was gone on with by" in text
    assert "python train.py resume=runs/x seed=2\n" in text


def test_half_of_a_pair_of_surrogates_is_shown_as_a_question_mark(vqvae_run: Path, tmp_path: Path):
    run = _changed(vqvae_run, tmp_path, lambda ours: ours.update(words=["tags=[\udcff]"]))
    assert "tags=[?]" in page_of(run).text


def _changed(run: Path, folder: Path, change: Callable[[Any], object]) -> Path:
    """A copy of a run, what its checkpoint says of itself changed."""
    copy = Path(shutil.copytree(run, folder / "run"))
    file = copy / "checkpoints" / "best.ckpt"
    contents = torch.load(file, weights_only=True)
    change(contents["vqgen"])
    torch.save(contents, file)
    return copy


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """A sweep of two jobs without runs."""
    for number, rate in enumerate(("1e-3", "3e-3")):
        write_job(tmp_path / str(number), [f"optim.lr={rate}"], 0.5 + number)
    return tmp_path


def _with_job(folder: Path, **values: object) -> None:
    (folder / "0" / "job.json").write_text(
        json.dumps({"overrides": {"optim.lr": "1e-3"}, "objective": 0.5, "error": None} | values)
    )


@pytest.mark.parametrize("objective", [float("nan"), float("inf"), -float("inf"), 10**400, "0.1", True, [1]])
def test_a_job_whose_objective_is_no_finite_number_has_failed(jobs: Path, objective: object):
    _with_job(jobs, objective=objective)
    assert [Path(job.folder).name for job in read_jobs(jobs)] == ["1", "0"]
    sweep = sweep_at(str(jobs))
    assert sweep
    assert sweep.best
    assert sweep.best.folder == str(jobs / "1")
    assert "no finite number" in sweep.jobs[1].told
    read(Report().of_sweep(sweep, open_trained).files[FILE])


@pytest.mark.parametrize("value", [5, "nan", "inf", None, [1], "\udcff"])
def test_an_option_of_a_job_may_be_anything(jobs: Path, value: object):
    _with_job(jobs, overrides={"optim.lr": value})
    sweep = sweep_at(str(jobs))
    assert sweep
    read(Report().of_sweep(sweep, open_trained).files[FILE])


@pytest.mark.parametrize("config", [b"a: [1", b"a: \xff", b"[" * 100_000])
def test_a_config_of_the_best_job_that_cannot_be_read_is_told_in_a_line(jobs: Path, config: bytes):
    (jobs / "0" / "config.yaml").write_bytes(config)
    with pytest.raises(UserError, match="cannot be read") as told:
        sweep_at(str(jobs))
    assert "\n" not in str(told.value)


def test_a_job_of_many_brackets_is_told_in_a_line(jobs: Path):
    (jobs / "0" / "job.json").write_text("[" * 200_000)
    with pytest.raises(UserError, match="cannot be read"):
        sweep_at(str(jobs))


def test_jobs_that_were_cut_short_are_marked_in_the_charts(jobs: Path):
    write_job(jobs / "2", ["optim.lr=1e-2"], 0.1, pruned="after 1 epoch")
    sweep = sweep_at(str(jobs))
    assert sweep
    charts = [
        part.charts[0] for section in of_sweep.sections(sweep) for part in section.parts if "charts" in vars(part)
    ]
    marked = {one.name: len(one.points) for one in charts[0].series if one.mark == "dots"}
    assert marked == {"pruned or failed": 1, "ended": 2}


@pytest.mark.parametrize("text", ["a={}/x", 'a="{}/x"', "a=[{}/x,b]", "no '{}': gone", "a={}"])
def test_ones_home_is_a_tilde_wherever_it_stands(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert without_home(text.format(tmp_path)) == text.format("~")
    assert without_home(text.format(f"{tmp_path}2")) == text.format(f"{tmp_path}2")
    monkeypatch.setenv("HOME", "/")
    assert without_home(text.format(tmp_path)) == text.format(tmp_path)


def test_paths_between_few_images_are_between_those_that_there_are():
    trained = tiny.trained(tiny.vqvae2())
    few = evaluated.images(num_test=3)
    few.setup("test")
    page = report(trained._replace(images=lambda: few))
    assert "Interpolations" in sections(page)
    assert {"first=[0]", "second=[1]"} <= {*commands(page, "interpolate")[0]}


def test_the_first_figure_of_priors_is_that_of_whole_images():
    figures = {"nats_per_code_top": 1.0, "code_bits_given_label": 20.0}
    assert list(of_run.headline(figures)) == [("code_bits_given_label", "20")]

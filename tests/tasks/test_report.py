"""A report is one file that loads and runs nothing, says what it lacks, and fits what the run can do."""

import json
import shlex
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import Command, composed
from tests.tasks import evaluated, tiny
from vqgen import open_trained
from vqgen.drawing import FixedPoint, LinearGuidance, Raster, Sampler, Sampling
from vqgen.errors import DataError, UserError, typed
from vqgen.models.ae import AE
from vqgen.runs.folders import shown_runs
from vqgen.runs.leaderboard import write_job
from vqgen.runs.sweep import sweep_at
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks import facts
from vqgen.tasks.page.page import MOST, Page, Section
from vqgen.tasks.page.picture import Pictures, row
from vqgen.tasks.reconstruct import Reconstruct
from vqgen.tasks.report import FILE, Report
from vqgen.tasks.words import Opened

SMALL = {"num_images": 3, "num_samples": 6, "num_measured": 8}
SCRIPT = "<script>alert('x')</script>"
IMAGE = "<img src=https://example.com/x onerror=alert(1)>"


class Elements(HTMLParser):
    """The tags of a page with their attributes, its text and its styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.style, self._inside = "", "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.style += data
        else:
            self.text += data

    def titles(self) -> list[str]:
        return [title for title in self.text.split("\n") if title]


def read(report: bytes) -> Elements:
    """The elements of a page, which is looked through for what it might load or run."""
    assert len(report) <= MOST
    found = Elements(report.decode())
    policy = next(a["content"] for tag, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert (policy or "").startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert not {"script", "link", "iframe", "object", "embed", "form", "base", "use"} & {tag for tag, _ in found.tags}
    for tag, attributes in found.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "srcset", "data", "xlink:href", "poster"):
                assert str(value).startswith("#s" if tag == "a" else "data:image/"), (tag, name)
            if name == "style":
                assert "url" not in str(value)
    assert "url(" not in found.style
    assert "@import" not in found.style
    return found


def sections(page: Elements) -> set[str]:
    """Titles of the sections."""
    return {name for name in TITLES if f"\n{name}\n" in page.text}


TITLES = (
    *("Samples", "Reconstructions", "Completions", "Levels", "Codebooks", "Latent space", "Traversals"),
    *(
        "Interpolations",
        "Figures",
        "Training",
        "Training of the prior",
        "Lineage",
        "Make it again",
        "Left out",
        "Leaderboard",
    ),
)


def report(trained: TrainedRun, **options: int) -> Elements:
    return read(Report(**(SMALL | options))(trained).files[FILE])


def of_priors() -> TrainedRun:
    return tiny.trained(tiny.vqvae2(), tiny.priors(6))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (of_priors, {"Samples", "Reconstructions", "Completions", "Levels", "Codebooks", "Interpolations"}),
        (lambda: tiny.trained(tiny.vqvae2()), {"Reconstructions", "Levels", "Codebooks", "Interpolations"}),
        (
            lambda: tiny.trained(tiny.latent_model()),
            {"Samples", "Reconstructions", "Latent space", "Traversals", "Interpolations"},
        ),
        (
            lambda: tiny.trained(tiny.latent_model(AE, 5)),
            {"Reconstructions", "Latent space", "Traversals", "Interpolations"},
        ),
        (lambda: evaluated.trained(evaluated.classifier()), set()),
    ],
    ids=["priors", "VQ-VAE-2", "VAE of two dimensions", "AE", "classifier"],
)
def test_a_report_has_what_the_run_can_do_and_nothing_else(make: Any, expected: set[str]):
    page = report(make())
    assert sections(page) - {"Left out"} == expected | {"Figures"}
    assert all("src" in attributes for tag, attributes in page.tags if tag == "img")


def hostile(prior_run: Path, folder: Path) -> Path:
    """A prior whose names, values and files are HTML wherever a stranger may write some."""
    run = Path(shutil.copytree(prior_run, folder / "<b>prior"))
    for file in (run / "checkpoints" / "best.ckpt", run / "tokenizer.ckpt"):
        contents = torch.load(file, weights_only=True)
        ours = contents["vqgen"]
        names = [SCRIPT, "<b>", *ours["config"]["facts"]["class_names"][2:]]
        ours["config"]["facts"]["class_names"] = ours["data"]["class_names"] = names
        ours["config"]["trainer"]["profiler"] = SCRIPT
        ours["code_version"], ours["words"] = SCRIPT, [f"tags=[{SCRIPT}]"]
        torch.save(contents, file)
    header, *rows = (run / "metrics.csv").read_text().splitlines()
    rows = [f"{line},{number}" for number, line in enumerate(rows)]
    (run / "metrics.csv").write_text("\n".join([f"{header},val/{IMAGE}", *rows, "nonsense,,,\0"]) + "\n")
    step = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["global_step"]
    record = {"step": step, "steps": {"<b>prior": step}, "num_images": 3, "split": SCRIPT, "classifier": IMAGE}
    (run / "evaluate").mkdir()
    (run / "evaluate" / "evaluation.json").write_text(json.dumps(record | {"metrics": {IMAGE: 1.0, "odd": SCRIPT}}))
    return run


def test_the_report_of_a_strangers_run_runs_and_loads_nothing(prior_run: Path, tmp_path: Path):
    run = hostile(prior_run, tmp_path)
    html = Report(**SMALL)(open_trained(run)).files[FILE]
    page = read(html)
    assert b"<script" not in html
    assert b"<img src=https" not in html
    assert b"<b>" not in html
    for shown in (SCRIPT, IMAGE, "<b>prior", f"val/{IMAGE}".removeprefix("val/"), f"profiler: {SCRIPT}"):
        assert shown in page.text, shown


def test_what_the_images_are_needed_for_is_left_out_and_said_where_they_are_not_here(prior_run: Path):
    def gone() -> Any:
        raise DataError("data.root=there: no such folder.")

    outcome = Report(**SMALL)(open_trained(prior_run)._replace(images=gone))
    page = read(outcome.files[FILE])
    assert {"Samples", "Training of the prior", "Lineage", "Make it again", "Left out"} <= sections(page)
    assert not {"Reconstructions", "Completions", "Codebooks"} & sections(page)
    assert ": data.root=there: no such folder." in page.text
    assert page.text.count("no such folder") == 1  # one reason, told once
    assert "Completions" in outcome.text


def test_a_priors_report_tells_its_lineage_its_figures_and_how_to_make_it_again(prior_run: Path, vqvae_run: Path):
    trained = open_trained(prior_run)
    page = report(trained)
    tokenizer = trained.runs[1].tokenizer
    assert tokenizer
    for told in (
        "96 train, 32 val, 32 test",
        "circle, square, triangle",
        f"fingerprint{tokenizer['fingerprint']}",
        "python train.py model=gated_pixelcnn",
        "model.network.num_layers=2",
        "At the end of the training of RasterPrior (GatedPixelCNN), on the test split",
        "At the end of the training of VQVAE, on the test split",
        "Training of the tokenizer",
        "Training of the prior",
        f"task=evaluate 'metrics=[likelihood]' num_samples=8 {typed('run', shown_runs([prior_run]))}",
        "best val/loss",
    ):
        assert told in page.text.replace("\n", ""), told
    assert "run_dir=" not in page.text


def test_pictures_of_large_images_are_made_smaller_until_the_page_fits():
    rng = np.random.default_rng(0)
    rows = [row(f"row {i}", rng.integers(0, 256, (8, 3, 400, 400), np.uint8)) for i in range(12)]
    html = Page("large", "Run", "", [], [Section("Noise", [Pictures(rows)])]).html()
    page = read(html)
    assert len(html) > MOST / 3
    assert sum(tag == "img" for tag, _ in page.tags) == 12


def test_a_page_whose_words_alone_are_too_many_is_an_error_in_a_line():
    with pytest.raises(UserError, match="is not written: its text alone is above 5,000,000 bytes"):
        Page("x" * MOST, "Run", "", [], []).html()


def test_a_row_keeps_the_pixels_of_small_images_with_gaps_that_are_clear():
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 16, 16), np.uint8)
    picture = row("x", images, empty=[2])
    assert picture.pixels.shape == (16, 50, 4)
    assert (picture.pixels[:, 17:33, 0] == images[1, 0]).all()
    assert (picture.pixels[:, 16, 3] == 0).all()
    assert (picture.pixels[:, 34:, 3] == 0).all()


@pytest.fixture
def sweep(vqvae_run: Path, tmp_path: Path) -> Path:
    """Two jobs that ended, one that failed and one that was pruned."""
    folder = tmp_path / "a sweep"
    for number, (rate, objective) in enumerate([("1e-3", 0.7), ("3e-3", 0.5)]):
        shutil.copytree(vqvae_run, folder / str(number))
        write_job(folder / str(number), [f"optim.lr={rate}", f"tags=[{SCRIPT}{number}]"], objective)
    write_job(folder / "2", ["optim.lr=9", "tags=[]"], None, f"it broke {SCRIPT}")
    write_job(folder / "3", ["optim.lr=1e-2", "tags=[]"], 0.1, pruned="after 1 epoch")
    return folder


def test_the_report_of_a_sweep_has_its_leaderboard_its_charts_and_its_best_run(sweep: Path):
    found = sweep_at(str(sweep))
    assert found
    assert found.best
    assert found.best.folder == str(sweep / "1")
    html = Report(**SMALL).of_sweep(found, open_trained).files[FILE]
    page = read(html)
    assert b"<script" not in html
    assert {"Leaderboard", "Reconstructions", "Training", "Lineage"} <= sections(page)
    text = page.text.replace("\n", "")
    for told in (
        "4 jobs over optim.lr, tags",
        "failed: it broke",
        "0.1, pruned after 1 epoch",
        "The best run: 1",
        "2, 1 failed, 1 pruned",
    ):
        assert told in text, told
    assert "val/recon_loss by optim.lr" in text


def test_a_sweep_of_which_no_job_ended_still_has_a_report(sweep: Path):
    for number in "013":
        write_job(sweep / number, ["optim.lr=9"], None, "it broke")
    found = sweep_at(str(sweep))
    assert found
    page = read(Report().of_sweep(found, open_trained).files[FILE])
    assert "The best run: no job of the sweep ended" in page.text


def test_the_priors_of_one_tokenizers_levels_are_no_sweep(tmp_path: Path, prior_run: Path):
    for number, level in enumerate(("top", "bottom")):
        write_job(tmp_path / str(number), ["model=gated_pixelcnn", f"level={level}"], 1.0)
    assert sweep_at(str(tmp_path)) is None
    assert sweep_at(str(prior_run)) is None
    assert sweep_at([str(prior_run)]) is None
    assert sweep_at("fashion_vqvae2_transformer") is None
    write_job(tmp_path / "2", ["model=gated_pixelcnn", "level=top", "seed=1"], 1.0)
    assert sweep_at(str(tmp_path))


@pytest.mark.parametrize("record", ["[]", "{}", "no json", '{"overrides": 3, "objective": null, "error": null}'])
def test_jobs_that_cannot_be_read_are_told_in_a_line(tmp_path: Path, record: str):
    write_job(tmp_path / "0", ["seed=0"], 1.0)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "job.json").write_text(record)
    with pytest.raises(UserError, match=r"its jobs' job\.json cannot be read") as told:
        sweep_at(str(tmp_path))
    assert "\n" not in str(told.value)


def test_other_tasks_say_that_a_sweep_is_none_of_theirs(sweep: Path):
    found = sweep_at(str(sweep))
    assert found
    with pytest.raises(UserError, match=r"a sweep of 4 jobs, and task=reconstruct takes one run.*its best is python"):
        Reconstruct().of_sweep(found, open_trained)


@pytest.mark.parametrize(("option", "told"), [("num_images", 2), ("num_samples", 1), ("num_measured", 2)])
def test_options_that_cannot_be_are_told(option: str, told: int):
    with pytest.raises(UserError, match=f"{option}=0: expected at least {told}"):
        Report(**{option: 0})


def test_the_command_line_reports_runs_and_sweeps(command: Command, sweep: Path, vqvae_run: Path, tmp_path: Path):
    few = [f"{name}={value}" for name, value in SMALL.items()]
    for place, folder in ((sweep, sweep / "report"), (vqvae_run, tmp_path / "out")):
        out = [] if place == sweep else [f"out={folder}"]
        done = command("sample.py", "task=report", f"run={place}", *few, *out)
        assert done.returncode == 0, done.stderr
        assert str(folder / FILE) in done.stdout
        read((folder / FILE).read_bytes())
    done = command("sample.py", "task=reconstruct", f"run={sweep}")
    assert done.returncode == 2
    assert "takes one run" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_is_named_as_one_would_type_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert shown_runs([tmp_path / "runs" / "x"]) == "runs/x"
    assert shown_runs([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert shown_runs([open_trained("fashion_vqvae2").folder]) == "fashion_vqvae2"
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert shown_runs([tmp_path / "x"]) in ("~/x", str(tmp_path / "x")[1:])


def commands(page: Elements, task: str) -> list[list[str]]:
    """The words of the command lines of a task on a page, as a shell would take them apart."""
    lines = [line for line in page.text.split("\n") if f" task={task} " in line]
    assert lines
    return [shlex.split(line)[2:] for line in lines]


def with_record(prior_run: Path, folder: Path, **values: object) -> Path:
    """A copy of a prior with a record of task=evaluate."""
    run = Path(shutil.copytree(prior_run, folder / "prior"))
    step = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["global_step"]
    record = {"step": step, "steps": {"prior": step}, "num_images": 7, "split": "val", "metrics": {"fid": 1.0}}
    (run / "evaluate").mkdir()
    (run / "evaluate" / "evaluation.json").write_text(json.dumps(record | values))
    return run


INJECTED = "$(touch pwned)`id`; '\"\nrm -rf x"


@pytest.mark.parametrize("name", ["split", "seed", "temperature", "top_k", "top_p", "min_p", "guidance", "precision"])
@pytest.mark.parametrize("value", [INJECTED, [INJECTED], {"a": INJECTED}])
def test_no_text_of_a_record_gets_into_a_command(prior_run: Path, tmp_path: Path, name: str, value: object):
    run = with_record(prior_run, tmp_path, **{name: value})
    trained = open_trained(run)
    for measured in facts.measured(trained, Opened("runs/x")):
        assert "touch" not in measured.command
        assert (f"the command lacks {name}" in measured.said) == bool(measured.command and name != "split") or (
            name == "split"
        )


def test_the_command_of_a_record_has_the_settings_of_each_level(prior_run: Path, tmp_path: Path):
    settings = {"temperature": [0.9, 1.0], "top_k": [None, 5], "seed": 12345678, "precision": "bfloat16"}
    run = with_record(prior_run, tmp_path, **settings)
    line = [measured.command for measured in facts.measured(open_trained(run), Opened("fashion_vqvae"))][-1]
    cfg = composed(shlex.split(line)[2:], "sample")
    assert (list(cfg.temperature), list(cfg.top_k)) == ([0.9, 1.0], [None, 5])
    assert (cfg.seed, cfg.precision, cfg.split, cfg.num_samples) == (12345678, "bfloat16", "val", 7)


def test_commands_name_the_run_and_what_it_was_opened_with_as_the_user_did(prior_run: Path):
    settings = {"checkpoint": "last", "tokenizer": "a b", "data_root": "images", "data_changed": True}
    given: Any = {"run": "runs/x/checkpoints/last.ckpt", **settings}
    page = read(Report(**SMALL, **given)(open_trained(prior_run)).files[FILE])
    for task in ("sample", "reconstruct", "complete", "nll", "codebook", "interpolate", "evaluate"):
        for words in commands(page, task):
            assert {"run=runs/x/checkpoints/last.ckpt", "checkpoint=last", "data_root=images"} <= {*words}
            assert {'tokenizer="a b"', "data_changed=true"} <= {*words}


def test_the_command_of_a_section_has_all_the_options_of_what_it_shows():
    words = commands(report(tiny.trained(tiny.latent_model())), "traverse")[0]
    assert {"num_dimensions=8", "steps=3", "num_images=8"} <= {*words}


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        (FixedPoint(), ["sampler=fixed_point"]),
        (Raster(), ["sampler=raster"]),
    ],
)
def test_commands_draw_by_the_same_sampler_and_schedule(sampler: Sampler, words: list[str]):
    sampling = Sampling(guidance=LinearGuidance(1.0, 2.5))
    page = read(Report(**SMALL, sampling=sampling, sampler=sampler)(of_priors()).files[FILE])
    for task in ("sample", "complete"):
        for line in commands(page, task):
            assert {*words, "guidance={_target_:vqgen.drawing.LinearGuidance,start:1,end:2.5}"} <= {*line}


def test_what_no_words_say_is_told_and_not_in_the_command():
    class Own(Raster):
        """A sampler of one's own."""

    drawn = Sampling(guidance=lambda share: 1.5)
    page = read(Report(**SMALL, sampling=drawn, sampler=Own())(of_priors()).files[FILE])
    assert page.text.count("The command lacks guidance and sampler: no words say it.") == 2
    assert not [word for word in commands(page, "sample")[0] if word.startswith(("guidance", "sampler"))]

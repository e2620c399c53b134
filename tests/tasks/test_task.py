"""Every task: which runs it fits, what it makes, and that there is a yaml and a page for it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tasks import tiny
from vqgen.config.search_path import CONF
from vqgen.errors import UserError
from vqgen.models.ae import AE
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import fitting, tasks

SMALL: dict[str, dict[str, Any]] = {
    "attribute": {"num_images": 96},
    "latents": {"num_images": 24, "side": 3},
    "export": {"format": "torch_export"},
    "sample": {"num_samples": 3},
    "complete": {"images": (0, 1), "num_samples": 2},
    "levels": {"num_samples": 3},
}
LATENT = {"attribute", "evaluate", "export", "interpolate", "latents", "morph", "reconstruct", "traverse"}
CODES = {"codebook", "evaluate", "export", "interpolate", "levels", "morph", "reconstruct"}
FITTING = {
    "vae of two dimensions": LATENT | {"reject", "sample"},
    "vae of five dimensions": LATENT | {"reject", "sample"},
    "ae": LATENT,
    "vq-vae-2": CODES,
    "priors": CODES | {"complete", "compress", "decompress", "reject", "sample"},
}


def _runs() -> dict[str, TrainedRun]:
    return {
        "vae of two dimensions": tiny.trained(tiny.latent_model()),
        "vae of five dimensions": tiny.trained(tiny.latent_model(latent_dim=5)),
        "ae": tiny.trained(tiny.latent_model(AE)),
        "vq-vae-2": tiny.trained(tiny.vqvae2()),
        "priors": tiny.trained(tiny.vqvae2(), tiny.priors(0)),
    }


@pytest.mark.parametrize(("kind", "names"), FITTING.items())
def test_each_kind_of_run_has_its_tasks(kind: str, names: set[str]):
    assert names <= set(fitting(_runs()[kind]))
    assert not set(fitting(_runs()[kind])) & (set.union(*FITTING.values()) - names)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in FITTING.items() for name in sorted(names)])
def test_a_task_that_fits_makes_pictures_and_figures(kind: str, name: str):
    if name in ("decompress", "export", "reject"):
        pytest.skip("has a test of its own")
    outcome = tasks()[name](**SMALL.get(name, {}))(_runs()[kind])
    assert outcome.pictures or outcome.plots
    assert all(p.shape[0] == 3 and torch.isfinite(p).all() for p in outcome.pictures.values())
    assert not set(outcome.pictures) & set(outcome.plots), "they would overwrite each other"
    for plot in outcome.plots.values():
        assert "x, step 7, trained with seed 0" in plot.get_suptitle()


@pytest.mark.parametrize("name", ["interpolate", "morph", "traverse", "levels", "complete"])
def test_the_images_of_rows_are_arrays_too(name: str):
    run = tiny.trained(tiny.latent_model()) if name == "traverse" else _runs()["priors"]
    outcome = tasks()[name](**SMALL.get(name, {}))(run)
    for picture in outcome.pictures:
        rows = [array for key, array in outcome.arrays.items() if key.startswith(f"{picture}/")]
        height, width = outcome.pictures[picture].shape[1:]
        assert (len(rows), len(rows[0])) == ((height - 2) // 18, (width - 2) // 18)
        assert all(row.dtype == np.uint8 for row in rows)


def test_a_task_that_does_not_fit_names_those_that_do():
    message = r"task=latents needs a model with latent vectors.*VQVAE2.*codebook, .*levels"
    with pytest.raises(UserError, match=message) as error:
        tasks()["latents"]()(tiny.trained(tiny.vqvae2()))
    assert "\n" not in str(error.value)
    without = tiny.trained(tiny.latent_model())._replace(attribute_names=())
    with pytest.raises(UserError, match=r"task=attribute needs data with named attributes.*for it are .*traverse"):
        tasks()["attribute"]()(without)
    alone = tiny.trained(tiny.vqvae2(), tiny.priors(0)[:1])
    with pytest.raises(UserError, match=r"task=sample needs the prior of every level, bottom too: run=\[TOP,BOTTOM\]"):
        tasks()["sample"]()(alone)


def test_an_image_that_is_not_there_is_named():
    with pytest.raises(UserError, match="image 99: the test split has 24 images, from 0 to 23"):
        tasks()["morph"](first=[0], second=[99])(tiny.trained(tiny.latent_model()))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        *[(name, {"num_samples": 0}, "num_samples=0: expected") for name in ("sample", "reconstruct", "levels")],
        *[(name, {"images": []}, r"images=\[\]: ") for name in ("complete", "levels", "attribute")],
        *[(name, {"alphas": []}, r"alphas=\[\]: nothing is asked for") for name in ("morph", "attribute")],
        *[(name, {"num_images": 0}, "num_images=0") for name in ("attribute", "latents", "codebook", "traverse")],
        *[(name, {"steps": 1}, "steps=1") for name in ("interpolate", "levels", "traverse")],
        ("attribute", {"attribute": []}, r"attribute=\[\]: nothing"),
        ("traverse", {"dimensions": []}, "dimensions="),
        ("traverse", {"extent": -1.0}, "extent=-1.0: expected standard deviations above 0"),
        ("traverse", {"num_dimensions": 0}, "num_dimensions=0"),
        ("latents", {"side": 0}, "side=0: expected"),
        ("latents", {"num_dimensions": 0}, "num_dimensions=0"),
        ("codebook", {"num_codes": 0}, "num_codes=0"),
        ("export", {"batch_size": 0}, "batch_size=0"),
        ("complete", {"num_samples": 0}, "num_samples=0"),
    ],
)
def test_an_option_that_asks_for_nothing_is_told(name: str, options: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message) as error:
        tasks()[name](**options)
    assert "\n" not in str(error.value)


def test_an_outcome_is_written_by_name_and_its_arrays_on_request(tmp_path: Path):
    arrays = {"codes/top": np.arange(3), "codes/bottom": np.arange(4), "samples": np.arange(5)}
    outcome = Outcome({"a": torch.zeros(3, 4, 4)}, arrays, records={"b": {"c": 1}}, files={"d.bin": b"\x01"})
    assert [path.name for path in outcome.write(tmp_path / "new")] == ["a.png", "b.json", "d.bin"]
    outcome.write(tmp_path, arrays=True)
    assert sorted(np.load(tmp_path / "codes.npz")) == ["bottom", "top"]
    assert np.load(tmp_path / "samples.npz")["samples"].tolist() == [0, 1, 2, 3, 4]
    assert json.loads((tmp_path / "b.json").read_text()) == {"c": 1}
    assert (tmp_path / "d.bin").read_bytes() == b"\x01"


@pytest.mark.parametrize("name", tasks())
def test_every_task_has_a_yaml_and_a_place_in_the_documentation(name: str):
    assert f"vqgen.tasks.{tasks()[name].__name__}" in (CONF / "task" / f"{name}.yaml").read_text()
    pages = [Path(CONF.parent, "docs", f"{page}.md").read_text() for page in ("tasks", "evaluation")]
    assert any(f"task={name}" in page for page in pages)

"""Every yaml composes and passes the check; every mistake is named."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from tests.conftest import ROOT, composed
from vqgen.config.check import check, check_sample
from vqgen.config.help import INCLUDED, first_comment, help_text
from vqgen.config.search_path import CONF
from vqgen.errors import ConfigError

PRIORS = {"gated_pixelcnn", "pixelcnn", "pixelsnail", "transformer"}


def _choices() -> list[str]:
    """Every yaml of every group, as an override."""
    others = ("task", "sweep", "sampler", INCLUDED)
    groups = [p for p in CONF.rglob("*.yaml") if p.parent != CONF and p.parts[-2] not in others]
    return sorted(f"{p.parent.relative_to(CONF).as_posix()}={p.stem}" for p in groups)


@pytest.mark.parametrize("choice", _choices())
def test_every_yaml_composes_and_passes_the_check(choice: str, tmp_path: Path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    name = choice.rpartition("=")[2]
    needs_prior = choice in ("data=codes", "callbacks=prior") or choice.startswith("model/conditioner")
    words = [f"{choice}"] if choice not in ("data=codes", "callbacks=prior") else []
    if choice.startswith("hydra/sweeper/"):
        words.insert(0, "hydra/sweeper=optuna")
    if needs_prior:
        words.append("model=gated_pixelcnn")
    if choice.startswith("model/posterior"):
        words.append("model=vae")
    if choice == "model/likelihood=perceptual":
        words.append("perceptual=fashion_classifier")
    cfg = composed(words)
    if needs_prior or name in PRIORS or cfg.data._target_ == "vqgen.data.codes.Codes":
        cfg = composed([*words, f"tokenizer={tmp_path}"])
    if OmegaConf.is_missing(cfg.data, "root"):
        cfg.data.root = str(tmp_path)
    check(cfg)


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONF / "sampler").glob("*.yaml")))
@pytest.mark.parametrize("task", ["sample", "complete", "evaluate", "reject"])
def test_every_sampler_serves_every_task_that_draws(task: str, name: str):
    check_sample(composed([f"task={task}", f"sampler={name}"], name="sample"))


@pytest.mark.parametrize("task", sorted(p.stem for p in (CONF / "task").glob("*.yaml")))
def test_the_precision_of_weights_is_an_option_of_the_tasks_that_draw_alone(task: str):
    draws = task in ("sample", "complete", "evaluate", "reject", "report")
    assert ("precision" in composed([f"task={task}"], name="sample")) == draws


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda p: p.relative_to(CONF).as_posix())
def test_every_yaml_says_what_it_is(path: Path):
    assert first_comment(path)


@pytest.mark.parametrize("name", ["train", "sample"])
def test_help_lists_every_group_and_choice(name: str):
    text = help_text([CONF], name, name)
    assert ("model=NAME" in text) == (name == "train")
    for path in (CONF / ("model" if name == "train" else "task")).glob("*.yaml"):
        assert path.stem in text


def test_the_sweep_for_wandb_gives_words_that_train_py_takes():
    sweep: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "docs" / "wandb_sweep.yaml"), resolve=False)
    assert (ROOT / sweep["program"]).is_file()
    fixed = [word for word in sweep["command"] if "=" in word]
    for end in (0, -1):
        swept = [
            f"{key}={([p['min'], p['max']] if 'min' in p else p['values'])[end]}"
            for key, p in sweep["parameters"].items()
        ]
        cfg = composed([*fixed, *swept])
        check(cfg)
        assert cfg.callbacks.best.monitor == sweep["metric"]["name"]


MISTAKES = {
    "+model.quantizer.num_embedings=3": "num_embedings=3: no such option (did you mean num_embeddings?)",
    "model.quantizer.num_embeddings=many": "model.quantizer.num_embeddings=many: expected int, got str 'many'",
    "model.quantizer.num_embeddings=1.5": "expected int, got float 1.5",
    "seed=x": "seed=x: expected int",
    "hardware.compile=3": "hardware.compile=3: expected bool",
    "trainer.max_epochs=[1]": "trainer.max_epochs=[1]: expected",
    "optim.lr=fast": "lr=fast: expected",
    "model.encoder._target_=vqgen.nn.autoencoders.Encodr": "there is no such class (did you mean Encoder?)",
    "tokenizer=nowhere": "tokenizer=nowhere: no run folder or checkpoint",
    "resume=nowhere": "resume=nowhere: no run folder or checkpoint",
}


@pytest.mark.parametrize(("override", "message"), MISTAKES.items())
def test_a_mistake_is_named_with_key_value_and_near_miss(override: str, message: str):
    with pytest.raises(ConfigError) as error:
        check(composed([override]))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_prior_without_tokenizer_is_told_what_it_needs():
    with pytest.raises(ConfigError, match=r"tokenizer=RUN is needed.*train\.py model=vqvae"):
        check(composed(["model=gated_pixelcnn"]))


def test_an_image_model_given_codes_is_refused():
    with pytest.raises(ConfigError, match="data=codes: this model reads images"):
        check(composed(["data=codes"]))


def test_a_prior_given_images_is_refused(tmp_path: Path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    with pytest.raises(ConfigError, match="leave data= out"):
        check(composed(["model=gated_pixelcnn", "data=shapes", f"tokenizer={tmp_path}"]))


def test_sampling_without_a_run_says_so():
    with pytest.raises(ConfigError, match="run=RUN is needed"):
        check_sample(composed(["run=null"], name="sample"))


@pytest.mark.parametrize(
    "word",
    [
        "temperature=0",
        "temperature=[1.0,-1.0]",
        "top_p=2",
        "top_p=0",
        "top_k=0",
        "num_samples=0",
        "seed=-1",
        "guidance=-1",
    ],
)
def test_numbers_with_which_nothing_could_be_drawn_are_refused_at_once(word: str):
    with pytest.raises(ConfigError) as error:
        check_sample(composed([word, "run=x"], name="sample"))
    assert str(error.value).startswith(f"{word.partition('=')[0]}=")
    assert "expected" in str(error.value)


@pytest.mark.parametrize("precision", ["transformer-engine", "bf16-true", "64-true", "half"])
def test_precisions_that_do_not_keep_float32_weights_are_refused(precision: str):
    with pytest.raises(ConfigError, match=f"hardware.precision={precision}: take one of 32-true"):
        check(composed([f"hardware.precision={precision}"]))

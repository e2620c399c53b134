"""A value that cannot be is one line that names its key, whoever would have stumbled over it, and when."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException

from tests.conftest import composed
from tests.test_experiment import IMAGES, NETWORK, SMALL, train_in
from vqgen.config.check import check, check_sample
from vqgen.config.command_line import _fail
from vqgen.config.ranges import RANGES
from vqgen.environment.faults import told, within_memory
from vqgen.environment.hydra_versions import allowing
from vqgen.errors import SHOW, ConfigError
from vqgen.experiment import sample, train
from vqgen.models.vqvae import VQVAE
from vqgen.optim.schedules import Constant, Cosine
from vqgen.runs.allow_list import named
from vqgen.runs.checkpoint import build

EXTRAS = "extras=[averaged_weights,early_stopping]"
AT_ONCE = [  # before anything is read or built
    "hardware.num_workers=-1",
    "hardware.num_workers=1000000000",
    "hardware.num_nodes=0",
    "hardware.devices=1000000",
    "hardware.precision=foo",
    "data._target_=3",
    "model.encoder._target_=null",
    "optim._partial_=3",
    "trainer.accumulate_grad_batches=0",
    "trainer.accumulate_grad_batches=1.5",
    "trainer.max_epochs=0",
    "trainer.max_epochs=-3",
    "trainer.max_steps=0",
    "trainer.max_time=5",
    "trainer.limit_train_batches=0",
    "trainer.limit_train_batches=1.5",
    "trainer.limit_val_batches=-1",
    "trainer.gradient_clip_val=-1",
    "trainer.gradient_clip_val=nan",
    "trainer.check_val_every_n_epoch=0",
    "trainer.log_every_n_steps=-1",
    "trainer.num_sanity_val_steps=-4",
    "trainer.deterministic=foo",
    "+trainer.val_check_interval=0",
    "+trainer.overfit_batches=-1",
    "+trainer.logger=true",
    "+trainer.default_root_dir=elsewhere",
    "optim.lr=0",
    "optim.lr=-1",
    "optim.lr=nan",
    "optim.lr=inf",
    "optim.lr=null",
    "optim.betas=[0.9]",
    "optim.betas=[1.5,0.9]",
    "optim.weight_decay=-1",
    "+optim.eps=-1",
    "schedule.warmup_steps=-4",
    "schedule.warmup_steps=1e3",
    "schedule.final_factor=-1",
    "data.batch_size=0",
    "data.num_train=0",
    "data.seed=-1",
    "data.num_val=99999999999999999999",
    "data.size=nan",
    "seed=-1",
    "seed=4294967296",
    "level=foo",
    "+tune.foo=3",
    "model.quantizer.num_embeddings=0",
    "model.quantizer.decay=1.5",
    "model.quantizer.commitment_cost=-1",
    "model.encoder.num_residual_blocks=-1",
    "model.encoder.hidden_channels=0",
    "model.optimizer=word",
    "model.schedule=3",
    "callbacks.best.save_top_k=0",
    "callbacks.reconstructions.every_n_epochs=0",
    "callbacks.averaged_weights.decay=1.5",
    "callbacks.early_stopping.patience=-1",
    "callbacks.last.every_n_minutes=0",
]
OTHER_MODELS = [
    "model=vae model.kl_weight=-1",
    "model=vae model.free_bits=nan",
    "model=vae model.latent_dim=0",
    "model=vae_iaf model.posterior.num_steps=1000000",
    "model=ae model.encoder.hidden_channels=[8,0]",
    "model=classifier model.label_smoothing=2",
    "model=classifier model.network.dropout=2",
    "model=vqvae model/quantizer=fsq model.quantizer.levels=[8,1]",
]
AT_USE = {  # by the code of others: its constructors, and their first use
    "hardware.devices=two": "hardware.devices=two: ",
    "hardware.devices=0": "hardware.devices=0: ",
    "hardware.strategy=foo": "hardware.strategy=foo: ",
    "hardware.strategy=ddp_fork": "hardware.strategy=ddp_fork: this begins its processes in the middle of a run",
    "hardware.strategy=ddp_spawn": "hardware.strategy=ddp_spawn: this begins its processes in the middle of a run",
    "hardware.strategy=ddp_notebook": "hardware.strategy=ddp_notebook: this begins its processes in the middle",
    "hardware.accelerator=foo": "hardware.accelerator=foo: ",
    "trainer.profiler=foo": "trainer.profiler=foo: ",
    "trainer.max_time=foo": "trainer.max_time=foo: ",
    "+trainer.gradient_clip_algorithm=foo": "trainer.gradient_clip_algorithm=foo: ",
    "+trainer.val_check_interval=1000": "trainer.val_check_interval=1000: ",
    "trainer.limit_train_batches=0.001": "trainer.limit_train_batches=0.001: ",
    "+callbacks.best.mode=foo": "callbacks.best.mode=foo: ",
    "+optim.capturable=true": "optim.capturable=True: AssertionError: If capturable=True",
    "+optim.differentiable=true": "optim: RuntimeError: a leaf Variable that requires grad",
    "callbacks.best.filename=last": "filename=last of ModelCheckpoint: 'last.ckpt' is what the run goes on from",
    "callbacks.best.monitor=val/foo": "callbacks.best.monitor=val/foo: ",
    "callbacks.early_stopping.monitor=val/foo": "callbacks.early_stopping.monitor=val/foo: ",
    "model.quantizer.num_embeddings=1": "model.quantizer.num_embeddings=1 must be from 2",
    "data.num_train=2147483648": "The train split of Shapes does not fit into memory",
    "data.size=1000000000": "The train split of Shapes does not fit into memory",
}
SAMPLE = [
    "num_samples=0",
    "num_samples=-1",
    "num_samples=nan",
    "temperature=nan",
    "temperature=[1.0,inf]",
    "top_p=nan",
    "guidance=nan",
    "seed=-1",
    "seed=1180591620717411303424",
    "label=1.5",
    "out=3",
    "arrays=maybe",
    "log=maybe",
    "checkpoint=foo",
    "run=3",
    "device=3",
    "tokenizer=3",
    "data_root=3",
]


def key(word: str) -> str:
    return word.split()[-1].lstrip("+").partition("=")[0]


@pytest.mark.parametrize("word", [*AT_ONCE, *OTHER_MODELS])
def test_a_number_that_cannot_be_is_refused_before_anything_is_read(word: str):
    words = word.split() if " " in word else [EXTRAS, word]
    if word == "callbacks.best.save_top_k=0":
        words = ["+callbacks.best.save_top_k=0"]
    with pytest.raises(ConfigError) as error:
        check(composed(words))
    assert str(error.value).startswith((f"{key(word)}=", f"{key(word)}[")), str(error.value)
    assert "\n" not in str(error.value)


def test_every_value_of_the_configs_is_in_range():
    assert all(allowed.words for allowed in RANGES.values())
    check(composed([EXTRAS]))  # every other yaml: test_config


@pytest.mark.parametrize("word", AT_USE)
def test_what_the_code_of_others_refuses_is_one_line(word: str, tmp_path: Path):
    extras = [EXTRAS] if "early_stopping" in word else []
    with pytest.raises(ValueError) as error:  # noqa: PT011  # a UserError
        train_in(tmp_path / "run", ["model=vqvae", *NETWORK, *IMAGES, *SMALL, *extras, word])
    assert isinstance(error.value, ConfigError) or error.type.__name__ == "DataError"
    assert str(error.value).startswith(AT_USE[word]), str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("word", SAMPLE)
def test_sampling_refuses_at_once_what_it_cannot_do(word: str):
    with pytest.raises(ConfigError) as error:
        check_sample(composed([word], name="sample"))
    assert str(error.value).startswith(f"{key(word)}=")


def test_more_samples_than_the_memory_holds_are_one_line(tmp_path: Path):
    words = ["num_samples=1000000000000000", f"out={tmp_path / 'out'}", "label=0"]
    with pytest.raises(ConfigError, match="does not fit into memory: smaller num_samples=1000000000000000"):
        sample(composed(words, name="sample"))


WITHOUT = ["trainer.limit_test_batches=0", "trainer.log_every_n_steps=0", "callbacks.best.monitor=null"]


@pytest.mark.parametrize("word", WITHOUT)
def test_a_run_without_test_logs_or_a_figure_to_go_by_ends_as_it_should(word: str, tmp_path: Path):
    cfg = composed(["model=vqvae", *NETWORK, *IMAGES, *SMALL, word])
    check(cfg)
    assert (train(cfg, tmp_path / "run") is None) == (word == "callbacks.best.monitor=null")


@pytest.mark.parametrize("section", ["model", "data", "optim", "schedule", "trainer"])
def test_a_section_that_makes_nothing_is_refused(section: str):
    cfg = composed([])
    cfg[section] = {"a": 1}
    with pytest.raises(ConfigError, match=rf"^{section}=.*: expected a _target_ and its options"):
        check(cfg)


@pytest.mark.parametrize("seed", [2**32, 2**63 - 1])
def test_samples_are_drawn_with_any_seed_that_torch_takes(seed: int):
    cfg = composed([f"seed={seed}", "run=fashion_vqvae_transformer"], name="sample")
    check_sample(cfg)
    assert torch.Generator().manual_seed(cfg.seed).initial_seed() == seed


@pytest.mark.parametrize("make", [lambda: Constant(-4), lambda: Cosine(-1), lambda: Cosine(0, 2.0)])
def test_schedules_refuse_what_would_turn_the_rate_round(make: Any):
    with pytest.raises(ValueError, match="must be"):
        make()


class Faulty(torch.nn.Module):
    """With a fault of its own."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = {}[size]  # type: ignore[var-annotated]


class Narrow(torch.nn.Module):
    """Hands a size on to torch, which refuses it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, size, padding="same", stride=2)


def test_a_fault_of_a_class_is_no_mistake_of_the_user(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VQGEN_PACKAGES", "tests")
    with pytest.raises(InstantiationException):
        build({"_target_": f"{__name__}.Faulty", "size": 3}, "model")
    with pytest.raises(ConfigError, match=r"^model: padding='same' is not supported for strided"):
        build({"_target_": f"{__name__}.Narrow", "size": 3}, "model")


class Picky:
    """A sampler that refuses its own options."""

    def __init__(self, steps: int) -> None:
        raise ValueError(f"steps={steps} are too few")


def test_an_option_of_a_sampler_is_named_as_it_is_typed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VQGEN_PACKAGES", "tests")
    task: dict[str, Any] = {"_target_": "vqgen.tasks.Sample", "num_samples": 1}
    task["sampler"] = {"_target_": f"{__name__}.Picky", "steps": 0}
    with pytest.raises(ConfigError, match=r"^sampler\.steps=0 are too few$"):
        build(task, "task")
    task |= {"sampler": None, "sampling": {"_target_": "vqgen.drawing.Sampling", "temperature": -1.0}}
    refused = pytest.raises(ConfigError, match=r"^temperature=-1\.0 must be above 0")
    with refused, allowing(named(task)):
        build(task, "task")


FAULTS = [lambda: torch.ones(2) + torch.ones(3), lambda: {}["x"], lambda: torch.ones(2).item()]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_step_of_a_model_keeps_its_traceback(fault: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def objective(self: Any, batch: Any) -> Any:
        return fault()

    monkeypatch.setattr(VQVAE, "objective", objective)
    with pytest.raises((RuntimeError, KeyError)) as error:
        train_in(tmp_path / "run", ["model=vqvae", *NETWORK, *IMAGES, *SMALL])
    assert any(entry.name == "objective" for entry in error.traceback)


def test_a_full_memory_is_told_wherever_it_is_found():
    with pytest.raises(ConfigError, match="does not fit into memory"), told({}):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    with pytest.raises(RuntimeError, match="other"), within_memory("less"):
        raise RuntimeError("other")


def test_the_traceback_of_a_line_can_be_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("VQGEN_PACKAGES", "tests")
    with pytest.raises(ConfigError) as error:
        build({"_target_": f"{__name__}.Narrow", "size": 3}, "model")
    assert _fail(error.value) == 2
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setenv(SHOW, "1")
    _fail(error.value)
    assert "self.layer = torch.nn.Conv2d" in capsys.readouterr().err

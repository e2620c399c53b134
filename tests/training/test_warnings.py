"""The warnings: said when they should be, and only then."""

import warnings
from pathlib import Path
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

from tests.conftest import composed
from vqgen.batch import ImageBatch
from vqgen.devices import has_bfloat16_units
from vqgen.training import CollapsedCodesWarning, CollapseWarning, OverfittingWarning, Throughput
from vqgen.training.preparation import machine_of

MODEL = Mock(spec=pl.LightningModule)


def _trainer(**metrics: float) -> pl.Trainer:
    named = {f"val/{name}": torch.tensor(value) for name, value in metrics.items()}
    return Mock(spec=pl.Trainer, sanity_checking=False, callback_metrics=named, accumulate_grad_batches=1)


def _epoch(callback: OverfittingWarning, train: float, val: float) -> None:
    """One epoch of two steps, as the trainer calls it."""
    trainer = _trainer(loss=val)
    callback.on_train_epoch_start(trainer, MODEL)
    for loss in (train - 0.1, train + 0.1):
        callback.on_train_batch_end(trainer, MODEL, {"loss": torch.tensor(loss)}, None, 0)
    callback.on_validation_end(trainer, MODEL)


def test_over_fitting_is_a_rising_validation_loss_with_a_falling_training_loss():
    callback = OverfittingWarning(margin=0.02)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for train, val in [(2.0, 2.0), (1.5, 1.6), (1.4, 1.61), (1.6, 2.0)]:  # within the margin; both rise
            _epoch(callback, train, val)
    with pytest.warns(UserWarning, match=r"over-fitting: val/loss is 1.8 after a best of 1.6, .* from 1.5 to 1"):
        _epoch(callback, 1.0, 1.8)


def test_the_training_loss_that_is_named_is_that_of_whole_steps():
    """Lightning hands on the loss of a micro-batch divided by their number."""
    callback = OverfittingWarning()
    for val in (1.6, 1.8):
        trainer = _trainer(loss=val)
        trainer.accumulate_grad_batches = 4
        callback.on_train_epoch_start(trainer, MODEL)
        for _ in range(8):
            callback.on_train_batch_end(trainer, MODEL, {"loss": torch.tensor((3.1 - val) / 4)}, None, 0)
        if val == 1.6:
            callback.on_validation_end(trainer, MODEL)
    with pytest.warns(UserWarning, match=r"train/loss fell from 1.5 to 1.3"):
        callback.on_validation_end(trainer, MODEL)


def test_the_best_epoch_outlives_a_resume():
    callback, resumed = OverfittingWarning(), OverfittingWarning()
    _epoch(callback, 1.5, 1.6)
    resumed.load_state_dict(callback.state_dict())
    with pytest.warns(UserWarning, match="after a best of 1.6"):
        _epoch(resumed, 1.0, 1.8)


def test_codes_that_are_all_the_same_are_named_a_collapsed_tokenizer():
    callback = CollapsedCodesWarning(min_entropy=0.1)
    with pytest.warns(UserWarning, match="the tokenizer has collapsed"):
        callback.on_validation_end(_trainer(code_entropy=0.05), MODEL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        callback.on_validation_end(_trainer(code_entropy=3.0), MODEL)


def test_a_codebook_hardly_used_is_named_with_its_usage():
    with pytest.warns(UserWarning, match=r"val/codebook_usage_top is 5.0%"):
        CollapseWarning(0.1).on_validation_end(_trainer(codebook_usage_top=0.05, codebook_usage_bottom=1.0), MODEL)


def test_speed_is_that_of_whole_steps(monkeypatch: pytest.MonkeyPatch):
    """The last micro-batch of a step alone would be all that is logged, with the whole of the optimiser's time."""
    clock = iter(range(1, 100))
    monkeypatch.setattr("vqgen.training.monitors.time.perf_counter", lambda: next(clock))
    callback, logged = Throughput(), {}
    trainer = Mock(spec=pl.Trainer, log_every_n_steps=1, fit_loop=Mock())
    trainer.fit_loop.epoch_loop._batches_that_stepped = 0
    model = Mock(spec=pl.LightningModule, device=torch.device("cpu"))
    model.log = lambda key, value, **_: logged.update({key: value})
    callback.on_train_epoch_start(trainer, model)
    for micro_batch in range(4):
        model.step_ends = micro_batch == 3
        callback.on_train_batch_end(trainer, model, None, Mock(spec=ImageBatch, index=torch.arange(5)), micro_batch)
    assert logged == {"train/images_per_second": 20.0}


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("flags\t\t: fpu avx512_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags\t\t: fpu avx512f\n", False),
        ("", None),
    ],
)
def test_a_cpu_says_whether_it_has_bfloat16_units(text: str, has: bool | None, tmp_path: Path):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{text}")
    assert has_bfloat16_units(tmp_path / "cpuinfo") is has
    assert has_bfloat16_units(tmp_path / "nowhere") is None


def test_bfloat16_on_a_cpu_without_units_is_warned_of(monkeypatch: pytest.MonkeyPatch):
    config = OmegaConf.to_container(composed(["hardware=cpu_bf16", "run_dir=x"]), resolve=True)
    monkeypatch.setattr("vqgen.devices.has_bfloat16_units", lambda: False)
    with pytest.warns(UserWarning, match=r"hardware\.precision=bf16-mixed: this CPU has no bfloat16 units"):
        machine_of(config)
    monkeypatch.setattr("vqgen.devices.has_bfloat16_units", lambda: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machine_of(config)

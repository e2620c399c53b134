"""Real processes on gloo, each with a trainer of its own, against one process on the joined batch."""

import os
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.optim import SGD

from tests.models.adversarial import adversarial
from vqgen.data.images import Images, Split
from vqgen.models.classifier import ImageClassifier
from vqgen.models.residual import ResidualVQVAE
from vqgen.models.vae import VAE
from vqgen.models.vqvae import VQVAE
from vqgen.nn.autoencoders.flat import FlatNormConvDecoder, FlatNormConvEncoder
from vqgen.nn.autoencoders.residual import Decoder, Encoder
from vqgen.nn.likelihoods.likelihoods import Bernoulli
from vqgen.nn.likelihoods.reconstruction import NormalizedMSE
from vqgen.nn.posteriors.posterior import DiagonalGaussian
from vqgen.nn.quantize import EMAQuantizer
from vqgen.nn.resnet import ResNet
from vqgen.optim.schedules import Constant
from vqgen.training import Record

pytestmark = pytest.mark.slow

TRAINING: dict[str, Any] = {"optimizer": partial(SGD, lr=0.05), "schedule": Constant()}
NUM_CLASSES = 6
Ranks = list[dict[str, Any]]  # what each process found


class Noise(Images):
    """Images of noise; `sizes` are the numbers of training, validation and test images."""

    def __init__(self, batch_size: int, *sizes: int) -> None:
        super().__init__((1, 8, 8), batch_size, seed=0, num_workers=0)
        self.sizes = dict(zip(("train", "val", "test"), sizes, strict=True))

    def load(self, split: str) -> Split:
        """Dark and bright ones, so that no image measures as another."""
        generator = np.random.default_rng(len(split))
        n = self.sizes[split]
        bright = np.linspace(20, 256, n)[:, None, None, None]
        images = (generator.random((n, 1, 8, 8)) * bright).astype(np.uint8)
        return Split(images, generator.integers(0, NUM_CLASSES, n))


def vae(**options: Any) -> VAE:
    networks = [partial(net, hidden_channels=[4, 4]) for net in (FlatNormConvEncoder, FlatNormConvDecoder)]
    torch.manual_seed(0)
    return VAE(
        shape=(1, 8, 8),
        latent_dim=4,
        encoder=networks[0],
        decoder=networks[1],
        posterior=DiagonalGaussian,
        likelihood=Bernoulli(),
        **options,
        **TRAINING | {"optimizer": partial(SGD, lr=1e-3)},
    )


def classifier() -> ImageClassifier:
    torch.manual_seed(0)
    return ImageClassifier((1, 8, 8), NUM_CLASSES, partial(ResNet, hidden_channels=[4, 8]), **TRAINING)


def vqvae() -> VQVAE:
    """Past the start by k-means, and with codes that die."""
    torch.manual_seed(0)
    sizes = {"hidden_channels": 8, "residual_channels": 4}
    model = VQVAE(
        (1, 8, 8),
        partial(Encoder, downsampling=2, **sizes),
        EMAQuantizer(16, 4, decay=0.5, revive_below=0.5),
        partial(Decoder, upsampling=2, **sizes),
        NormalizedMSE(0.3),
        **TRAINING,
    )
    model.quantizer.codebook.normal_()
    model.quantizer.sums.copy_(model.quantizer.codebook)
    model.quantizer.num_updates.fill_(1)
    return model


def multiscale() -> ResidualVQVAE:
    """One codebook for three scales, whose rare codes cost more."""
    torch.manual_seed(0)
    sizes = {"hidden_channels": 8, "residual_channels": 4}
    return ResidualVQVAE(
        (1, 8, 8),
        partial(Encoder, downsampling=2, **sizes),
        partial(EMAQuantizer, 16, 4, decay=0.5, revive_below=0.5, rate_weight=0.02),
        partial(Decoder, upsampling=2, **sizes),
        NormalizedMSE(0.3),
        scales=[1, 2, 4],
        shared=True,
        refinement=0.5,
        **TRAINING,
    )


class Kept(pl.Callback):
    """The training figures of every batch, and a random number drawn after it."""

    def __init__(self) -> None:
        self.figures: list[dict[str, float]] = []
        self.drawn: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        measured = trainer.callback_metrics.items()
        self.figures.append({k: float(v) for k, v in measured if k.startswith("train/") and "second" not in k})
        self.drawn.append(float(torch.rand(())))


def trainer(*callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    world = dist.get_world_size() if dist.is_initialized() else 1
    return pl.Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        use_distributed_sampler=False,
        callbacks=list(callbacks),
        **({"max_epochs": 1} | options),
    )


def trained(model: Any, data: Images, **options: Any) -> dict[str, Any]:
    """What comes of a training in which the noise of posteriors is zero."""
    kept, randn_like = Kept(), torch.randn_like
    torch.randn_like = torch.zeros_like  # type: ignore[assignment]
    trainer(kept, **options).fit(model, data)
    torch.randn_like = randn_like  # type: ignore[assignment]
    return {"weights": model.state_dict(), "figures": kept.figures}


def measured(model: Any, data: Images) -> dict[str, float]:
    randn_like = torch.randn_like
    torch.randn_like = torch.zeros_like  # type: ignore[assignment]
    with torch.random.fork_rng():
        figures = trainer().validate(model, data, verbose=False)[0]
    torch.randn_like = randn_like  # type: ignore[assignment]
    return dict(figures)


def drawn(**options: Any) -> list[float]:
    """Numbers that a rank draws in the two epochs of a training."""
    pl.seed_everything(0, verbose=False)
    kept = Kept()
    trainer(Record({"seed": 0}, None, {}), kept, max_epochs=2).fit(vae(), Noise(4, 24, 6, 6), **options)
    return kept.drawn


def resumed(folder: Path) -> tuple[list[float], list[float]]:
    """As `drawn`, by a run that ended after one epoch and one that goes on from there."""
    pl.seed_everything(0, verbose=False)
    first, data = Kept(), Noise(4, 24, 6, 6)
    run = trainer(Record({"seed": 0}, None, {}), first)
    run.fit(vae(), data)
    run.save_checkpoint(folder / "last.ckpt")
    return first.drawn, drawn(ckpt_path=folder / "last.ckpt", weights_only=True)


def measures(world: int = 1) -> dict[str, Any]:
    """Figures of splits that two and three processes do not divide; `world` is how many share a batch of 12."""
    cases: list[tuple[Any, int]] = [(vae(free_bits=0.02), 7), (vqvae(), 25), (classifier(), 5)]
    return {
        "measured": [measured(model, Noise(12 // world, 6, n, 6)) for model, n in cases],
        "unequal": trained(vae(free_bits=0.02), Noise(12 // world, 11, 6, 6), max_epochs=2),
    }


def everything(folder: Path, world: int = 1) -> dict[str, Any]:
    """Each result by what it is of."""
    part = 12 // world
    return measures(world) | {
        "vae": trained(vae(free_bits=0.02), Noise(part, 36, 6, 6)),
        "classifier": trained(classifier(), Noise(part, 36, 6, 6)),
        "vqvae": trained(vqvae(), Noise(part, 36, 6, 6)),
        "multiscale": trained(multiscale(), Noise(part, 36, 6, 6)),
        "players": trained(
            adversarial(TRAINING["optimizer"], batch_norm=True, adaptive=True, penalty="lecam", penalty_weight=0.1),
            Noise(part, 36, 6, 6),
        ),
        "micro-batches": trained(vqvae(), Noise(part // 2, 36, 6, 6), accumulate_grad_batches=2),
        "drawn": drawn(),
        "resumed": resumed(folder),
    }


def run_rank(rank: int, world: int, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "test",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
    }
    timeout = timedelta(seconds=60)  # a rank that waits for another in vain is an error
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world, timeout=timeout)
    found = everything(folder, world) if world == 2 else measures(world)
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


def spawned(world: int, folder: Path) -> Ranks:
    """What each of some processes finds."""
    multiprocessing.spawn(run_rank, (world, folder), nprocs=world)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return everything(tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    return spawned(2, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    return spawned(3, tmp_path_factory.mktemp("three"))


def assert_close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected["weights"].items():
        torch.testing.assert_close(found["weights"][name], value, rtol=1e-5, atol=5e-6, msg=name)
    for step, figures in zip(found["figures"], expected["figures"], strict=True):
        assert step == pytest.approx(figures, rel=1e-5, abs=1e-6)


def test_figures_of_a_split_are_those_that_one_process_measures(two: Ranks, three: Ranks, alone: dict[str, Any]):
    for one in (*two, *three):
        for found, expected in zip(one["measured"], alone["measured"], strict=True):
            assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", ["vae", "classifier", "vqvae", "multiscale", "players"])
def test_a_training_is_that_of_one_process_on_the_joined_batch(name: str, two: Ranks, alone: dict[str, Any]):
    """Batch norm and its averages, free bits, a codebook whose codes die, a critic, and what is logged."""
    for one in two:
        assert_close(one[name], alone[name])


def test_so_is_one_on_batches_of_unequal_sizes(two: Ranks, three: Ranks, alone: dict[str, Any]):
    for one in (*two, *three):
        assert_close(one["unequal"], alone["unequal"])


def test_micro_batches_train_a_codebook_and_log_as_one_batch_does(two: Ranks, alone: dict[str, Any]):
    for one in (alone, *two):
        found = one["micro-batches"]
        assert_close(found | {"figures": found["figures"][1::2]}, alone["vqvae"])


def test_codes_die_in_the_training_of_this_test(alone: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(EMAQuantizer, "_revive", lambda *_: None)
    counts = trained(vqvae(), Noise(12, 36, 6, 6))["weights"]["quantizer.counts"]
    assert not torch.allclose(counts, alone["vqvae"]["weights"]["quantizer.counts"], rtol=0.1)


def test_every_rank_draws_its_own_noise(two: Ranks):
    numbers = [number for one in two for number in one["drawn"]]
    assert len(set(numbers)) == len(numbers)


def test_a_run_that_goes_on_draws_on_every_rank_what_it_would_have(two: Ranks):
    for one in two:
        before, after = one["resumed"]
        assert before + after == one["drawn"]

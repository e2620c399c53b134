"""What is measured while a model trains: gradient norm, speed, and how the codes are used."""

import time
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from vqgen.batch import CodeBatch, ImageBatch
from vqgen.environment.compat import logged_step
from vqgen.logging.protocols import CodeCountLogger
from vqgen.measure.metrics.codebook import counters
from vqgen.nn.distributed import sum_over_ranks


class GradientNorm(pl.Callback):
    """Logs `train/grad_norm`, the Euclidean norm of all gradients before clipping, where the trainer logs."""

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Gradients are whole here: summed over ranks and accumulated batches, unscaled, not yet clipped."""
        if _logs_at(trainer, trainer.global_step):
            pl_module.log("train/grad_norm", gradient_norm(pl_module))


def gradient_norm(module: torch.nn.Module) -> Float[Tensor, ""]:
    """Euclidean norm of the gradients of all parameters together; 0 where there are none."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients) if gradients else torch.tensor(0.0)
    return getattr(norm, "full_tensor", lambda: norm)()  # of weights in parts (vqgen.training.sharding)


class Throughput(pl.Callback):
    """Logs `train/images_per_second` over all devices, where the trainer logs.

    Only training steps and the reading of their batches count, not validation, pictures or checkpoints. Lightning's
    ThroughputMonitor cannot log this key: it logs `train|device/samples_per_sec`, on rank 0 and to the loggers alone.
    """

    def __init__(self) -> None:
        self._images, self._start = 0, 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; validation and the rest of the last epoch's end do not count."""
        self._images, self._start = 0, time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: ImageBatch | CodeBatch,
        batch_idx: int,
    ) -> None:
        """Count, and log where the trainer will; the clock starts anew there."""
        self._images += len(batch.index)
        if not self._start:  # resumed inside an epoch
            self._images, self._start = 0, time.perf_counter()
        elif pl_module.step_ends and _logs_at(trainer, logged_step(trainer)):
            if pl_module.device.type == "cuda":
                torch.cuda.synchronize(pl_module.device)
            now = time.perf_counter()
            (images,) = sum_over_ranks(torch.tensor(float(self._images), device=pl_module.device))
            pl_module.log("train/images_per_second", images / (now - self._start), prog_bar=True)
            self._images, self._start = 0, now


def _logs_at(trainer: Any, step: int) -> bool:
    """Whether the trainer hands metrics to its loggers at the end of this step, counted from 0."""
    return trainer.log_every_n_steps > 0 and (step + 1) % trainer.log_every_n_steps == 0


class CodeHistograms(pl.Callback):
    """Hands the loggers that show histograms how often each code of each level occurs in the validation split."""

    def __init__(self) -> None:
        self._counts: list[Tensor] = []

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the counts before the model resets them."""
        self._counts = sum_over_ranks(*(one.counts for one in counters(pl_module.get_submodule("usage.val"))))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log them as `val/codes_LEVEL`."""
        suffixes = getattr(pl_module, "figure_suffixes", [""])
        if len(suffixes) != len(self._counts):
            suffixes = [f"_{i}" for i in range(len(self._counts))]
        for logger in trainer.loggers:
            for suffix, counts in zip(suffixes, self._counts, strict=True):
                if isinstance(logger, CodeCountLogger) and not trainer.sanity_checking:
                    logger.log_code_counts(f"val/codes{suffix}", counts.tolist(), logged_step(trainer))

"""What happens beside the training step: the record in the checkpoint, pictures, warnings."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pytorch_lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn
from torch import Tensor

from vqgen import figures


class Record(pl.Callback):
    """Puts into every checkpoint what Lightning leaves out: the config, the tokenizer, the random state.

    Args:
        config: the resolved config as plain containers.
        tokenizer: path and fingerprint of a prior's tokenizer.
    """

    def __init__(self, config: dict[str, Any], tokenizer: dict[str, str] | None) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self._random_state: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the entry `vqgen`."""
        loggers = {type(logger).__name__: logger.version for logger in trainer.loggers}
        checkpoint["vqgen"] = {
            "config": self.config,
            "tokenizer": self.tokenizer,
            "random_state": _random_state(),
            "loggers": {name: str(version) for name, version in loggers.items() if version},
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the random state until training starts: setting up draws numbers too."""
        self._random_state = checkpoint["vqgen"]["random_state"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on with the random numbers of the interrupted run."""
        if self._random_state is not None:
            _set_random_state(self._random_state)


def _random_state() -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (kind, np.asarray(keys).tolist(), int(position), int(has_gauss), float(gauss)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_state(state: dict[str, Any]) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])


class _Pictures(pl.Callback):
    """Draws at the end of the first validation, of every n-th and of the last one.

    Args:
        every_n_epochs: epochs between pictures.
        num_images: images in a picture.
    """

    def __init__(self, every_n_epochs: int = 5, num_images: int = 16) -> None:
        self.every_n_epochs = every_n_epochs
        self.num_images = num_images

    def picture(self, trainer: pl.Trainer, model: Any) -> Float[Tensor, "3 H W"]:
        """What to draw."""
        raise NotImplementedError

    @rank_zero_only
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write `images/NAME_EPOCH.png` in the run folder and hand it to the loggers that show images."""
        epoch = trainer.current_epoch + 1
        last = trainer.max_epochs is not None and epoch == trainer.max_epochs
        if trainer.sanity_checking or (epoch != 1 and epoch % self.every_n_epochs and not last):
            return
        name = type(self).__name__.lower()
        with torch.no_grad():
            image = self.picture(trainer, pl_module)
        path = Path(trainer.default_root_dir, "images", f"{name}_{epoch:04d}.png")
        figures.save_png(image, path, figures.scale_for(image))
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image(key=f"val/{name}", images=[str(path)])


class Reconstructions(_Pictures):
    """Rows of originals, reconstructions and, for a tokenizer, the code map of each level."""

    def picture(self, trainer: pl.Trainer, model: Any) -> Float[Tensor, "3 H W"]:
        """Of the first validation images."""
        x = _first_validation_batch(trainer, model).x[: self.num_images]
        return figures.reconstructions(model, x)


class LatentSamples(_Pictures):
    """Images that a VAE decodes from z ~ N(0, I), the same z every time."""

    def picture(self, trainer: pl.Trainer, model: Any) -> Float[Tensor, "3 H W"]:
        """From seed 0."""
        return figures.grid(model.generate(self.num_images, seed=0))


class Samples(_Pictures):
    """Images drawn from a prior; a lower level's prior draws given the true codes of the levels above.

    Args:
        decode: code maps of all levels down to the prior's, to images.
        every_n_epochs: epochs between pictures.
        num_images: images in a picture.
    """

    def __init__(self, decode: Callable[..., Tensor], every_n_epochs: int = 5, num_images: int = 16) -> None:
        super().__init__(every_n_epochs, num_images)
        self.decode = decode

    def picture(self, trainer: pl.Trainer, model: Any) -> Float[Tensor, "3 H W"]:
        """With the labels, and upper levels, of the first validation images."""
        batch = _first_validation_batch(trainer, model)
        condition = [codes[: self.num_images] for codes in batch.codes[:-1]]
        label = batch.label[: self.num_images] if model.num_classes else None
        codes = model.sample(min(self.num_images, len(batch.index)), condition, label, seed=0)
        return figures.grid(self.decode([*condition, codes]))


def _first_validation_batch(trainer: pl.Trainer, model: pl.LightningModule) -> Any:
    batch = next(iter(trainer.datamodule.val_dataloader()))  # type: ignore[attr-defined]
    return trainer.strategy.batch_to_device(batch)  # with the data module's own step after the transfer


class CollapseWarning(pl.Callback):
    """Says in words when hardly any of a codebook is in use over the validation split.

    Args:
        min_usage: part of the codes that must be in use, 0 to 1.
    """

    def __init__(self, min_usage: float = 0.1) -> None:
        self.min_usage = min_usage

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the usage of every level."""
        for key, value in trainer.callback_metrics.items():
            if not trainer.sanity_checking and key.startswith("val/codebook_usage") and value < self.min_usage:
                rank_zero_warn(
                    f"{key} is {value:.1%}: the codebook has nearly collapsed, and a prior on these codes would learn "
                    "nothing; try a larger model.quantizer.revive_below, a lower learning rate, or fewer codes"
                )


class CollapsedCodesWarning(pl.Callback):
    """Says in words when the codes that a prior learns are nearly constant: a tokenizer that has collapsed.

    Args:
        min_entropy: of the codes, each by itself, in nats per code; that of K codes all in use is up to log K.
    """

    def __init__(self, min_entropy: float = 0.1) -> None:
        self.min_entropy = min_entropy

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the entropy of the validation codes."""
        entropy = trainer.callback_metrics["val/code_entropy"]
        if not trainer.sanity_checking and entropy < self.min_entropy:
            rank_zero_warn(
                f"val/code_entropy is {entropy:.3f} nats: nearly all codes are the same, the tokenizer has collapsed, "
                "and samples will all look alike; train a tokenizer with a higher codebook usage first"
            )


class OverfittingWarning(pl.Callback):
    """Says in words when the validation loss rises while the training loss falls.

    Args:
        margin: how far the validation loss must be above its best, as a part of it.
    """

    def __init__(self, margin: float = 0.02) -> None:
        self.margin = margin
        self.best = {"val": float("inf"), "train": float("inf")}
        self._total, self._steps = 0.0, 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sum anew."""
        self._total, self._steps = 0.0, 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the loss of the step."""
        self._total, self._steps = self._total + outputs["loss"].detach(), self._steps + 1

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare with the best epoch so far."""
        if trainer.sanity_checking or not self._steps:
            return
        now = {"val": float(trainer.callback_metrics["val/loss"]), "train": float(self._total / self._steps)}
        if now["val"] < self.best["val"]:
            self.best = now
        elif now["val"] > (1 + self.margin) * self.best["val"] and now["train"] < self.best["train"]:
            rank_zero_warn(
                f"over-fitting: val/loss is {now['val']:.4g} after a best of {self.best['val']:.4g}, and train/loss "
                f"fell from {self.best['train']:.4g} to {now['train']:.4g}; best.ckpt keeps the best weights; more "
                "dropout (model.network.dropout), a smaller network or more data would help"
            )

    def state_dict(self) -> dict[str, Any]:
        """The best epoch so far."""
        return self.best

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the best epoch of the interrupted run."""
        self.best = state_dict

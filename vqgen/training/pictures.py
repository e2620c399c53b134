"""Pictures drawn while a model trains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.batch import CodeBatch, Condition, ImageBatch
from vqgen.environment.compat import logged_step
from vqgen.logging.protocols import ImageLogger
from vqgen.pictures import figures
from vqgen.protocols import Autoencoder, Variational, priors_of
from vqgen.training.processes import on_rank_zero
from vqgen.training.turns import is_due


class _Pictures(pl.Callback):
    """Draws at the end of the first validation, of every n-th and of the last one.

    Args:
        every_n_epochs: epochs between pictures.
        num_images: images in a picture.
    """

    def __init__(self, every_n_epochs: int = 5, num_images: int = 16) -> None:
        self.every_n_epochs = every_n_epochs
        self.num_images = num_images

    def picture(self, trainer: pl.Trainer, model: pl.LightningModule) -> Float[Tensor, "3 H W"]:
        """What to draw."""
        raise NotImplementedError

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw on rank 0, where it is time."""
        if trainer.sanity_checking or not is_due(trainer, self.every_n_epochs, at_first=True):
            return
        if (model := on_rank_zero(trainer, pl_module)) is not None:
            self._draw(trainer, model)

    def _draw(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Write `images/NAME_EPOCH.png` in the run folder and hand it to the loggers that show images."""
        epoch, name = trainer.current_epoch + 1, type(self).__name__.lower()
        with torch.no_grad():
            image = self.picture(trainer, model)
        path = Path(trainer.default_root_dir, "images", f"{name}_{epoch:04d}.png")
        figures.save_png(image, path, figures.scale_for(image))
        for logger in trainer.loggers:
            if isinstance(logger, ImageLogger):
                logger.log_image(key=f"val/{name}", images=[str(path)], step=logged_step(trainer))


class Reconstructions(_Pictures):
    """Rows of originals, reconstructions and, for a tokenizer, the code map of each level."""

    def picture(self, trainer: pl.Trainer, model: pl.LightningModule) -> Float[Tensor, "3 H W"]:
        """Of the first validation images."""
        assert isinstance(model, Autoencoder)
        batch: ImageBatch = _first_validation_batch(trainer)
        return figures.reconstructions(model, batch.x[: self.num_images])


class LatentSamples(_Pictures):
    """Images that a VAE decodes from z ~ N(0, I), the same z every time."""

    def picture(self, trainer: pl.Trainer, model: pl.LightningModule) -> Float[Tensor, "3 H W"]:
        """From seed 0."""
        assert isinstance(model, Variational)
        return figures.grid(model.generate(self.num_images, seed=0))


class Samples(_Pictures):
    """Images drawn from a prior; a lower level's prior draws given the true codes of the levels above it.

    Args:
        decode: code maps of all levels down to the prior's, to images.
        every_n_epochs: as of the other pictures, and so `num_images`.
    """

    def __init__(self, decode: Callable[..., Tensor], every_n_epochs: int = 5, num_images: int = 16) -> None:
        super().__init__(every_n_epochs, num_images)
        self.decode = decode

    def picture(self, trainer: pl.Trainer, model: pl.LightningModule) -> Float[Tensor, "3 H W"]:
        """With the labels, and upper levels, of the first validation images."""
        priors = priors_of(model)
        batch: CodeBatch = _first_validation_batch(trainer)
        condition = batch.condition.first(self.num_images)
        codes = [*condition.upper[: priors[0].level]]
        for prior in priors:
            codes.append(prior.sample(min(self.num_images, len(batch.index)), Condition(codes, condition.given)))
        return figures.grid(self.decode(codes))


def _first_validation_batch(trainer: pl.Trainer) -> Any:
    batch = next(iter(trainer.datamodule.val_dataloader()))  # type: ignore[attr-defined]
    return trainer.strategy.batch_to_device(batch)  # with the data module's own step after the transfer

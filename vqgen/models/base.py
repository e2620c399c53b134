"""What all models share: players, optimiser and schedule, and every term of an objective logged under its own name."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Generic, NotRequired, TypedDict, TypeVar

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics.functional.image import peak_signal_noise_ratio

from vqgen.batch import CodeBatch, ImageBatch
from vqgen.environment.faults import explained, is_told
from vqgen.errors import UserError
from vqgen.nn.batch_norm import join_batch_norms
from vqgen.nn.distributed import mean_over_ranks
from vqgen.optim import Constant, Game, Objective, ParameterGroup, Player, Rates, make_optimizer
from vqgen.optim.optimizer import OptimizerError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
Batch = TypeVar("Batch", bound=ImageBatch | CodeBatch)


class ModelOptions(TypedDict):
    """The keyword arguments of `Model`, which every model takes beside its own."""

    optimizer: Callable[..., Optimizer]
    schedule: Constant
    parameter_groups: NotRequired[Mapping[str, ParameterGroup] | None]


def check_takes(argument: str, make: Callable[..., object], wanted: str) -> None:
    """Raise ValueError, which says what is `wanted`, unless the class or function `make` takes `argument`."""
    parameters = inspect.signature(make).parameters
    if argument not in parameters and all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
        name = getattr(getattr(make, "func", make), "__name__", str(make))
        raise ValueError(f"{name} does not fit: {wanted}")


def image_figures(x_hat: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> dict[str, Tensor]:
    """MSE and PSNR of reconstructions in [-1, 1]."""
    psnr = peak_signal_noise_ratio(x_hat, x, data_range=2.0, dim=(1, 2, 3))
    return {"mse": (x_hat - x).square().mean(), "psnr": psnr}


class Model(pl.LightningModule, Generic[Batch]):
    """A model with an objective.

    Args:
        optimizer: makes the optimiser from the parameters (a class of torch.optim with its other arguments bound).
        schedule: factor on the learning rate, from (step, planned steps).
        parameter_groups: parameters that are trained with other options, by the name of the group.
    """

    def __init__(
        self,
        optimizer: Callable[..., Optimizer],
        schedule: Constant,
        parameter_groups: Mapping[str, ParameterGroup] | None = None,
    ) -> None:
        super().__init__()
        self.optimizer = optimizer
        self.schedule = schedule
        self.parameter_groups = dict(parameter_groups or {})
        self.game: Game  # from `configure_optimizers` on
        self.terms: dict[str, Tensor] = {}  # terms of the last batch's loss, by name
        self._step_terms: list[Tensor] = []  # means of the terms of each micro-batch of this step

    def setup(self, stage: str) -> None:
        """Join the batch norms of all ranks; UserError for a precision that does not store weights in float32.

        Averages and codebooks in half precision drift: an update of 1 % is below its resolution.
        """
        if self.trainer.precision not in PRECISIONS:
            raise UserError(
                f"hardware.precision={self.trainer.precision}: weights and codebooks are kept in float32; take one of "
                f"{', '.join(PRECISIONS)}"
            )
        if stage == "fit" and self.trainer.world_size > 1:
            join_batch_norms(self)

    @abstractmethod
    def objective(self, batch: Batch) -> Objective:
        """The loss of a batch and its named terms."""

    def players(self) -> list[Player]:
        """Who trains which parameters: one player all of them, for `objective`.

        An adversarial model has a second one (docs/extending.md); see `vqgen.optim.Game` for how they play.
        """
        return [Player("model", "", lambda batch, outputs: self.objective(batch), self.optimizer, self.schedule)]

    def on_fit_start(self) -> None:
        """Say what `best.ckpt` goes by where further players change what it keeps."""
        monitor = getattr(self.trainer.checkpoint_callback, "monitor", None)
        if monitor and len(players := self.players()) > 1:
            others = " and ".join(player.name for player in players[1:])
            rank_zero_info(
                f"best.ckpt keeps the lowest {monitor}, which knows nothing of the {others}; "
                "callbacks.best.monitor=null keeps the last weights"
            )

    @abstractmethod
    def evaluate(self, batch: Batch, stage: str) -> None:
        """Log what is measured on a batch of the validation or test split under `stage/`.

        An adversarial model leaves out its critic's terms, unless it adds them: `val/loss`, which the best checkpoint
        goes by, then has fewer terms than `train/loss`.
        """

    def identity(self) -> dict[str, Tensor]:
        """The tensors, by name, that the fingerprint is made of: models trained on this one depend on them."""
        return self.state_dict()

    def rules(self) -> list[str]:
        """What the fingerprint is made of beside tensors."""
        return []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Log the terms of every player's objective and return the sum of their losses.

        Its mean over ranks is the mean over the images of the joined batch, also where ranks have unequal numbers.
        """
        turn, size = self.game.play(batch), len(batch.index)
        self.terms = {name: term.detach() for name, term in turn.terms.items()}
        self._log_step(self.terms, size)
        average = mean_over_ranks(turn.loss.new_full((), size), 1)
        return turn.loss * (size / average)

    def _log_step(self, terms: dict[str, Tensor], size: int) -> None:
        """Log terms as means over the images of an optimiser's step so far: of all ranks and micro-batches."""
        means = mean_over_ranks(torch.stack([term.detach().float() for term in terms.values()]), size)
        self._step_terms.append(means)
        so_far = torch.stack(self._step_terms).mean(dim=0)
        self.log_dict({f"train/{name}": mean for name, mean in zip(terms, so_far, strict=True)})
        if self.step_ends:
            self._step_terms = []

    @property
    def step_ends(self) -> bool:
        """Whether the optimiser steps after the training batch in hand (`trainer.accumulate_grad_batches`).

        Lightning's own `_should_accumulate` is private, and differs only where a strategy accumulates (DeepSpeed).
        """
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        ready = progress.current.ready
        is_last = progress.is_last_batch or ready == self.trainer.num_training_batches
        return is_last or ready % self.trainer.accumulate_grad_batches == 0

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure on the validation split."""
        self.evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure on the test split."""
        self.evaluate(batch, "test")

    def log_means(self, stage: str, values: Mapping[str, Tensor], batch_size: int) -> None:
        """Log values of one evaluation batch, to be averaged over the split and over ranks."""
        named = {f"{stage}/{name}": value for name, value in values.items()}
        size = float(batch_size)  # Lightning averages the sizes over ranks in their own type: integers are cut
        self.log_dict(named, batch_size=size, on_step=False, on_epoch=True, sync_dist=True)  # type: ignore[arg-type]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig | None:
        """The optimiser of all players, the rate of each of its groups scheduled per step."""
        self.game = Game(self, self.players())
        try:
            optimizer, owners = make_optimizer(self.game, self.parameter_groups)
        except OptimizerError as error:
            if is_told(error.cause):
                raise explained(error.cause, error.at, error.options) from error.cause
            raise error.cause from None
        total_steps = self.trainer.estimated_stepping_batches
        rates = Rates(optimizer, [partial(player.schedule, total_steps=total_steps) for player in owners])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients of each player by themselves: large ones of one do not shrink those of another."""
        if not gradient_clip_val or len(self.game.players) == 1:
            return super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        by_value = gradient_clip_algorithm == "value"
        clip: Callable[..., object] = nn.utils.clip_grad_value_ if by_value else nn.utils.clip_grad_norm_
        for parameters in self.game.parameters:
            clip(parameters.values(), gradient_clip_val)

"""A prior of all levels in one network, each drawn at once from those above it: VAR's (arXiv 2404.02905)."""

from collections.abc import Callable, Sequence
from typing import Unpack

import torch
from jaxtyping import Float
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn

from vqgen.batch import CodeBatch, Condition
from vqgen.models.base import ModelOptions
from vqgen.models.level_prior import Conditions, RasterLevel
from vqgen.models.prior import PriorModel
from vqgen.nn.priors import Conditioner, ScaleTransformer, code_nats
from vqgen.optim import Objective, weighted


class NextScalePrior(PriorModel):
    """p(codes of all levels | class label) = product of p(codes of a level | codes of the levels above, class label).

    Within a level no code depends on another, so that a level takes one call of the network; what they have in common,
    the levels above must say. That fits levels of a sum, `ResidualVQVAE` with `scales`, whose maps grow from one code
    on, and no map that is drawn from nothing.

    Args:
        network: makes the network from `grids`, `num_embeddings` and `condition_channels`.
        conditioner: makes what the label is embedded by, as of a top level.
        grid: (height, width) of the last level's code map.
        num_embeddings: codebook size K of the last level.
        upper_grids: grids of the levels above, top first.
        upper_num_embeddings: codebook sizes of the levels above, top first.
        num_classes: number of class labels; 0 for a prior without labels.
        model: optimizer and schedule.
    """

    exact = True

    def __init__(
        self,
        network: Callable[..., ScaleTransformer],
        conditioner: Callable[..., Conditioner],
        grid: Sequence[int],
        num_embeddings: int,
        upper_grids: Sequence[Sequence[int]],
        upper_num_embeddings: Sequence[int],
        num_classes: int,
        **model: Unpack[ModelOptions],
    ) -> None:
        super().__init__([*upper_num_embeddings, num_embeddings], **model)
        self.grids = [(height, width) for height, width in [*upper_grids, grid]]
        self.num_embeddings = [*upper_num_embeddings, num_embeddings]
        self.num_classes = num_classes
        self.conditioner = conditioner(
            grid=self.grids[0], upper_num_embeddings=[], upper_grids=[], num_classes=num_classes
        )
        self.network = network(
            grids=self.grids,
            num_embeddings=self.num_embeddings,
            condition_channels=self.conditioner.out_channels,
        )

    def on_fit_start(self) -> None:
        """Say so where nothing can tell the codes of a whole map of each other."""
        super().on_fit_start()
        height, width = self.grids[0]
        if height * width > 1:
            rank_zero_warn(
                f"the top level's {height}x{width} codes will be drawn without regard for each other, as nothing is "
                "above them: model=next_scale is for tokenizers whose scales begin with 1, such as model=multiscale; "
                "for others take model=transformer"
            )

    def of_levels(self) -> list["PriorOfScale"]:
        """The prior of each level, top first, all of this one network."""
        return [PriorOfScale(self, level) for level in range(len(self.grids))]

    def features(self, condition: Condition, num_samples: int) -> list[Float[Tensor, "b c _ _"]]:
        """Features of the levels that the condition has codes of, and of the next one."""
        upper, given = condition
        size = len(upper[0]) if upper else num_samples
        return self.network(upper, self.conditioner(Condition((), given), size), size)

    def nll(self, batch: CodeBatch) -> list[Float[Tensor, "b _ _"]]:
        """Negative log-likelihood in nats of each code of each level, by one call of the network."""
        *upper, _ = batch.codes
        features = self.features(Condition(upper, batch.given), len(batch.index))
        return [
            code_nats(self.network.head(level)(codes, features[level]), codes)
            for level, codes in enumerate(batch.codes)
        ]

    def objective(self, batch: CodeBatch) -> Objective:
        """Mean negative log-likelihood in nats per code of all levels, and that of each level as a figure."""
        self.check_given(batch)
        nats = self.nll(batch)
        mean = torch.cat([level.flatten(1) for level in nats], dim=1).mean()
        return weighted({"nats_per_code": mean}, {}, figures=self._of_each(nats))

    def _of_each(self, nats: Sequence[Tensor]) -> dict[str, Tensor]:
        names = [f"{height}x{width}" for height, width in self.grids]
        unique = len(set(names)) == len(names)
        return {f"nats_per_code_{names[i]}" + ("" if unique else f"_{i}"): level.mean() for i, level in enumerate(nats)}


class PriorOfScale(RasterLevel):
    """One level of a `NextScalePrior`: its codes do not depend on each other, and any order draws the same.

    Args:
        owner: the prior of all levels.
        level: which one, from the top.
    """

    conditioner: "FromAbove"

    def __init__(self, owner: NextScalePrior, level: int) -> None:
        super().__init__()
        self.owner, self.level = owner, level
        self.grid, self.num_embeddings = owner.grids[level], owner.num_embeddings[level]
        self.num_classes = owner.num_classes
        self.network = owner.network.head(level)
        self.conditioner = FromAbove(owner, level)

    @property
    def training(self) -> bool:
        """The mode of the owner, which is another's too."""
        return self.owner.training

    @training.setter
    def training(self, mode: bool) -> None:
        """Set with the owner's own, by `train` and `eval`."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.parameters()).device


class FromAbove(nn.Module):
    """Features of a level from the codes above it and the label: all that its logits depend on."""

    def __init__(self, owner: NextScalePrior, level: int) -> None:
        super().__init__()
        self.owner, self.level = owner, level

    @property
    def takes(self) -> list[str]:
        """Names of the conditions beside codes that make a difference."""
        return self._conditions.takes

    @property
    def _conditions(self) -> Conditions:
        return self.owner.conditioner

    def check(self, condition: Condition, none: bool = True) -> None:
        """Raise UserError for a label, or another condition, that is none of them."""
        self._conditions.check(condition, none)

    def forward(self, condition: Condition, num_samples: int = 1) -> Float[Tensor, "b c h w"]:
        """Features at every position of the level."""
        if len(condition.upper) != self.level:
            grids = [list(codes.shape[1:]) for codes in condition.upper]
            raise ValueError(f"the upper codes have grids {grids}, and this is the level below {self.level} others")
        return self.owner.features(condition, num_samples)[self.level]

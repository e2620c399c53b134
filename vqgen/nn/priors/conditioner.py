"""The conditioning of a prior: the codes of upper levels, the class label and other conditions, in one feature map."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.batch import Condition
from vqgen.errors import UserError
from vqgen.nn.autoencoders.residual import ResidualBlock
from vqgen.nn.sizes import check_at_least, check_share


class Upsample(nn.ConvTranspose2d):
    """To a larger grid by its true ratio in each axis: every place inside a cell has weights of its own."""

    def __init__(self, channels: int, grid: Sequence[int], new_grid: Sequence[int]):
        if new_grid[0] % grid[0] or new_grid[1] % grid[1]:
            raise ValueError(f"the grid {list(new_grid)} is no multiple of the upper level's grid {list(grid)}.")
        ratio = (new_grid[0] // grid[0], new_grid[1] // grid[1])
        super().__init__(channels, channels, kernel_size=ratio, stride=ratio)


class UntrainedError(ValueError):
    """An embedding without dropout is used without a value, which it was never trained on."""


class LabelEmbedding(nn.Module):
    """A vector for each class, or other kind, and one for none, which in training stands in for a share of the labels.

    A network that has seen both can be guided when it draws (arXiv 2207.12598).

    Args:
        channels: of a vector.
        num_classes: number of classes.
        dropout: share of the labels replaced by no class in training; 0.1 is usual. With 0 a label is required.
    """

    def __init__(self, channels: int, num_classes: int, dropout: float = 0.1):
        check_at_least(1, num_classes=num_classes)
        check_share(dropout=dropout)
        super().__init__()
        self.num_classes, self.dropout = num_classes, dropout
        self.embedding = nn.Embedding(num_classes + 1, channels)

    def knows(self, label: Int[Tensor, " b"] | None) -> bool:
        """Whether training moves the vectors of these labels (None: no class)."""
        if self.dropout > 0 or (self.training and label is not None):
            return True
        return label is not None and not bool((label == self.num_classes).any())

    def check(self, name: str, label: Int[Tensor, " b"], none: bool = True) -> None:
        """Raise UserError for a label out of range, where `none` says whether no class may be among them.

        It reads values, which `forward` must not: a GPU would wait.
        """
        low, high = int(label.min()), int(label.max())
        if low < 0 or high >= self.num_classes + none:
            raise UserError(f"{name}={low if low < 0 else high}: there are {self.num_classes}, from 0 (num_classes)")

    def forward(self, label: Int[Tensor, " b"] | None, num_samples: int) -> Float[Tensor, "b c 1 1"]:
        """Vectors of the labels; `num_classes`, or None for all samples, is no class: UntrainedError with dropout 0."""
        if not self.knows(label):
            raise UntrainedError
        if label is None:
            device = self.embedding.weight.device
            label = torch.full((num_samples,), self.num_classes, dtype=torch.long, device=device)
        if self.training and self.dropout > 0:
            dropped = torch.rand(label.shape, device=label.device) < self.dropout
            label = label.masked_fill(dropped, self.num_classes)
        return self.embedding(label)[:, :, None, None]


class Conditioner(nn.Module):
    """One map for a prior's network from a `Condition`: the codes of the levels above, the label and other conditions.

    The levels are merged from the top down, each upsampled to the grid of the next; residual blocks work on
    the grid of the last (VQ-VAE-2, arXiv 1906.00446, appendix A), which is then upsampled to this level's. The vectors
    of label and other conditions are added.

    Args:
        grid: height and width of the level whose prior is conditioned.
        upper_num_embeddings: codebook sizes of the levels above, top first; empty for the top level.
        upper_grids: their heights and widths; each a multiple of the one before, and `grid` of the last.
        num_classes: number of class labels; 0 for none.
        channels: width of the map.
        num_residual_blocks: 20 and 8 in VQ-VAE-2; unused on the top level.
        residual_channels: width inside a residual block.
        label_dropout: share of the labels replaced by no class in training; 0.1 is usual. With 0 a label is required,
            and there is no guidance.
        others: for each other condition, by its name, what makes its embedding from `channels`: a module from
            (value or None for not given, number of samples) to vectors ``b c 1 1``, such as `LabelEmbedding`.
    """

    def __init__(
        self,
        grid: Sequence[int],
        upper_num_embeddings: Sequence[int] = (),
        upper_grids: Sequence[Sequence[int]] = (),
        num_classes: int = 0,
        channels: int = 64,
        num_residual_blocks: int = 4,
        residual_channels: int = 64,
        label_dropout: float = 0.1,
        others: Mapping[str, Callable[..., nn.Module]] | None = None,
    ):
        check_at_least(1, channels=channels, residual_channels=residual_channels)
        check_at_least(0, num_residual_blocks=num_residual_blocks, num_classes=num_classes)
        check_share(label_dropout=label_dropout)
        super().__init__()
        if len(upper_num_embeddings) != len(upper_grids):
            raise ValueError(
                f"upper_num_embeddings has {len(upper_num_embeddings)} levels and upper_grids "
                f"{len(upper_grids)}: give both for every level above."
            )
        self.upper_grids = [tuple(upper) for upper in upper_grids]
        self.num_classes = num_classes
        self.out_channels = channels if self.upper_grids or num_classes or others else 0
        self.embeddings = nn.ModuleList(nn.Embedding(size, channels) for size in upper_num_embeddings)
        steps = pairwise([*self.upper_grids, tuple(grid)])
        self.upsample = nn.ModuleList(Upsample(channels, old, new) for old, new in steps)
        num_blocks = num_residual_blocks if self.upper_grids else 0
        self.blocks = nn.Sequential(*(ResidualBlock(channels, residual_channels) for _ in range(num_blocks)))
        self.label = LabelEmbedding(channels, num_classes, label_dropout) if num_classes else None
        self.others = nn.ModuleDict({name: make(channels=channels) for name, make in (others or {}).items()})

    @property
    def _embeddings(self) -> dict[str, nn.Module]:
        """What makes vectors of each condition, by the condition's name."""
        return ({} if self.label is None else {"label": self.label}) | dict(self.others.items())

    @property
    def takes(self) -> list[str]:
        """Names of the conditions beside codes that make a difference, `label` first."""
        return list(self._embeddings)

    def forward(self, condition: Condition, num_samples: int = 1) -> Float[Tensor, "b e _ _"] | None:
        """The condition map: of the whole grid below other levels, 1x1 of label and the like alone, None of nothing.

        Conditions that this prior does not take are ignored; `num_samples` is the size of the batch, where the
        condition does not tell it. UserError where no class is asked for, and none has ever been trained.
        """
        upper, given = condition
        grids = [tuple(codes.shape[1:]) for codes in upper]
        if not _in_proportion(grids, self.upper_grids):
            raise ValueError(f"the upper codes have grids {grids}, but the prior was built for {self.upper_grids}.")
        size = len(upper[0]) if upper else num_samples
        parts = [self._merge_levels(upper)] if upper else []
        for name, embedding in self._embeddings.items():
            try:
                parts.append(embedding(given.get(name), size))
            except UntrainedError:
                raise UserError(_never_without(name)) from None
        return sum(parts[1:], parts[0]) if parts else None

    def check(self, condition: Condition, none: bool = True) -> None:
        """Raise UserError for a label, or another condition of kinds, that is none of them; see `LabelEmbedding`."""
        for name, embedding in self._embeddings.items():
            value = condition.given.get(name)
            if isinstance(embedding, LabelEmbedding) and value is not None and value.device.type != "meta":
                embedding.check(name, value, none)

    def _merge_levels(self, upper: Sequence[Tensor]) -> Tensor:
        """Features of all levels above on this level's grid."""
        *embeddings, last = (e(u).permute(0, 3, 1, 2) for e, u in zip(self.embeddings, upper, strict=True))
        *upsample, last_upsample = self.upsample
        x = 0
        for features, larger in zip(embeddings, upsample, strict=True):
            x = larger(x + features)
        return last_upsample(self.blocks(x + last))


def _in_proportion(grids: Sequence[Sequence[int]], built: Sequence[Sequence[int]]) -> bool:
    """Whether grids are those that were built for, or all larger or smaller by one factor an axis."""
    if len(grids) != len(built):
        return False
    return all(a[i] * built[0][i] == b[i] * grids[0][i] for a, b in zip(grids, built, strict=True) for i in (0, 1))


def _never_without(name: str) -> str:
    """The error where a prior is asked to do without a condition that it was never trained without."""
    if name == "label":
        return (
            "this prior was trained with model.conditioner.label_dropout=0 and has seen no image without its class: "
            "give every sample a label and guidance=1, or train with label_dropout=0.1"
        )
    return (
        f"this prior was trained with dropout=0 of {name} and has seen no image without: give every sample its {name} "
        f"(condition={{{name}:VALUE}}) and guidance=1, or train with model.conditioner.others.{name}.dropout=0.1"
    )

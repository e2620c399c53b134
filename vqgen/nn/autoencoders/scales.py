"""A feature map as a sum over scales, each of which quantizes what those before it have left.

Of one grid it is residual quantization (arXiv 2203.01941, section 3.1), of growing ones the multi-scale tokenizer of
VAR (arXiv 2404.02905, algorithm 1).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.nn.quantize import Quantization, Quantizer, VectorQuantizer
from vqgen.nn.quantize.base import StraightThrough

Quantize = Callable[[Quantizer, Tensor], Quantization]


class Refinement(nn.Module):
    """(1 - share) x + share conv3x3(x): what enlarging has blurred is mended (arXiv 2404.02905, section 3.2)."""

    def __init__(self, channels: int, share: float):
        super().__init__()
        self.share = share
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.rule = "" if share == 0.5 else f"share={float(share)}"  # for fingerprints of codes; a half is VAR's

    def forward(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        """A map of the same size."""
        return torch.lerp(x, self.conv(x), self.share)


class Resize(nn.Module):
    """A map at another size, by two matrix products: the mean of areas if smaller, bicubic if larger.

    Unlike torch's own ways, both are deterministic on a GPU. Where the size stays, maps of any size pass as they are.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, grid: Sequence[int], new_grid: Sequence[int]):
        super().__init__()
        self.stays = tuple(grid) == tuple(new_grid)
        for name, size, new in zip(("rows", "columns"), grid, new_grid, strict=True):
            self.register_buffer(name, _resizing(size, new), persistent=False)

    def forward(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d H W"]:
        """The map at the new size."""
        return x if self.stays else self.rows.to(x.dtype) @ x @ self.columns.to(x.dtype).T


def _resizing(size: int, new: int) -> Float[Tensor, "new size"]:
    """What each of the new places takes of the old ones: each row adds up to 1."""
    every = torch.eye(size)[None, :, :, None]  # each place as a channel, a map of one column
    if new <= size:
        return F.adaptive_avg_pool2d(every, (new, 1))[0, :, :, 0].T
    return F.interpolate(every, (new, 1), mode="bicubic", align_corners=False)[0, :, :, 0].T


class Scales(nn.Module):
    """z = sum over scales of phi_k(enlarged e(c_k)), c_k being the codes of what is left, made smaller to scale k.

    Args:
        grids: height and width of each scale, the coarsest first; the last is that of the feature map.
        quantizers: one for each scale, or a single one for all: its codebook then learns from all scales at once.
        refinement: share of phi_k that is a convolution, 0 to 1; 0 for none.
    """

    def __init__(
        self, grids: Sequence[tuple[int, int]], quantizers: Sequence[VectorQuantizer], refinement: float = 0.0
    ) -> None:
        super().__init__()
        if len(quantizers) not in (1, len(grids)):
            raise ValueError(f"{len(quantizers)} quantizers for {len(grids)} scales: give one for each, or one for all")
        if not 0 <= refinement <= 1:
            raise ValueError(f"{refinement=} must be from 0 to 1; 0.5 is usual, 0 is none")
        self.grids = [tuple(grid) for grid in grids]
        self.quantizers = nn.ModuleList(quantizers)
        dim = quantizers[0].embedding_dim
        self.smaller = nn.ModuleList(Resize(self.grids[-1], grid) for grid in self.grids)
        self.larger = nn.ModuleList(Resize(grid, self.grids[-1]) for grid in self.grids)
        self.refined = refinement > 0
        self.refine = nn.ModuleList(Refinement(dim, refinement) if refinement else nn.Identity() for _ in self.grids)

    @property
    def of_scales(self) -> list[VectorQuantizer]:
        """The quantizer of each scale."""
        made = [quantizer for quantizer in self.quantizers if isinstance(quantizer, VectorQuantizer)]
        return made * (len(self.grids) // len(made))

    def forward(self, z_e: Float[Tensor, "b d h w"]) -> tuple[Float[Tensor, "b d h w"], list[Quantization]]:
        """The sum, with the straight-through gradient, and what each scale's quantizer did, the coarsest first.

        Each level's losses are of its own residual, in which what the scales before have said is fixed. The last has
        `refinement_loss` too, the squared error of the sum, from which the refinements learn.
        """
        if len(self.quantizers) == 1:
            self.of_scales[0].start(z_e)
        levels: list[Quantization] = []
        ends = self.of_scales[-1].step_ends

        def quantize(quantizer: Quantizer, left: Tensor) -> Quantization:
            last = len(levels) == len(self.grids) - 1
            if len(self.quantizers) == 1:
                quantizer.step_ends = ends and last  # one update, of what all scales have given
            levels.append(quantizer(left))
            return levels[-1]

        total = self._sum(z_e, quantize)
        if self.refined:
            losses = {**levels[-1].losses, "refinement_loss": F.mse_loss(total, z_e.detach())}
            levels[-1] = replace(levels[-1], losses=losses)
        return StraightThrough.apply(z_e, total.detach()), levels

    def look_up(self, z_e: Float[Tensor, "b d h w"]) -> list[Quantization]:
        """As `forward`, but no codebook learns from it, in training mode neither."""
        levels: list[Quantization] = []

        def quantize(quantizer: Quantizer, left: Tensor) -> Quantization:
            levels.append(quantizer.look_up(left))
            return levels[-1]

        self._sum(z_e, quantize)
        return levels

    def embed(self, codes: Sequence[Int[Tensor, "b _ _"] | None]) -> Float[Tensor, "b d h w"]:
        """The sum of what codes say; of a scale that is None, or left out at the end, nothing."""
        said = [
            self._said(k, quantizer.embed(level))
            for k, (quantizer, level) in enumerate(zip(self.of_scales, codes, strict=False))
            if level is not None
        ]
        return sum(said[1:], said[0])

    def _sum(self, z_e: Float[Tensor, "b d h w"], quantize: Quantize) -> Float[Tensor, "b d h w"]:
        """The sum of what all scales say; with a gradient for the refinements alone."""
        total = torch.zeros_like(z_e)
        for k, quantizer in enumerate(self.of_scales):
            left = self.smaller[k](z_e - total.detach())
            total = total + self._said(k, quantize(quantizer, left).z_q.detach())
        return total

    def _said(self, k: int, z_q: Float[Tensor, "b d _ _"]) -> Float[Tensor, "b d h w"]:
        """What a scale adds to the sum."""
        refined: Tensor = self.refine[k](self.larger[k](z_q))
        return refined

"""Tokenizers whose levels each say what those before have left: RQ-VAE (2203.01941), and the multi-scale one of VAR."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.models.discrete_autoencoder import LEVEL_NAMES, DiscreteAutoencoder, Forward, TokenizerOptions
from vqgen.models.vqvae import networks_of
from vqgen.nn.autoencoders.scales import Scales
from vqgen.nn.likelihoods import ReconstructionLoss
from vqgen.nn.quantize import Quantizer, VectorQuantizer, of_level
from vqgen.nn.sizes import check_at_least

Grid = tuple[int, int]


class ResidualVQVAE(DiscreteAutoencoder):
    """A feature map of the encoder as a sum of quantized maps, each of what is left; the decoder sees the sum.

    Without `scales` it is residual quantization, with them, one codebook and refinement the tokenizer of VAR.

    Args:
        shape: (channels, height, width) of the images; the encoder's `downsampling` must divide height and width.
        encoder: makes the encoder, images to `z_e`, from `in_channels` and `out_channels`.
        quantizer: makes the quantizer of a level; where a seed is bound to it, each level has one of its own.
        decoder: makes the decoder, the sum to the likelihood's parameters, from `in_channels` and `out_channels`.
        likelihood: compares the decoder's output with the image.
        scales: side of each level's map, or its (height, width), growing up to that of the encoder's map; None for that
            alone.
        depth: levels of the last of these grids, each of what those before have left; 4 in RQ-VAE. Each costs as many
            bits as the first, and adds less.
        shared: one codebook for all levels, or one for each.
        refinement: share of a convolution in what each level adds, 0 to 1; 0.5 in VAR, 0 for none.
        model: optimizer, schedule and critic.
    """

    def __init__(
        self,
        shape: Sequence[int],
        encoder: Callable[..., nn.Module],
        quantizer: Callable[..., VectorQuantizer],
        decoder: Callable[..., nn.Module],
        likelihood: ReconstructionLoss,
        scales: Sequence[int | Sequence[int]] | None = None,
        depth: int = 1,
        shared: bool = False,
        refinement: float = 0.0,
        **model: Unpack[TokenizerOptions],
    ) -> None:
        check_at_least(1, depth=depth)
        first = of_level(quantizer, 0)
        if not isinstance(first, VectorQuantizer) or first.learns_through_z_q:
            raise ValueError(
                f"{type(first).__name__} does not fit a sum of code vectors, each of which needs a table that learns "
                "by itself: take model/quantizer=ema, gradient, cosine, rotation, simvq or ibq"
            )
        networks = networks_of(shape, encoder, decoder, first.embedding_dim, likelihood)
        grids = _grids(scales, networks.grid) + [networks.grid] * (depth - 1)
        quantizers = [first, *(of_level(quantizer, level) for level in range(1, 1 if shared else len(grids)))]
        super().__init__(shape, grids, [first.num_embeddings] * len(grids), likelihood, **model)
        self.encoder, self.decoder = networks.encoder, networks.decoder
        self.scales = Scales(grids, quantizers, refinement)

    @property
    def level_names(self) -> list[str]:
        """The sizes of the grids, numbered where one comes again; the depths from 1, where there is but one."""
        if len(set(self.grids)) == 1:
            return [f"depth{i + 1}" for i in range(len(self.grids))]
        again = [self.grids[:i].count(grid) for i, grid in enumerate(self.grids)]
        sizes = (f"{height}x{width}" for height, width in self.grids)
        return [f"{size}_{count + 1}" if count else size for size, count in zip(sizes, again, strict=True)]

    def forward(self, x: Float[Tensor, "b c h w"]) -> Forward:
        """Encode, quantise level after level, decode the sum."""
        z_q, levels = self.scales(self.encoder(x))
        return Forward(self.decoder(z_q), levels)

    def features(self, x: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """The encoder's map, as a list of one: what a level is given of it depends on the codes of those before."""
        return [self.encoder(x)]

    def nearest(self, features: list[Float[Tensor, "b _ _ _"]]) -> list[Int[Tensor, "b _ _"]]:
        """The code maps of all levels for a feature map."""
        return [level.codes for level in self.scales.look_up(features[0])]

    @property
    def quantizers(self) -> list[Quantizer]:
        """The quantizer of each level; the same one for all, where it is shared."""
        return [*self.scales.of_scales]

    def decode_output(self, codes: Sequence[Int[Tensor, "b _ _"] | None]) -> Float[Tensor, "b o h w"]:
        """The decoder's output for code maps; levels that are None, or left out at the end, add nothing."""
        return self.decoder(self.scales.embed(codes))


class ResidualMapVQVAE(ResidualVQVAE):
    """Residual quantization with one codebook, whose codes are one level: `depth` of them side by side for each place.

    A prior's code then knows all codes of the places before it, and those before it of its own: what the RQ-Transformer
    learns (arXiv 2203.01941, section 3.2), and any other prior of one level. Figures are still those of each depth.

    Args:
        shape, encoder, quantizer, decoder, likelihood: as of `ResidualVQVAE`.
        depth: codes of each place, each of what those before have left.
        model: optimizer, schedule and critic.
    """

    def __init__(
        self,
        shape: Sequence[int],
        encoder: Callable[..., nn.Module],
        quantizer: Callable[..., VectorQuantizer],
        decoder: Callable[..., nn.Module],
        likelihood: ReconstructionLoss,
        depth: int = 4,
        **model: Unpack[TokenizerOptions],
    ) -> None:
        super().__init__(shape, encoder, quantizer, decoder, likelihood, depth=depth, shared=True, **model)
        height, width = self.grids[0]
        self.codes_per_place, self.grids = depth, [(height, width * depth)]
        self.num_embeddings = self.num_embeddings[:1]

    @property
    def level_names(self) -> list[str]:
        """That of the one level."""
        return [*LEVEL_NAMES[1]]

    @property
    def figure_suffixes(self) -> list[str]:
        """The depths, from 1."""
        return [f"_depth{i + 1}" for i in range(self.codes_per_place)]

    def nearest(self, features: list[Float[Tensor, "b _ _ _"]]) -> list[Int[Tensor, "b _ _"]]:
        """The code map of a feature map, as a list of one."""
        return [torch.stack(super().nearest(features), dim=3).flatten(2)]

    def decode_output(self, codes: Sequence[Int[Tensor, "b _ _"] | None]) -> Float[Tensor, "b o h w"]:
        """The decoder's output for a list of one code map."""
        only = codes[0]
        if only is None:
            raise ValueError("the codes of all depths are one level, which is needed")
        return super().decode_output(list(only.unflatten(2, (-1, self.codes_per_place)).unbind(3)))

    def code_images(self, level: int, codes: Int[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
        """Images of maps of one code each, as the first of every place; the others add nothing."""
        height, width = self.grids[0]
        first = codes[:, None, None].expand(-1, height, width // self.codes_per_place)
        return self.likelihood.x_hat(super().decode_output([first])).clamp(-1, 1)


def _grids(scales: Sequence[int | Sequence[int]] | None, whole: Grid) -> list[Grid]:
    """The grids of scales, if each is larger than the one before, and the last is the whole map's."""
    if scales is None:
        return [whole]
    grids: list[Grid] = [(s, s) if isinstance(s, int) else (s[0], s[1]) for s in scales]
    grows = all(a != b and a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(grids))
    if not grids or min(grids[0]) < 1 or not grows or grids[-1] != whole:
        named, (height, width) = list(scales), whole
        raise ValueError(
            f"scales={named} must grow, from 1 at least, up to the encoder's map, {height}x{width}: such as "
            f"{_halves(whole)}"
        )
    return grids


def _halves(whole: Grid) -> list[int | list[int]]:
    """A grid, and its halves and quarters down to one row or column, the smallest first."""
    sizes = [whole]
    while min(sizes[0]) > 1:
        sizes.insert(0, (-(-sizes[0][0] // 2), -(-sizes[0][1] // 2)))
    return [h if h == w else [h, w] for h, w in sizes]

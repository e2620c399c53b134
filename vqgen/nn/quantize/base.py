"""The interface of quantizers."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.nn.quantize.search import nearest_vectors
from vqgen.nn.sizes import check_at_least

LEVEL_SEEDS = 1_000_003
"""Between the seeds of levels, beyond those of a sweep."""

MAX_EMBEDDINGS = 2**20
"""Codes of a codebook at most: their uses are counted, and a prior gives a probability to each."""


@dataclass(frozen=True)
class Quantization:
    """Quantized maps: `z_q` carries the gradient back to `z_e`; `losses` by name, without their weights."""

    z_q: Float[Tensor, "b d h w"]
    codes: Int[Tensor, "b h w"]
    losses: Mapping[str, Float[Tensor, ""]]


class Quantizer(nn.Module):
    """Maps each vector of a feature map to one of `num_embeddings` vectors of `embedding_dim` numbers.

    The codes of `forward` are those of `nearest`, and `embed` gives its `z_q`; not so in training, where
    `learns_through_z_q` says that noise is added, or codes are drawn.
    """

    num_embeddings: int
    embedding_dim: int
    learns_through_z_q: bool = False
    """Whether code vectors learn by the gradient of `z_q`, and not by losses or averages."""

    rule: str = ""
    """How `nearest` chooses, where its tensors do not tell: empty for the least distance."""

    step_ends: bool = True
    """False while more micro-batches of the optimiser step follow: a codebook is updated after the last one."""

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of the losses of `forward`; 1 for a loss that is not named."""
        return {}

    def forward(self, z_e: Float[Tensor, "b d h w"]) -> Quantization:
        """Quantize a feature map, and in training mode update a codebook by it."""
        raise NotImplementedError

    def nearest(self, z_e: Float[Tensor, "b d h w"]) -> Int[Tensor, "b h w"]:
        """Index of the code vector that stands for each position."""
        raise NotImplementedError

    def embed(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """The code vectors of a map of codes, each from 0 to `num_embeddings` - 1."""
        raise NotImplementedError

    def look_up(self, z_e: Float[Tensor, "b d h w"]) -> Quantization:
        """As `forward`, without losses and without an update of the codebook, in training mode too."""
        codes = self.nearest(z_e)
        return Quantization(as_stored(self.embed(codes).to(z_e.dtype), z_e), codes, {})

    def put_back(self) -> None:
        """Project the code vectors again, after something other than training, such as averaging, has moved them."""

    def learning_state(self) -> list[Tensor]:
        """Buffers that only the training of a codebook needs."""
        return []

    def check_channels(self, z_e: Float[Tensor, "b d h w"]) -> None:
        """Raise ValueError where `z_e` is not of `embedding_dim` channels."""
        if z_e.shape[1] != self.embedding_dim:
            raise ValueError(
                f"z_e has {z_e.shape[1]} channels, but code vectors have embedding_dim={self.embedding_dim}:"
                " make the encoder's out_channels equal to embedding_dim"
            )


Made = TypeVar("Made", bound=Quantizer)


class VectorQuantizer(Quantizer):
    """A quantizer with a table of code vectors, `codebook`; a subclass trains the table.

    Inputs and code vectors are compared after `project`, which a subclass whose vectors lie on a surface overrides.
    Distances and losses are computed in float32, also under autocast.

    Args:
        num_embeddings: number of code vectors K, for instance 64 to 8192.
        embedding_dim: numbers in a code vector D, for instance 16 to 256.
        commitment_cost: weight beta of the commitment term, which draws the encoder to its code vectors;
            results hardly change from 0.1 to 2 (arXiv 1711.00937, section 3.2).
    """

    codebook: Tensor

    def __init__(self, num_embeddings: int, embedding_dim: int, commitment_cost: float = 0.25):
        if not 2 <= num_embeddings <= MAX_EMBEDDINGS:
            raise ValueError(f"{num_embeddings=} must be from 2 to {MAX_EMBEDDINGS:,}; 512 is usual")
        check_at_least(1, embedding_dim=embedding_dim)
        if commitment_cost < 0:
            raise ValueError(f"{commitment_cost=} must not be negative; 0.25 is usual")
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.commitment_cost = commitment_cost

    @property
    def loss_weights(self) -> dict[str, float]:
        """The papers' beta on the commitment term."""
        return {"commitment_loss": self.commitment_cost}

    def initial_codebook(self) -> Float[Tensor, "k d"]:
        """Small uniform vectors, within 1 / K of the origin."""
        bound = 1 / self.num_embeddings
        return torch.empty(self.num_embeddings, self.embedding_dim).uniform_(-bound, bound)

    def forward(self, z_e: Float[Tensor, "b d h w"]) -> Quantization:
        """The nearest code vectors, their indices, and the losses of equation 3 of arXiv 1711.00937."""
        self.check_channels(z_e)
        with without_autocast(z_e.device):
            full = self.project(z_e.float())
            x = rows(full.detach())
            self.place(x)
            quantized = self.quantize(full, x)
        return replace(quantized, z_q=quantized.z_q.to(z_e.dtype))

    @torch.no_grad()
    def nearest(self, z_e: Float[Tensor, "b d h w"]) -> Int[Tensor, "b h w"]:
        """Index of the code vector closest to each position, in squared Euclidean distance."""
        self.check_channels(z_e)
        with without_autocast(z_e.device):
            full = self.project(z_e.float())
            return self.choose(full, rows(full))

    def embed(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """The code vectors of a map of codes, each from 0 to `num_embeddings` - 1."""
        return F.embedding(codes, self.project(self.codebook)).permute(0, 3, 1, 2)

    def start(self, z_e: Float[Tensor, "b d h w"]) -> None:
        """Place the codebook by these features, where it has not learnt yet, and not by those of the first call."""
        with without_autocast(z_e.device):
            self.place(rows(self.project(z_e.detach().float())))

    def place(self, x: Float[Tensor, "n d"]) -> None:
        """Place the codebook before the first vectors are quantized in training; here it stays as it was made."""

    def project(self, vectors: Float[Tensor, "n d *map"]) -> Float[Tensor, "n d *map"]:
        """Vectors of `embedding_dim` numbers on the surface where they are compared; here they stay."""
        return vectors

    @torch.no_grad()
    def put_back(self) -> None:
        """Project the codebook: an average of directions is no direction, for instance."""
        self.codebook.copy_(self.project(self.codebook))

    def quantize(self, z_e: Float[Tensor, "b d h w"], x: Float[Tensor, "n d"]) -> Quantization:
        """`forward` of projected features in float32; `x` are the vectors of `z_e` in rows, without gradient."""
        codes = self.choose(z_e, x)
        z_q = as_stored(self.embed(codes), z_e)
        return Quantization(self.carry_gradient(z_e, z_q.detach()), codes, self.losses(z_e, z_q))

    def losses(self, z_e: Float[Tensor, "b d h w"], z_q: Float[Tensor, "b d h w"]) -> dict[str, Float[Tensor, ""]]:
        """The commitment term, for codebooks that learn without a gradient."""
        return {"commitment_loss": F.mse_loss(z_e, z_q.detach())}

    def carry_gradient(self, z_e: Float[Tensor, "b d h w"], z_q: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        """`z_q`, with the straight-through gradient: what arrives at `z_q` is given to `z_e` unchanged."""
        return StraightThrough.apply(z_e, z_q)

    def choose(self, z_e: Float[Tensor, "b d h w"], x: Float[Tensor, "n d"]) -> Int[Tensor, "b h w"]:
        """Index of the code for each position of projected features, whose vectors in rows are `x`."""
        return nearest_vectors(x, self.project(self.codebook)).view(len(z_e), *z_e.shape[2:])


def of_level(quantizer: Callable[..., Made], level: int) -> Made:
    """The quantizer of a level, counted from the top, whose seed is bound to it: each level draws its own."""
    seed = getattr(quantizer, "keywords", {}).get("seed")
    return quantizer() if seed is None else quantizer(seed=seed + LEVEL_SEEDS * level)


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """A context in which float32 stays float32 (the meta device knows no autocast)."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def rows(z: Float[Tensor, "b d h w"]) -> Float[Tensor, "n d"]:
    """The vectors of a map, in raster order."""
    return z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])


def as_stored(z: Float[Tensor, "b d h w"], like: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
    """`z` in the memory format of `like`, so that what is computed from both needs no conversion."""
    if like.is_contiguous(memory_format=torch.channels_last):
        return z.contiguous(memory_format=torch.channels_last)
    return z.contiguous()


class StraightThrough(torch.autograd.Function):
    """The value of the second argument, the gradient of the first."""

    @staticmethod
    def forward(ctx, z_e: Tensor, z_q: Tensor) -> Tensor:
        """Pass on `z_q`."""
        return z_q.view_as(z_q)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        """Pass the gradient to `z_e`."""
        return grad, None

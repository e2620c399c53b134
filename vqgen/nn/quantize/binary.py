"""Binary codes: the signs of a vector's numbers; LFQ (arXiv 2310.05737) and BSQ (arXiv 2406.07548)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from vqgen.nn.quantize.base import MAX_EMBEDDINGS, Quantization, Quantizer, StraightThrough, as_stored, without_autocast

SMALLEST = 1e-30  # probability of which an entropy is told apart from that of 0, where its slope is infinite


class BinaryQuantizer(Quantizer):
    """Each number is rounded to one of two values, and the code is its signs: nothing is looked for, nor learnt.

    `entropy_loss` is the mean entropy of a vector's codes, which is to be small, less `diversity` times the entropy of
    all vectors' codes together, which is to be large; both in nats, the codes of a vector being distributed by its
    distance to them. On several ranks each has that of its own part of the batch.

    Args:
        num_embeddings: codes K, a power of two; its logarithm is `embedding_dim`.
        entropy_weight: of `entropy_loss`.
        diversity: weight gamma of the entropy of all together against that of each; 1 is usual.
        temperature: of the distribution: lower is nearer to the code itself.
        commitment_cost: weight of the commitment term.
    """

    normalized: bool

    def __init__(
        self,
        num_embeddings: int,
        entropy_weight: float = 0.1,
        diversity: float = 1.0,
        temperature: float = 1.0,
        commitment_cost: float = 0.25,
    ):
        if not 2 <= num_embeddings <= MAX_EMBEDDINGS or num_embeddings & (num_embeddings - 1):
            below = 2 ** min(max(num_embeddings.bit_length() - 1, 1), 20)
            raise ValueError(
                f"{num_embeddings=} must be a power of two from 2 to 2^20, as each bit is a sign: such as {below} or "
                f"{min(2 * below, MAX_EMBEDDINGS)}"
            )
        if temperature <= 0:
            raise ValueError(f"{temperature=} must be positive; 1 is usual")
        for name, value in (
            ("entropy_weight", entropy_weight),
            ("diversity", diversity),
            ("commitment_cost", commitment_cost),
        ):
            if value < 0:
                raise ValueError(f"{name}={value} must not be negative")
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, num_embeddings.bit_length() - 1
        self.entropy_weight, self.diversity, self.temperature = entropy_weight, diversity, temperature
        self.commitment_cost = commitment_cost
        self.register_buffer("bits", 2 ** torch.arange(self.embedding_dim).view(-1, 1, 1), persistent=False)

    bits: Tensor

    @property
    def loss_weights(self) -> dict[str, float]:
        """Of both losses."""
        return {"entropy_loss": self.entropy_weight, "commitment_loss": self.commitment_cost}

    @property
    def size(self) -> float:
        """The magnitude of each number of a code vector."""
        return self.embedding_dim**-0.5 if self.normalized else 1.0

    def forward(self, z_e: Float[Tensor, "b d h w"]) -> Quantization:
        """The code vectors, with the straight-through gradient."""
        self.check_channels(z_e)
        with without_autocast(z_e.device):
            full = self.project(z_e.float())
            codes = self._codes(full)
            z_q = as_stored(self.embed(codes), full)
            losses = {"entropy_loss": self.entropy_loss(full), "commitment_loss": F.mse_loss(full, z_q)}
            z_q = StraightThrough.apply(full, z_q)
        return Quantization(z_q.to(z_e.dtype), codes, losses)

    @torch.no_grad()
    def nearest(self, z_e: Float[Tensor, "b d h w"]) -> Int[Tensor, "b h w"]:
        """The code of the signs at each position; that of 0 is positive."""
        self.check_channels(z_e)
        return self._codes(z_e)

    def embed(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """The signs of codes, times their size: bit i of the code is dimension i."""
        positive = (codes[:, None] & self.bits) > 0
        return torch.where(positive, self.size, -self.size)

    def project(self, z_e: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        """What the code vectors stand for."""
        return F.normalize(z_e, dim=1) if self.normalized else z_e

    def probabilities(self, z: Float[Tensor, "b d h w"]) -> Float[Tensor, "n d"]:
        """Of a positive sign, by dimension: softmax of -|z - c|^2 / temperature over codes c, a product of these."""
        return torch.sigmoid(4 * self.size / self.temperature * z).permute(0, 2, 3, 1).flatten(0, 2)

    def entropy_loss(self, z: Float[Tensor, "b d h w"]) -> Float[Tensor, ""]:
        """Of a batch of projected vectors."""
        p = self.probabilities(z)
        return _entropy(p).sum(dim=1).mean() - self.diversity * self.entropy_of_all(p)

    def entropy_of_all(self, p: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """The entropy of the mean distribution of vectors with these probabilities, in nats."""
        raise NotImplementedError

    def _codes(self, z: Float[Tensor, "b d h w"]) -> Int[Tensor, "b h w"]:
        return ((z >= 0) * self.bits).sum(dim=1)


class LFQ(BinaryQuantizer):
    """Look-up free quantization (arXiv 2310.05737): signs; the entropy of all is that over all K codes.

    Their K probabilities are the product of two matrices, each over the codes of half of the bits: exact, without a
    number for each vector and code.
    """

    normalized = False

    def entropy_of_all(self, p: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """Equation 6, over all codes."""
        half = (self.embedding_dim + 1) // 2
        low, high = (_products(part) for part in (p[:, :half], p[:, half:]))
        mean = (low.T @ high) / len(p)
        return _entr(mean).sum()


class BSQ(BinaryQuantizer):
    """Binary spherical quantization (arXiv 2406.07548): signs of a vector of length 1, as one of length 1.

    The entropy of all is that of each bit, summed (equation 10): it grows with their number, not with K.
    """

    normalized = True

    def entropy_of_all(self, p: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """As if bits were independent: an upper bound."""
        return _entropy(p.mean(dim=0)).sum()


def _entropy(p: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Of a bit, in nats."""
    return _entr(p) + _entr(1 - p)


def _entr(p: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """-p log p, with a finite gradient everywhere: a sure bit has a probability of exactly 0 or 1 in float32."""
    return torch.special.entr(p.clamp(min=SMALLEST))


def _products(p: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
    """The probability of each code of some bits."""
    codes = p.new_ones(len(p), 1)
    for bit in p.unbind(dim=1):
        codes = torch.cat([codes * (1 - bit[:, None]), codes * bit[:, None]], dim=1)
    return codes

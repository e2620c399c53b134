"""The vector quantizer of VQ-VAE-2 (arXiv 1906.00446): the codebook is a moving average of its inputs."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.nn.distributed import sum_over_ranks, take_from_rank_zero
from vqgen.nn.quantize.base import Quantization, VectorQuantizer
from vqgen.nn.quantize.kmeans import ask_again, assign, codebook_start
from vqgen.nn.quantize.revival import draw_by_error
from vqgen.nn.quantize.search import nearest_vectors
from vqgen.nn.sizes import check_at_least

REVIVED_AT_A_TIME = 64
"""One of so many codes, at most, is revived in an update: each rank sends the others as many vectors."""
_APART = 0x9E3779B1  # multiples of it, modulo 2^32, are spread evenly (a prime next to 2^32 / golden ratio)


class EMAQuantizer(VectorQuantizer):
    """Codebook of exponential moving averages (arXiv 1711.00937, appendix A.1; arXiv 1906.00446, eq. 3-5).

    It starts from k-means over the first training batch. Counts and sums run over all ranks, so every rank
    holds the same codebook, that of a single process on the joined batch. Where an optimiser step has several
    micro-batches (see `step_ends`), all of them make one update together; only k-means has the first of them alone. A
    code that is hardly used is put on a vector of the batch, drawn with odds of its squared error. Rank 0 decides for
    all where k-means starts, and which codes are revived on what vectors. What is drawn depends on `seed` and the
    number of updates alone, so that a resumed run does as an uninterrupted one. But for the first step, in which
    k-means starts the codebook, nothing is read back from a device.

    With a `rate_weight` a vector takes the code of least |z_e - e|^2 + rate_weight * variance * bits: the bits are
    -log2 of the code's share of the running counts, the variance that of the code vectors by these shares, so that the
    scale of the features does not matter (entropy-constrained vector quantization, Chou, Lookabaugh & Gray 1989, doi
    10.1109/29.17498). Rare codes are then taken less, and an entropy coder or a prior pays less for all. Where one
    codebook serves several scales, the shares are of all of them together. Revival, `revive_below`, brings codes back
    that have become too dear.

    Args, after those of `VectorQuantizer`:
        decay: of the moving averages, in [0, 1); 0.99 follows about the last 100 batches.
        warmup: the decay is (1 + t) / (warmup + t) after t updates until that reaches `decay`: at first the
            encoder moves fast, and an average over its past lags behind it; 1 is `decay` from the start.
        epsilon: of the Laplace smoothing of the counts; far below 1.
        revive_below: a code is revived when its running count falls below this fraction of the mean count;
            0 never revives. At 0.01 a code survives some 460 batches without use at decay 0.99.
        seed: decides what is drawn; another for each level, and each run that is to start otherwise.
        rate_weight: what a bit is worth, as a part of the variance; 0 takes the nearest code; 0.003 to 0.03 save
            bits, 1 and more leave a handful of codes.
    """

    counts: Tensor
    sums: Tensor
    num_updates: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        commitment_cost: float = 0.25,
        decay: float = 0.99,
        epsilon: float = 1e-5,
        revive_below: float = 0.01,
        warmup: int = 10,
        seed: int = 0,
        rate_weight: float = 0.0,
    ):
        if not 0 <= decay < 1:
            raise ValueError(f"{decay=} must be in [0, 1); 0.99 is usual")
        if epsilon <= 0:
            raise ValueError(f"{epsilon=} must be positive; 1e-5 is usual")
        if not 0 <= revive_below < 1:
            raise ValueError(f"{revive_below=} must be in [0, 1): a fraction of the mean count, 0 for never")
        if warmup < 1:
            raise ValueError(f"{warmup=} must be at least 1; 10 is usual, 1 is none")
        check_at_least(0, rate_weight=rate_weight)
        super().__init__(num_embeddings, embedding_dim, commitment_cost)
        self.rate_weight = rate_weight
        self.decay = decay
        self.warmup = warmup
        self.epsilon = epsilon
        self.revive_below = revive_below
        self.seed = seed
        codebook = self.project(self.initial_codebook())
        self.register_buffer("codebook", codebook)
        self.register_buffer("counts", torch.ones(num_embeddings))
        self.register_buffer("sums", codebook.clone())
        self.register_buffer("num_updates", torch.tensor(0))
        if rate_weight:
            self.rule = f"{self.rule} rate_weight={float(rate_weight)}".strip()
        self.has_started: bool | None = None  # as far as the host knows: `num_updates` tells
        self.register_load_state_dict_post_hook(ask_again)
        self._placed = False  # by `start`, in this step
        self._gathered: list[tuple[Tensor, Tensor]] = []  # vectors and codes of the micro-batches of this step

    def quantize(self, z_e: Float[Tensor, "b d h w"], x: Float[Tensor, "n d"]) -> Quantization:
        """Quantize with the codebook as it is, then, in training, update it by `x`."""
        quantized = super().quantize(z_e, x)
        if self.training:
            codes = quantized.codes.flatten()
            if self.step_ends and not self._gathered:
                self._update(x, codes)
            else:
                self._gather(x, codes)
        return quantized

    def start(self, z_e: Float[Tensor, "b d h w"]) -> None:
        """Place the codebook by k-means over these features, where it has not learnt yet."""
        super().start(z_e)
        self._placed = self.training

    def place(self, x: Float[Tensor, "n d"]) -> None:
        """Place the codebook by k-means over the first vectors, unless `start` has in this step."""
        if not self.training or self._gathered or self._placed:
            return
        if self.has_started is None:
            self.has_started = bool(self.num_updates > 0)
        if not self.has_started:
            self._start(x)

    def choose(self, z_e: Float[Tensor, "b d h w"], x: Float[Tensor, "n d"]) -> Int[Tensor, "b h w"]:
        """Index of the nearest code, or of the one that is best at what its bits are worth."""
        if not self.rate_weight:
            return super().choose(z_e, x)
        return nearest_vectors(x, self.project(self.codebook), self._costs()).view(len(z_e), *z_e.shape[2:])

    def _costs(self) -> Float[Tensor, " k"]:
        """What the bits of each code are worth, in squared distance."""
        shares = self._smoothed_counts() / self.counts.sum()
        spread = (self.codebook - shares @ self.codebook).square().sum(dim=1)
        return -self.rate_weight * (shares @ spread) * shares.log2()

    def learning_state(self) -> list[Tensor]:
        """The running averages behind the codebook, less those that the choice of codes goes by."""
        needed = ("codebook", "counts") if self.rate_weight else ("codebook",)
        return [buffer for name, buffer in self.named_buffers() if name not in needed]

    @torch.compiler.disable
    @torch.no_grad()
    def _start(self, x: Float[Tensor, "n d"]) -> None:
        """Start codes, counts and sums from k-means over (a draw from) the joined batch."""
        centres, counts = codebook_start(x, self.num_embeddings, self._generator(), self.project)
        self.codebook.copy_(centres)
        self.counts.copy_(counts)
        self.sums.copy_(self.codebook * self.counts[:, None])

    def _gather(self, x: Float[Tensor, "n d"], codes: Int[Tensor, " n"]) -> None:
        """Keep a micro-batch; at the last one of the step, update by all of them."""
        self._gathered.append((x, codes))
        if self.step_ends:
            vectors, indices = zip(*self._gathered, strict=True)
            self._gathered = []
            self._update(torch.cat(vectors), torch.cat(indices), [len(part) for part in vectors])

    @torch.no_grad()
    def _update(self, x: Float[Tensor, "n d"], codes: Int[Tensor, " n"], parts: Sequence[int] = ()) -> None:
        counts, sums = sum_over_ranks(*assign(x, codes, self.num_embeddings))
        weight = self._weight()
        self.counts.lerp_(counts, weight)
        self.sums.lerp_(sums, weight)
        averages = self.project(self.sums / self._smoothed_counts()[:, None])
        seen = (counts > 0)[:, None]  # smoothing would draw the average of an unused code to the origin
        self.codebook.copy_(torch.where(seen, averages, self.codebook))
        if self.revive_below:
            self._revive(x, codes, parts)
        self.num_updates += 1
        self.has_started, self._placed = True, False

    def _weight(self) -> Float[Tensor, ""]:
        """1 - decay of this update, the weight of the batch; a tensor, or torch.compile would compile every step."""
        return ((self.warmup - 1) / (self.warmup + self.num_updates)).clamp(min=1 - self.decay)

    def _smoothed_counts(self) -> Float[Tensor, " k"]:
        """Laplace-smoothed counts, with the same total; used for the division only, never stored back."""
        total = self.counts.sum()
        return (self.counts + self.epsilon) / (total + self.num_embeddings * self.epsilon) * total

    def _revive(self, x: Float[Tensor, "n d"], codes: Int[Tensor, " n"], parts: Sequence[int]) -> None:
        """Put dead codes where the batch is quantized worst: code, running sum and running count alike."""
        mean = self.counts.mean()
        dead = take_from_rank_zero(self.counts < self.revive_below * mean)
        if x.device.type == "cpu" and not torch.compiler.is_compiling() and not dead.any():
            return  # what follows would change nothing; a GPU would have to be waited for to know
        errors = (x - self.codebook[codes]).square().sum(dim=1)
        errors = errors + errors.mean() * 1e-6  # vectors on their codes too, where no others are left
        number = -(-self.num_embeddings // REVIVED_AT_A_TIME)
        rows, there_are = draw_by_error(x, errors, number, self.num_updates + _APART * self.seed, parts)
        rows, turn = take_from_rank_zero(rows), dead.cumsum(0) - 1
        revived = (dead & (turn < there_are))[:, None]
        rows = rows[turn.clamp(0, number - 1)]
        self.codebook.copy_(torch.where(revived, rows, self.codebook))
        self.sums.copy_(torch.where(revived, rows * mean, self.sums))
        self.counts.copy_(torch.where(revived[:, 0], mean, self.counts))

    def _generator(self) -> torch.Generator:
        """A generator for this update; seed 0 is that of runs from before there were seeds, others lie far apart."""
        return torch.Generator().manual_seed((int(self.num_updates) + _APART * self.seed) % 2**32)

"""An autoregressive prior over the codes of one level (arXiv 1601.06759 eq. 1; arXiv 1906.00446, section 3.2)."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.batch import CodeBatch
from vqgen.measure.metrics.codebook import CodebookUsage
from vqgen.models.base import Model
from vqgen.nn.sampling import Known, sample_codes, sample_seeds
from vqgen.nn.stepwise.incremental import Incremental
from vqgen.optim import Objective, weighted


class Prior(Model):
    """p(codes of a level | codes of the levels above, class label) as a product over positions in raster order.

    Args:
        network: makes the causal network from `num_embeddings` and `condition_channels`.
        conditioner: makes the map that the network is conditioned on from the grids, codebook sizes and classes.
        grid: (height, width) of this level's code map.
        num_embeddings: codebook size K of this level.
        upper_grids: grids of the levels above, top first.
        upper_num_embeddings: codebook sizes of the levels above, top first.
        num_classes: number of class labels; 0 for a prior without labels.
        model: optimizer and schedule.
    """

    def __init__(
        self,
        network: Callable[..., nn.Module],
        conditioner: Callable[..., nn.Module],
        grid: Sequence[int],
        num_embeddings: int,
        upper_grids: list[list[int]],
        upper_num_embeddings: list[int],
        num_classes: int,
        **model: Any,
    ) -> None:
        super().__init__(**model)
        self.grid = tuple(grid)
        self.num_embeddings = num_embeddings
        self.num_classes = num_classes
        self.level = len(upper_grids)
        self.conditioner: Any = conditioner(
            grid=grid, upper_num_embeddings=upper_num_embeddings, upper_grids=upper_grids, num_classes=num_classes
        )
        self.network: Any = network(num_embeddings=num_embeddings, condition_channels=self.conditioner.out_channels)
        self.usage: Any = nn.ModuleDict({stage: CodebookUsage(num_embeddings) for stage in ("val", "test")})

    def forward(
        self, codes: Int[Tensor, "b h w"], condition: list[Int[Tensor, "b _ _"]], label: Int[Tensor, " b"] | None
    ) -> Float[Tensor, "b k h w"]:
        """Logits of every code given those before it, the upper levels' codes and the label (None: any)."""
        return self.network(codes, self.conditioner(condition, label))

    def log_prob(
        self, codes: Int[Tensor, "b h w"], condition: list[Int[Tensor, "b _ _"]], label: Int[Tensor, " b"] | None
    ) -> Float[Tensor, "b h w"]:
        """Log-probability of each code in nats."""
        return -F.cross_entropy(self(codes, condition, label), codes, reduction="none")

    def sample(
        self,
        num_samples: int,
        condition: list[Int[Tensor, "b _ _"]],
        label: Int[Tensor, " b"] | None = None,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        guidance: float = 1.0,
        known: Known | None = None,
        seed: int = 0,
        first: int = 0,
        progress: bool = False,
    ) -> Int[Tensor, "b h w"]:
        """Draw code maps of this level.

        Args:
            num_samples: how many maps.
            condition: codes of the levels above, top first, one map of each per sample.
            label: class of each sample; None draws without a class, which a prior knows that has seen no class in
                training (`label_dropout`).
            temperature: divides the logits; below 1 likelier and less varied.
            top_k: draw among the k likeliest codes only.
            top_p: draw among the likeliest codes that together have this probability.
            guidance: weight of classifier-free guidance (arXiv 2207.12598); 1 is none, above 1 is truer to the label.
            known: codes to keep, the rest is drawn (completion).
            seed: sample i is a function of (seed, level, i), whatever the number of samples, up to the rounding of
                logits: where a draw falls on the last bits of a boundary, another number, device or processor draws
                another code. No stream of random numbers serves two of these.
            first: number i of the first of these samples, where they are drawn batch by batch.
            progress: show a bar by rows.

        Raises:
            UserError: guidance, or no label, with a prior that has never been trained without one.
        """
        training = self.training
        self.eval()
        with torch.no_grad():
            label = None if label is None else label.to(self.device)
            conditional = self.conditioner(condition, label, num_samples)
            unconditional = self.conditioner(condition, None, num_samples) if guidance != 1 else None
            codes = sample_codes(
                self.network, self.grid, num_samples, conditional, unconditional=unconditional, guidance=guidance,
                temperature=temperature, top_k=top_k, top_p=top_p, known=known,
                seeds=sample_seeds(seed, range(first, first + num_samples), self.level), progress=progress,
            )  # fmt: skip
        self.train(training)
        return codes

    @torch.no_grad()
    def start(
        self, num_samples: int, condition: list[Int[Tensor, "b _ _"]], label: Int[Tensor, " b"] | None = None
    ) -> Incremental:
        """The prior before the first code, to be asked for `logits` and told by `push` one code after another.

        Args:
            num_samples: maps at a time.
            condition: codes of the levels above, top first, one map of each per sample.
            label: class of each sample; None for no class.
        """
        return self.network.start(num_samples, self.grid, self.conditioner(condition, label, num_samples))

    def objective(self, batch: CodeBatch) -> Objective:
        """Mean negative log-likelihood in nats per code of this level, and accuracy of the likeliest code."""
        *condition, codes = batch.codes
        logits = self(codes, condition, batch.label if self.num_classes else None)
        accuracy = (logits.argmax(1) == codes).float().mean()
        return weighted({"nats_per_code": F.cross_entropy(logits, codes)}, {}, figures={"accuracy": accuracy})

    def evaluate(self, batch: CodeBatch, stage: str) -> None:
        """Log the loss, nats and bits per code and accuracy, and count the codes."""
        objective = self.objective(batch)
        measured = {"bits_per_code": objective.loss / math.log(2)}
        self.log_means(stage, objective.terms | measured, len(batch.index))
        self.usage[stage].update(batch.codes[-1])

    def on_validation_epoch_end(self) -> None:
        """Log the entropy of the validation codes, each by itself."""
        self._log_code_entropy("val")

    def on_test_epoch_end(self) -> None:
        """Log the entropy of the test codes, each by itself."""
        self._log_code_entropy("test")

    def _log_code_entropy(self, stage: str) -> None:
        """In nats: what a prior without any context would need per code."""
        self.log(f"{stage}/code_entropy", self.usage[stage].compute().perplexity.log(), sync_dist=True)
        self.usage[stage].reset()

"""Priors over the codes of one level: what all share, and the autoregressive one (arXiv 1601.06759, 1906.00446)."""

import math
from collections.abc import Callable, Sequence
from typing import Unpack

import torch
from torch import nn

from vqgen.batch import CodeBatch
from vqgen.errors import UserError, near_miss
from vqgen.measure.metrics.codebook import CodebookUsage, counters
from vqgen.models.base import Model, ModelOptions
from vqgen.models.level_prior import Conditions, LevelPrior, RasterLevel
from vqgen.nn.priors import Conditioner, code_nats
from vqgen.nn.priors.causality import check_causal
from vqgen.optim import Objective, weighted


class PriorModel(Model[CodeBatch]):
    """What training asks of every prior, of one level or several.

    Args:
        learned: codebook size of each level that it learns, the last ones of a batch.
        model: optimizer and schedule.
    """

    exact: bool  # whether `nll` is the negative log-likelihood, or a bound
    conditioner: Conditions

    def __init__(self, learned: Sequence[int], **model: Unpack[ModelOptions]) -> None:
        super().__init__(**model)
        self.usage = nn.ModuleDict(
            {stage: nn.ModuleList(CodebookUsage(size) for size in learned) for stage in ("val", "test")}
        )

    def check_given(self, batch: CodeBatch) -> None:
        """Raise UserError in training on images that do not tell what the prior takes."""
        if self.training and (missing := [name for name in self.conditioner.takes if name not in batch.given]):
            known = near_miss(missing[0], batch.given) or ", but nothing beside their pixels"
            raise UserError(
                f"model.conditioner: the prior takes {missing[0]}, which the images do not tell{known}: train a "
                "tokenizer on data that do"
            )

    def on_before_batch_transfer(self, batch: CodeBatch, dataloader_idx: int) -> CodeBatch:
        """Raise UserError for a label, or another condition, that has no embedding; on the CPU, where no GPU waits."""
        self.conditioner.check(batch.condition, none=False)
        return batch

    def measure(self, batch: CodeBatch) -> Objective:
        """The objective on a batch of the validation or test split."""
        return self.objective(batch)

    def evaluate(self, batch: CodeBatch, stage: str) -> None:
        """Log the loss, nats and bits per code and other figures, and count the codes."""
        objective = self.measure(batch)
        measured = {"bits_per_code" + ("" if self.exact else "_bound"): objective.loss / math.log(2)}
        self.log_means(stage, objective.terms | measured, len(batch.index))
        metrics = counters(self.usage[stage])
        for metric, codes in zip(metrics, batch.codes[-len(metrics) :], strict=True):
            metric.update(codes)

    def on_validation_epoch_end(self) -> None:
        """Log the entropy of the validation codes, each by itself."""
        self._log_code_entropy("val")

    def on_test_epoch_end(self) -> None:
        """Log the entropy of the test codes, each by itself."""
        self._log_code_entropy("test")

    def _log_code_entropy(self, stage: str) -> None:
        """In nats: what a prior without any context would need per code."""
        metrics = counters(self.usage[stage])
        numbers = torch.stack([metric.counts.sum() for metric in metrics])
        entropies = torch.stack([metric.compute().perplexity.log() for metric in metrics])
        self.log(f"{stage}/code_entropy", (entropies * numbers).sum() / numbers.sum(), sync_dist=True)
        for metric in metrics:
            metric.reset()


class CodePrior(LevelPrior, PriorModel):
    """p(codes of a level | codes of the levels above, class label).

    Args:
        network: makes the network from `num_embeddings` and `condition_channels`.
        conditioner: makes the map that the network is conditioned on from the grids, codebook sizes and classes.
        grid: (height, width) of this level's code map.
        num_embeddings: codebook size K of this level.
        upper_grids: grids of the levels above, top first.
        upper_num_embeddings: codebook sizes of the levels above, top first.
        num_classes: number of class labels; 0 for a prior without labels.
        codes_per_place: how many of the map's codes, side by side, are of one place, for a network that has a `depth`.
        model: optimizer and schedule.
    """

    def __init__(
        self,
        network: Callable[..., nn.Module],
        conditioner: Callable[..., Conditioner],
        grid: Sequence[int],
        num_embeddings: int,
        upper_grids: Sequence[Sequence[int]],
        upper_num_embeddings: Sequence[int],
        num_classes: int,
        codes_per_place: int | None = None,
        **model: Unpack[ModelOptions],
    ) -> None:
        super().__init__([num_embeddings], **model)
        self.grid = tuple(grid)
        self.num_embeddings = num_embeddings
        self.num_classes = num_classes
        self.level = len(upper_grids)
        self.conditioner = conditioner(
            grid=grid, upper_num_embeddings=upper_num_embeddings, upper_grids=upper_grids, num_classes=num_classes
        )
        self.network = network(num_embeddings=num_embeddings, condition_channels=self.conditioner.out_channels)
        if codes_per_place and codes_per_place != self.network.depth:
            raise ValueError(
                f"depth={self.network.depth} is not that of the tokenizer, {codes_per_place} codes of a place"
            )


class RasterPrior(RasterLevel, CodePrior):
    """The same as a product over positions in raster order; arguments as of `CodePrior`."""

    _checked = False

    def on_train_batch_start(self, batch: CodeBatch, batch_idx: int) -> None:
        """Look once whether the network sees the past alone, before it learns anything.

        Raises:
            UserError: it does not.
        """
        if self._checked:
            return
        self._checked = True
        self.eval()
        condition = self.conditioner(batch.condition.first(1), 1)
        try:
            check_causal(self.network, batch.codes[-1][:1], self.num_embeddings, condition)
        except ValueError as error:
            raise UserError(str(error)) from None
        self.train()

    def objective(self, batch: CodeBatch) -> Objective:
        """Mean negative log-likelihood in nats per code of this level, and accuracy of the likeliest code."""
        codes = batch.codes[-1]
        self.check_given(batch)
        logits = self(codes, batch.condition)
        accuracy = (logits.argmax(1) == codes).float().mean()
        return weighted({"nats_per_code": code_nats(logits, codes).mean()}, {}, figures={"accuracy": accuracy})

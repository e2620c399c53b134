"""Priors over the codes of one level: what all share, and the autoregressive one (arXiv 1601.06759, 1906.00446)."""

import math
from collections.abc import Callable, Sequence
from typing import Unpack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.batch import CodeBatch, Condition
from vqgen.drawing import Incremental, KnownCodes, Sampler, Sampling, begin, sample_codes, sample_seeds
from vqgen.errors import UserError, near_miss
from vqgen.measure.metrics.codebook import CodebookUsage, counters
from vqgen.models.base import Model, ModelOptions
from vqgen.nn.priors import Conditioner
from vqgen.nn.priors.causality import check_causal
from vqgen.optim import Objective, weighted

ALONE = Condition()
"""Nothing beside the codes themselves."""


class CodePrior(Model[CodeBatch]):
    """p(codes of a level | codes of the levels above, class label).

    Args:
        network: makes the network from `num_embeddings` and `condition_channels`.
        conditioner: makes the map that the network is conditioned on from the grids, codebook sizes and classes.
        grid: (height, width) of this level's code map.
        num_embeddings: codebook size K of this level.
        upper_grids: grids of the levels above, top first.
        upper_num_embeddings: codebook sizes of the levels above, top first.
        num_classes: number of class labels; 0 for a prior without labels.
        model: optimizer and schedule.
    """

    exact: bool  # whether `nll` is the negative log-likelihood, or a bound

    def __init__(
        self,
        network: Callable[..., nn.Module],
        conditioner: Callable[..., Conditioner],
        grid: Sequence[int],
        num_embeddings: int,
        upper_grids: Sequence[Sequence[int]],
        upper_num_embeddings: Sequence[int],
        num_classes: int,
        **model: Unpack[ModelOptions],
    ) -> None:
        super().__init__(**model)
        self.grid = tuple(grid)
        self.num_embeddings = num_embeddings
        self.num_classes = num_classes
        self.level = len(upper_grids)
        self.conditioner = conditioner(
            grid=grid, upper_num_embeddings=upper_num_embeddings, upper_grids=upper_grids, num_classes=num_classes
        )
        self.network = network(num_embeddings=num_embeddings, condition_channels=self.conditioner.out_channels)
        self.usage = nn.ModuleDict({stage: CodebookUsage(num_embeddings) for stage in ("val", "test")})

    @property
    def takes(self) -> list[str]:
        """Names of what is given of an image and makes a difference to this prior, such as `label`."""
        return self.conditioner.takes

    def forward(self, codes: Int[Tensor, "b h w"], condition: Condition = ALONE) -> Float[Tensor, "b k h w"]:
        """Logits of every code given those that the network sees and the condition."""
        return self.network(codes, self.conditioner(condition, len(codes)))

    def sample(
        self,
        num_samples: int,
        condition: Condition = ALONE,
        sampling: Sampling | None = None,
        *,
        sampler: Sampler | None = None,
        known: KnownCodes | None = None,
        grid: Sequence[int] | None = None,
        first: int = 0,
        progress: bool = False,
    ) -> Int[Tensor, "b h w"]:
        """Draw code maps of this level.

        Args:
            num_samples: how many maps.
            condition: codes of the levels above and what is given of each sample. Where no label is, it draws without a
                class, which a prior knows that has seen no class in training (`label_dropout`).
            sampling: temperature and the like, and the seed; None leaves them as they stand.
            sampler: how maps are drawn; None for the usual way of such a prior.
            known: codes to keep, the rest is drawn (completion).
            grid: height and width of the maps; None for those of training. Below other levels it is in the proportion
                to their maps that it was trained in.
            first: number i of the first of these samples, where they are drawn batch by batch.
            progress: show a bar.

        Raises:
            UserError: guidance, or no label, with a prior that has never been trained without one; a grid that its
                network cannot draw.
        """
        sampling, grid = sampling or Sampling(), tuple(grid or self.grid)
        training = self.training
        self.eval()
        with torch.no_grad():
            condition = self._here(condition)
            conditional = self.conditioner(condition, num_samples)
            if grid != self.grid:
                self._check_grid(grid, condition)
            guided = sampling.guidance != 1
            unconditional = self.conditioner(Condition(condition.upper), num_samples) if guided else None
            codes = sample_codes(
                self.network,
                grid,
                num_samples,
                conditional,
                unconditional=unconditional,
                sampling=sampling,
                sampler=sampler,
                known=known,
                progress=progress,
                seeds=sample_seeds(sampling.seed, range(first, first + num_samples), self.level),
            )
        self.train(training)
        return codes

    def _check_grid(self, grid: Sequence[int], condition: Condition) -> None:
        """Raise UserError where the network takes no map of this size."""
        try:
            self(torch.zeros(1, *grid, dtype=torch.long, device=self.device), condition.first(1))
        except (ValueError, RuntimeError, IndexError) as error:
            name, (height, width) = type(self.network).__name__, self.grid
            raise UserError(
                f"a map of {grid[0]}x{grid[1]}: {name} was trained on {height}x{width}, and draws no other ({error})"
            ) from None

    def _here(self, condition: Condition) -> Condition:
        """The condition on this prior's device, which names nothing that there is not."""
        self.conditioner.check(condition)
        given = {name: value.to(self.device) for name, value in condition.given.items()}
        return Condition([codes.to(self.device) for codes in condition.upper], given)

    def check_given(self, batch: CodeBatch) -> None:
        """Raise UserError in training on images that do not tell what the prior takes."""
        if self.training and (missing := [name for name in self.takes if name not in batch.given]):
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
        """Log the loss, nats and bits per code and accuracy, and count the codes."""
        objective = self.measure(batch)
        measured = {"bits_per_code" + ("" if self.exact else "_bound"): objective.loss / math.log(2)}
        self.log_means(stage, objective.terms | measured, len(batch.index))
        (metric,) = counters(self.usage[stage])
        metric.update(batch.codes[-1])

    def on_validation_epoch_end(self) -> None:
        """Log the entropy of the validation codes, each by itself."""
        self._log_code_entropy("val")

    def on_test_epoch_end(self) -> None:
        """Log the entropy of the test codes, each by itself."""
        self._log_code_entropy("test")

    def _log_code_entropy(self, stage: str) -> None:
        """In nats: what a prior without any context would need per code."""
        (metric,) = counters(self.usage[stage])
        self.log(f"{stage}/code_entropy", metric.compute().perplexity.log(), sync_dist=True)
        metric.reset()


class RasterPrior(CodePrior):
    """The same as a product over positions in raster order; arguments as of `CodePrior`."""

    exact = True
    _checked = False

    def log_prob(self, codes: Int[Tensor, "b h w"], condition: Condition = ALONE) -> Float[Tensor, "b h w"]:
        """Log-probability of each code in nats."""
        return -F.cross_entropy(self(codes, condition), codes, reduction="none")

    def nll(self, batch: CodeBatch, known: Bool[Tensor, "h w"] | None = None) -> Float[Tensor, "b h w"]:
        """Negative log-likelihood in nats of each code of this level that is not known, given those before it."""
        nats = -self.log_prob(batch.codes[-1], batch.condition)
        return nats if known is None else nats.masked_fill(known, 0.0)

    @torch.no_grad()
    def begin(self, num_samples: int, condition: Condition = ALONE) -> Incremental:
        """The prior before the first code, to be asked for `logits` and told by `push` one code after another.

        Args:
            num_samples: maps at a time.
            condition: codes of the levels above and what is given of each sample.
        """
        return begin(self.network, num_samples, self.grid, self.conditioner(self._here(condition), num_samples))

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
        return weighted({"nats_per_code": F.cross_entropy(logits, codes)}, {}, figures={"accuracy": accuracy})

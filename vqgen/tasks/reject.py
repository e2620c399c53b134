"""Rejection sampling: keep the samples that a classifier is surest of."""

import math

import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from vqgen.batch import Given
from vqgen.drawing import NEUTRAL, Sampler, Sampling
from vqgen.errors import UserError
from vqgen.measure import report, sources
from vqgen.measure.networks import open_classifier
from vqgen.measure.rejection import directions, kept, trade_off
from vqgen.protocols import Classifier, Features, Images
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.sample import label_index
from vqgen.tasks.task import Task, sheet

PARTS = [1.0, 0.5, 0.2, 0.1, 0.05]
LEAST_REAL, COLUMNS = 10, 8
LEAST_AT_A_POINT, LEAST_OF_A_CLASS = 20, 4   # more of a class than the 3 neighbours of recall


class Reject(Task):
    """Draw samples, keep the best part of each class by p(class given sample), and show what that does.

    Samples of a prior without labels are taken for the class that the classifier finds likeliest.

    Args:
        classifier: RUN of a classifier trained on the same data.
        keep: part of the samples that is kept, above 0 and below 1; 0.1 keeps one of ten.
        num_samples: how many are drawn before.
        label: class of the samples, by number or name; None draws those of the test images.
        batch_size: images at a time.
        sampling: as in task=sample. The same seed gives the same images, on one machine with one number of threads.
        sampler: how maps are drawn; None for one position after another.
    """

    def __init__(
        self,
        classifier: str | None = None,
        keep: float = 0.1,
        num_samples: int = 4000,
        label: int | str | None = None,
        batch_size: int = 250,
        sampling: Sampling = NEUTRAL,
        sampler: Sampler | None = None,
    ) -> None:
        if not 0 < keep < 1:
            raise UserError(f"keep={keep}: the part that is kept is above 0 and below 1, such as 0.1")
        self.classifier, self.keep, self.num_samples, self.label = classifier, keep, num_samples, label
        self.batch_size, self.sampling, self.sampler = batch_size, sampling, sampler
        self.parts = sorted({*PARTS, keep}, reverse=True)
        if num_samples * min(self.parts) < LEAST_AT_A_POINT or batch_size < 1:
            least = math.ceil(LEAST_AT_A_POINT / min(self.parts))
            raise UserError(f"num_samples={num_samples}: too few for a curve down to {min(self.parts)}; take {least}")

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """A VAE, or the prior of every level."""
        return sources.lacks_samples(trained)

    @torch.no_grad()
    def make(self, trained: TrainedRun) -> Outcome:
        """The samples before and after, and the curve of precision and recall against the part that is kept.

        Raises:
            UserError: the classifier does not fit them.
        """
        images = trained.images()
        classifier = open_classifier(trained, images, self.classifier)
        given = self._given(trained, images)
        labels = given.get("label")
        self._require_enough(classifier.num_classes)
        index = self._real_index(trained, images)
        pixels, found = self._samples(trained, classifier, given)
        title = "features of real images"
        batches = sources.real(images, "test", index, self.batch_size, trained.device, title)
        real = sources.describe(classifier, (batch.x for batch in batches))
        classes = found.log_prob.argmax(1) if labels is None else labels.to(found.log_prob.device)
        scores = found.log_prob.gather(1, classes[:, None])[:, 0]
        points = trade_off(directions(real.vectors), directions(found.vectors), scores, classes, self.parts)
        precision, recall = ([float(value) for value in values] for values in zip(*points, strict=True))
        number = int(kept(scores, classes, min(self.parts)).sum())
        best = kept(scores, classes, self.keep).cpu()
        return self._outcome(
            trained, pixels, classes.cpu(), best, report.Curve(self.parts, precision, recall, number)
        )

    def _given(self, trained: TrainedRun, images: Images) -> dict[str, Tensor]:
        """What is given of each sample: the class asked for, or all that is known of test images, drawn at random."""
        if self.label is not None and not sources.has_classes(trained):
            raise UserError(f"label={self.label}: '{trained.folder}' was trained without labels")
        if self.label is not None:
            return {"label": torch.full((self.num_samples,), self._number(trained))}
        generator = torch.Generator().manual_seed(0)
        index = torch.randint(len(images.split("test").images), (self.num_samples,), generator=generator)
        given = sources.given_of(images, "test", index.numpy())
        taken = {name for prior in trained.priors for name in prior.takes}
        return {name: values for name, values in given.items() if name in taken}

    def _number(self, trained: TrainedRun) -> int:
        """Of the class asked for."""
        assert self.label is not None
        return label_index(self.label, max(p.num_classes for p in trained.priors), trained.class_names)

    def _samples(
        self, trained: TrainedRun, classifier: Classifier, given: Given
    ) -> tuple[UInt8[Tensor, "n c h w"], Features]:
        self.sampling.of_levels(trained.levels)   # told before anything is drawn
        pixels = sources.gather(
            sources.generated(trained, self.num_samples, given, self.sampling, self.batch_size, self.sampler)
        )
        batches = sources.in_batches(pixels, self.batch_size, trained.device)
        return pixels, sources.describe(classifier, batches)

    def _require_enough(self, num_classes: int) -> None:
        """Raise UserError where the balls of recall would reach from class to class, and cover what no sample shows."""
        least = math.ceil(num_classes * LEAST_OF_A_CLASS / min(self.parts))
        if self.label is None and self.num_samples < least:
            raise UserError(
                f"num_samples={self.num_samples}: too few for a curve down to {min(self.parts)} of {num_classes} "
                f"classes; take {least}, or one class by label"
            )

    def _real_index(self, trained: TrainedRun, images: Images) -> Int[ndarray, " n"]:
        """Numbers of test images, of the class asked for."""
        split = images.split("test")
        index = sources.choose(len(split.images), len(split.images))
        if self.label is not None and split.labels is not None:
            index = index[split.labels[index] == self._number(trained)]
        if len(index) < LEAST_REAL:
            of = "" if self.label is None else f" of label={self.label}"
            raise UserError(
                f"task=reject compares with {LEAST_REAL} test images at least, and '{trained.folder}' has "
                f"{len(index)}{of}"
            )
        return index[: self.num_samples]

    def _outcome(
        self, trained: TrainedRun, pixels: UInt8[Tensor, "n c h w"], classes: Int[Tensor, " n"],
        best: Bool[Tensor, " n"], points: report.Curve,
    ) -> Outcome:
        rows = zip(points.kept, points.precision, points.recall, strict=True)
        lines = [f"{part:>6g} {p:>10.3f} {r:>8.3f}" for part, p, r in rows]
        x: Float[Tensor, "n c h w"] = pixels.float() / 127.5 - 1
        title = trained.title(self.sampling.seed)
        shown = sheet(
            "rejection", report.before_and_after(x, classes, best, COLUMNS, trained.class_names), title,
            note=f"by class: on the left samples as drawn, on the right from the part of {self.keep:g} that is kept",
        )  # fmt: skip
        curve = report.curve(points, "classifier's directions", title)
        return Outcome(
            pictures=shown.pictures,
            arrays={"rejection/kept": pixels[best].numpy(), "rejection/classes": classes[best].numpy()},
            plots=shown.plots | {"curve": curve},
            records={"rejection": {
                "classifier": self.classifier, "num_samples": self.num_samples, "label": self.label,
                "keep": self.keep, "batch_size": self.batch_size, "seed": self.sampling.seed,
                **self.sampling.settings(),
                "kept": points.kept, "samples_per_point": points.number,
                "precision(classifier's directions)": points.precision,
                "recall(classifier's directions)": points.recall,
            }},
            text="\n".join([
                "\n  kept  precision   recall   (directions of the classifier's features)", *lines,
                f"each of {points.number} samples: compare with curves of as many only",
            ]),
        )  # fmt: skip

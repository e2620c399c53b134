"""Rejection sampling: keep the samples that a classifier is surest of."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int, UInt8
from numpy import ndarray
from torch import Tensor

from vqgen.batch import from_bytes
from vqgen.drawing import NEUTRAL, Sampler, Sampling
from vqgen.errors import UserError
from vqgen.measure import report, sources
from vqgen.measure.likelihood import taken
from vqgen.measure.networks import open_classifier
from vqgen.measure.rejection import TradeOff, directions, kept, trade_off
from vqgen.protocols import Images
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.images import label_index
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, sheet

PARTS = [1.0, 0.5, 0.2, 0.1, 0.05]
LEAST_REAL, COLUMNS = 10, 8
LEAST_AT_A_POINT, LEAST_OF_A_CLASS = 20, 4  # more of a class than the 3 neighbours of recall


@dataclass
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
        sampler: how maps are drawn; None for the usual way of such a prior.
    """

    classifier: str | None = None
    keep: float = 0.1
    num_samples: int = 4000
    label: int | str | None = None
    batch_size: int = 250
    sampling: Sampling = NEUTRAL
    sampler: Sampler | None = None
    lacks = staticmethod(sources.lacks_samples)

    def __post_init__(self) -> None:
        if not 0 < self.keep < 1:
            raise UserError(f"keep={self.keep}: the part that is kept is above 0 and below 1, such as 0.1")
        at_least(1, batch_size=self.batch_size)
        self._require(math.ceil(LEAST_AT_A_POINT / self._parts[-1]), "", "")

    @property
    def _parts(self) -> list[float]:
        """The parts at which the curve is measured, the largest first."""
        return sorted({*PARTS, self.keep}, reverse=True)

    def _require(self, least: int, of: str, otherwise: str) -> None:
        """Raise UserError unless there are samples enough."""
        if self.num_samples < least:
            few = f"num_samples={self.num_samples}: too few for a curve down to {self._parts[-1]}{of}"
            raise UserError(f"{few}; take {least}{otherwise}")

    @torch.no_grad()
    def make(self, trained: TrainedRun) -> Outcome:
        """The samples before and after, and precision and recall by the part kept; UserError for another classifier."""
        images = trained.images()
        classifier = open_classifier(trained, images, self.classifier)
        given = self._given(trained, images)
        if self.label is None:  # else the balls of recall reach from class to class, and cover what no sample shows
            least = math.ceil(classifier.num_classes * LEAST_OF_A_CLASS / self._parts[-1])
            self._require(least, f" of {classifier.num_classes} classes", ", or one class by label")
        index, size = self._real_index(trained, images), self.batch_size
        self.sampling.of_levels(trained.levels)  # told before anything is drawn
        drawn = sources.generated(trained, self.num_samples, given, self.sampling, size, self.sampler)
        pixels = sources.gather(drawn)
        found = sources.describe(classifier, sources.in_batches(pixels, size, trained.device))
        batches = sources.real(images, "test", index, size, trained.device, "features of real images")
        real = sources.describe(classifier, (batch.x for batch in batches))
        classes = given["label"].to(trained.device) if "label" in given else found.log_prob.argmax(1)
        scores = found.log_prob.gather(1, classes[:, None])[:, 0]
        points = trade_off(directions(real.vectors), directions(found.vectors), scores, classes, self._parts)
        return self._outcome(trained, pixels, classes.cpu(), kept(scores, classes, self.keep).cpu(), points)

    def _given(self, trained: TrainedRun, images: Images) -> dict[str, Tensor]:
        """The class asked for, or labels and other conditions of test images, drawn at random."""
        if self.label is not None:
            return {"label": torch.full((self.num_samples,), label_index(self.label, trained))}
        generator = torch.Generator().manual_seed(0)
        index = torch.randint(trained.num_images(), (self.num_samples,), generator=generator)
        given, names = sources.given_of(images, "test", index.numpy()), taken(trained.priors)
        return {name: values for name, values in given.items() if name in names}

    def _real_index(self, trained: TrainedRun, images: Images) -> Int[ndarray, " n"]:
        """Numbers of test images, of the class asked for."""
        split = images.split("test")
        index = sources.choose(len(split.images), len(split.images))
        if self.label is not None and split.labels is not None:
            index = index[split.labels[index] == label_index(self.label, trained)]
        if len(index) < LEAST_REAL:
            of = "" if self.label is None else f" of label={self.label}"
            has = f"'{trained.folder}' has {len(index)}{of}"
            raise UserError(f"task=reject compares with {LEAST_REAL} test images at least, and {has}")
        return index[: self.num_samples]

    def _outcome(
        self,
        trained: TrainedRun,
        pixels: UInt8[Tensor, "n c h w"],
        classes: Int[Tensor, " n"],
        best: Bool[Tensor, " n"],
        points: TradeOff,
    ) -> Outcome:
        by, title = "classifier's directions", trained.title(self.sampling.seed)
        rows = report.before_and_after(from_bytes(pixels), classes, best, COLUMNS, trained.class_names)
        note = f"by class: on the left samples as drawn, on the right from the part of {self.keep:g} that is kept"
        shown = sheet("rejection", rows, title, note=note)
        lines = zip(points.kept, points.precision, points.recall, strict=True)
        record = {
            "classifier": self.classifier,
            "num_samples": self.num_samples,
            "label": self.label,
            "keep": self.keep,
            "batch_size": self.batch_size,
            "seed": self.sampling.seed,
            **self.sampling.settings(),
            "kept": points.kept,
            "samples_per_point": points.number,
            f"precision({by})": points.precision,
            f"recall({by})": points.recall,
        }
        text = [
            "\n  kept  precision   recall   (directions of the classifier's features)",
            *(f"{part:>6g} {precision:>10.3f} {recall:>8.3f}" for part, precision, recall in lines),
            f"each of {points.number} samples: compare with curves of as many only",
        ]
        return Outcome(
            pictures=shown.pictures,
            arrays={"rejection/kept": pixels[best].numpy(), "rejection/classes": classes[best].numpy()},
            plots=shown.plots | {"curve": report.curve(points, by, title)},
            records={"rejection": record},
            text="\n".join(text),
        )

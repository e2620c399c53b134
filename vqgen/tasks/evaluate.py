"""Measure what a run makes: reconstructions, likelihood and samples."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from numpy import ndarray

from vqgen.drawing import NEUTRAL, Sampler, Sampling
from vqgen.errors import UserError
from vqgen.measure import plan, quality, report, sources
from vqgen.measure.likelihood import taken
from vqgen.measure.measurement import Measurement, Settings
from vqgen.measure.networks import Network, feature_network
from vqgen.protocols import Autoencoder
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, not_empty

ENOUGH_CAS_STEPS = 200
"""Steps below which the classifiers of cas have hardly learnt anything, on real images too."""


@dataclass
class Evaluate(Task):
    """Every measure that the run can have, or those in `metrics`, in a table and evaluation.json.

    Args:
        metrics: among reconstruction, lpips, rfid, rkid, likelihood, likelihood_over_labels, fid, kid, inception_score,
            precision_recall, density_coverage, neighbours, label_accuracy and cas; None is all but cas (and, with more
            than 16 classes, but likelihood_over_labels).
        num_samples: how many real images, and as many samples, are measured; all of the split, if it has fewer.
        split: train, val or test.
        features: which network's features images are compared by: classifier or inception.
        classifier: RUN of a classifier trained on the same data.
        inception_weights: file of the Inception network's weights, where they are not at torch.hub's place.
        cas_epochs: passes over the samples that each classifier of cas is trained for.
        batch_size: images at a time.
        sampling: of the samples, as in task=sample. The same seed gives the same figures, on one machine with one
            number of threads.
        sampler: how maps are drawn; None for the usual way of such a prior.
    """

    metrics: list[str] | None = None
    num_samples: int = 10000
    split: str = "test"
    features: str = "classifier"
    classifier: str | None = None
    inception_weights: str | None = None
    cas_epochs: int = 10
    batch_size: int = 250
    sampling: Sampling = NEUTRAL
    sampler: Sampler | None = None

    def __post_init__(self) -> None:
        at_least(1, num_samples=self.num_samples, cas_epochs=self.cas_epochs, batch_size=self.batch_size)
        not_empty(metrics=self.metrics)

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """An autoencoder, or priors."""
        return "" if trained.priors or isinstance(trained.model, Autoencoder) else "a model that makes images"

    @torch.no_grad()
    def make(self, trained: TrainedRun) -> Outcome:
        """The table, the figures and the pictures; UserError where a measure is asked for that cannot be had."""
        network, index = self._network(trained), self._index(trained)
        chosen, left_out = self._plan(trained, network)
        self.sampling.of_levels(trained.levels)  # a setting that cannot be is told before anything is measured
        settings = Settings(self.split, index, self.sampling, self.sampler, self.cas_epochs, self.batch_size)
        measured = Measurement(trained, trained.images(), None if isinstance(network, str) else network, settings)
        measured.take(chosen)
        record = {
            "run": str(trained.folder),
            "step": trained.step,
            "steps": trained.steps,
            "split": self.split,
            "num_images": len(index),
            "classifier": self.classifier,
            "seed": self.sampling.seed,
            "batch_size": self.batch_size,
            **self.sampling.settings(),
            "metrics": measured.figures,
            "notes": self._notes(measured),
            "left_out": left_out,
            "seconds": {name: round(value, 2) for name, value in measured.watch.seconds.items()},
        }
        return Outcome(
            pictures=measured.pictures,
            plots=measured.plots,
            records={"evaluation": record},
            text=self._text(measured, left_out),
            metrics={f"evaluate/{self.split}/{name}": value for name, value in measured.figures.items()},
        )

    def check(self, trained: TrainedRun) -> None:
        """Raise UserError for a measure that is asked for and cannot be had, without measuring anything."""
        self._plan(trained, self._network(trained))

    def _plan(self, trained: TrainedRun, network: Network | str) -> plan.Plan:
        return plan.plan(plan.Case(trained, self.split, len(self._index(trained)), network), self.metrics)

    def _index(self, trained: TrainedRun) -> Int[ndarray, " n"]:
        """Numbers of the images to measure."""
        return sources.choose(trained.num_images(self.split), self.num_samples)

    def _network(self, trained: TrainedRun) -> Network | str:
        """The feature network, or why there is none; a classifier that is given must fit."""
        try:
            return feature_network(trained, trained.images(), self.features, self.classifier, self.inception_weights)
        except UserError as error:
            if self.classifier is not None or self.features != "classifier":
                raise
            return str(error)

    def _text(self, measured: Measurement, left_out: dict[str, str]) -> str:
        reasons = dict.fromkeys(left_out.values())
        return "\n".join(
            [
                f"\n{len(measured.settings.index)} images of the {self.split} split",
                report.table(measured.figures),
                *(f"note: {note}" for note in self._notes(measured)),
                *(f"left out: {', '.join(n for n in left_out if left_out[n] == why)}: {why}" for why in reasons),
                "time: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in measured.watch.seconds.items()),
            ]
        )

    def _notes(self, measured: Measurement) -> list[str]:
        """What one must know to compare these figures with others."""
        changed = [f"{name}={value}" for name, value in self.sampling.changed().items()]
        drawn = [f"samples drawn with {', '.join(changed)}"] if changed and "samples" in measured.pictures else []
        steps = measured.settings.cas_steps
        short = [f"cas after {steps} steps of training says little: raise num_samples or cas_epochs"]
        few = "cas_top1(real)" in measured.figures and steps < ENOUGH_CAS_STEPS
        known = taken(measured.trained.priors)
        given = known and any(name.startswith("nats_per_code") for name in measured.figures)
        labels = [f"nats_per_code and bits_per_code are given the {' and the '.join(known)}"] if given else []
        by_features = any("(classifier)" in name for name in measured.figures)
        taught = ["the training of this run goes by this classifier, which flatters: measure by another one"]
        notes = quality.notes(measured.figures, len(measured.settings.index)) + labels + (short if few else []) + drawn
        return notes + (taught if by_features and measured.taught() else [])

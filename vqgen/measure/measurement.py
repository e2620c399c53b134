"""One evaluation: its results so far, and the samples and features that several measures share."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from numpy import ndarray
from torch import Tensor, nn

from vqgen.batch import ImageBatch, to_bytes
from vqgen.drawing import Sampler, Sampling
from vqgen.measure import classification, likelihood, plan, quality, reconstruction, report, sources
from vqgen.measure.classification import LabelledImages
from vqgen.measure.metrics.neighbors import nearest
from vqgen.measure.metrics.reconstruction import Reconstruction
from vqgen.measure.networks import Network, lpips_network
from vqgen.measure.stopwatch import Stopwatch
from vqgen.pictures import figures, plots
from vqgen.protocols import Classifier, Features, Images, Variational
from vqgen.runs.trained_run import TrainedRun

NUM_SHOWN, NUM_NEIGHBOURS, NUM_COMPARED = 8, 6, 1000  # rows and columns of the picture, samples in the ratio
CAS_BATCH_SIZE = 128


class Settings(NamedTuple):
    """What is measured: images at `index` of `split`, and as many samples, drawn with the settings `sampling`."""

    split: str
    index: Int[ndarray, " n"]  # type: ignore[assignment]  # a field, not tuple.index
    sampling: Sampling
    sampler: Sampler | None
    cas_epochs: int
    batch_size: int

    @property
    def cas_steps(self) -> int:
        """Steps that each classifier of cas is trained for."""
        return max(1, self.cas_epochs * len(self.index) // CAS_BATCH_SIZE)


class Measurement:
    """Takes measures of a run; `figures`, `pictures` and `plots` are the results by name, `watch` the time spent.

    Args:
        trained: the run.
        images: its data module.
        network: whose features images are compared by, where one is needed.
        settings: which images, how many samples.
    """

    def __init__(self, trained: TrainedRun, images: Images, network: Network | None, settings: Settings) -> None:
        self.trained, self.images, self.settings = trained, images, settings
        self._network = network
        self.watch = Stopwatch()
        self.figures: dict[str, float] = {}
        self.pictures: dict[str, Float[Tensor, "3 H W"]] = {}
        self.plots: dict[str, Figure] = {}

    @property
    def network(self) -> Network:
        """Whose features images are compared by; there is one where a measure needs it."""
        assert self._network is not None
        return self._network

    def taught(self) -> bool:
        """Whether the loss of the autoencoder compares images by this very network."""
        model, network = self.trained.autoencoder, self.network.module
        parts = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
        taught = parts.get("likelihood.network")
        if taught is None or not isinstance(network, nn.Module):
            return False
        own, others = taught.state_dict(), network.state_dict()
        return own.keys() == others.keys() and all(torch.equal(one, others[name]) for name, one in own.items())

    def take(self, chosen: list[str]) -> None:
        """Take the measures of these names."""
        if {*plan.RECONSTRUCTION} & set(chosen):
            self._reconstructions(chosen)
        if {*plan.LIKELIHOOD} & set(chosen):
            self._likelihood("likelihood_over_labels" in chosen)
        if {*plan.SAMPLES, *plan.OF_LABELS} & set(chosen):
            self._samples(chosen)

    def _real(self, split: str, index: Int[ndarray, " n"], title: str) -> Iterator[ImageBatch]:
        return sources.real(self.images, split, index, self.settings.batch_size, self.trained.device, title)

    def _measured(self, title: str) -> Iterator[ImageBatch]:
        """The real images that are measured."""
        return self._real(self.settings.split, self.settings.index, title)

    def _features(self, batches: Iterable[ImageBatch]) -> Features:
        with self.watch.part("features"):
            return sources.describe(self.network.module, (batch.x for batch in batches))

    def _reconstructions(self, chosen: list[str]) -> None:
        model, title = self.trained.autoencoder, self.trained.title()
        lpips = lpips_network() if "lpips" in chosen else None
        _, height, width = self.images.shape
        errors = Reconstruction((height, width), self.images.variance(), lpips).to(self.trained.device)
        measures = [name for name in quality.OF_RECONSTRUCTIONS if name in chosen]
        network = self.network.module if measures else None
        with self.watch.part("reconstruction"):
            measured = reconstruction.measure(model, self._measured("reconstructing"), errors, network)
        self.figures |= measured.figures
        if measured.features:
            real = self._features(self._measured("features of real images"))
            self.figures |= quality.compare(real, measured.features, measures, self.network.name)
        if measured.counts:
            self.plots["codes"] = report.code_usage(measured.counts, title)
        x = self.images.batch(self.settings.split, self.settings.index[:16]).x.to(self.trained.device)
        rows = figures.reconstruction_rows(model, x)
        self.pictures["reconstructions"] = figures.rows(*rows.values())
        self.plots["reconstructions_labelled"] = plots.labelled_rows(rows, title, note=figures.ERROR_SCALE)

    def _likelihood(self, over_labels: bool) -> None:
        trained, batches = self.trained, self._measured("likelihood")
        with self.watch.part("likelihood"):
            if isinstance(trained.model, Variational):
                found = likelihood.of_vae(trained.model, batches)
            else:
                found = likelihood.of_priors(trained.coder, trained.priors, batches, over_labels)
        self.figures |= found.figures
        if found.maps:
            self.plots["likelihood"] = report.position_map(found.maps, trained.title(), trained.num_classes > 0)

    def _samples(self, chosen: list[str]) -> None:
        settings, number = self.settings, len(self.settings.index)
        most = number if "cas" in chosen else 64  # cas learns from all samples
        kept: list[UInt8[Tensor, "_ c h w"]] = []

        def keep_first(batches: Iterable[Float[Tensor, "b c h w"]]) -> Iterator[Float[Tensor, "b c h w"]]:
            """The same batches; the first images are kept as bytes while they go by."""
            for x in batches:
                kept.append(to_bytes(x[: most - sum(len(part) for part in kept)]).cpu())
                yield x

        given = sources.given_of(self.images, settings.split, settings.index)
        options = (settings.sampling, settings.batch_size, settings.sampler)
        drawn = self.watch.each("sampling", sources.generated(self.trained, number, given, *options))
        with self.watch.part("features"):
            generated = sources.describe(self.network.module, keep_first(drawn))
        samples = torch.cat(kept)
        shown = sources.from_bytes(samples[:64])
        self._show("samples", figures.grid(shown), "first samples")
        measures = [name for name in quality.MEASURES if name in chosen]
        if measures or "neighbours" in chosen:
            real = self._features(self._measured("features of real images"))
            with self.watch.part("metrics"):
                self.figures |= quality.compare(real, generated, measures, self.network.name)
        if "label_accuracy" in chosen:
            self._label_accuracy(generated.log_prob.cpu(), given["label"])
        if "neighbours" in chosen:
            self._neighbours(real.vectors, generated.vectors, shown[:NUM_SHOWN])
        if "cas" in chosen:
            self._cas(samples, given["label"])

    def _label_accuracy(self, log_prob: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> None:
        """Of all samples and, where there are few classes, of those of each class."""
        names = [*self.trained.class_names] if self.trained.num_classes <= plan.FEW_CLASSES else []
        found = classification.label_accuracy(log_prob, labels, names)
        self.figures |= {f"{name}({self.network.name})": value for name, value in found.items()}

    def _neighbours(
        self, real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"], samples: Float[Tensor, "_ c h w"]
    ) -> None:
        """Picture of the training images nearest to some samples, and whether all are nearer than real ones are."""
        everything = np.arange(len(self.images.split("train").images))
        references = self._features(self._real("train", everything, "features of training images")).vectors
        with self.watch.part("metrics"):
            near = nearest(generated[:NUM_COMPARED], references, min(NUM_NEIGHBOURS, len(references)))
            usual = nearest(real[:NUM_COMPARED], references, 1).distance
        ratio = near.distance[:, 0].median() / usual.median()
        self.figures[f"nearest_train_distance_ratio({self.network.name})"] = float(ratio)
        found = [self.images.batch("train", i.cpu().numpy()).x for i in near.index[: len(samples)]]
        note = f"left: samples; right: their nearest training images by the {self.network.name}, the nearest first"
        self._show("neighbours", report.neighbour_rows(samples, found), note)

    def _show(self, name: str, picture: Float[Tensor, "3 H W"], note: str) -> None:
        """A picture, and its figure."""
        self.pictures[name] = picture
        title = self.trained.title(self.settings.sampling.seed)
        self.plots[f"{name}_labelled"] = plots.titled({"": picture}, title, note)

    def _cas(self, samples: UInt8[Tensor, "n c h w"], classes: Int[Tensor, " n"]) -> None:
        """The classifier trained on samples, and on as many reconstructions and real images, tested on real ones."""
        settings, classifier = self.settings, self.network.module
        assert isinstance(classifier, Classifier)
        chosen = sources.choose(len(self.images.split("train").images), len(samples))
        labels = sources.given_of(self.images, "train", chosen)["label"]
        with self.watch.part("cas"):
            real = sources.gather(batch.x for batch in self._real("train", chosen, "training images"))
            batches = sources.in_batches(real, settings.batch_size, self.trained.device)
            rebuilt = sources.gather(self.trained.autoencoder.reconstruct(x) for x in batches)
            test = sources.gather(batch.x for batch in self._measured("test images"))
            sets = {
                "samples": LabelledImages(samples, classes),
                "reconstructions": LabelledImages(rebuilt, labels),
                "real": LabelledImages(real, labels),
            }
            how = (settings.cas_steps, CAS_BATCH_SIZE, settings.sampling.seed)
            scores = classification.scores(classifier, sets, LabelledImages(test, classes), *how)
        for name, (top1, top5) in scores.items():
            self.figures |= {f"cas_top1({name})": top1, f"cas_top5({name})": top5}

"""One evaluation: what is measured so far, and the samples and features that several measures share."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from numpy import ndarray
from torch import Tensor

from vqgen.batch import ImageBatch
from vqgen.drawing import Sampler, Sampling
from vqgen.measure import classification, likelihood, plan, quality, reconstruction, report, sources
from vqgen.measure.classification import Labelled
from vqgen.measure.metrics.neighbors import nearest
from vqgen.measure.metrics.reconstruction import Reconstruction
from vqgen.measure.networks import Network, lpips_network
from vqgen.measure.stopwatch import Stopwatch
from vqgen.pictures import figures, plots
from vqgen.protocols import Classifier, Features, Images, Variational
from vqgen.runs.trained_run import TrainedRun

NUM_SHOWN, NUM_NEIGHBOURS, NUM_COMPARED = 8, 6, 1000   # rows and columns of the picture, samples in the ratio
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
    def seed(self) -> int:
        """Of all that is drawn."""
        return self.sampling.seed

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
        self.device = trained.device
        self.watch = Stopwatch()
        self.figures: dict[str, float] = {}
        self.pictures: dict[str, Float[Tensor, "3 H W"]] = {}
        self.plots: dict[str, Figure] = {}

    @property
    def network(self) -> Network:
        """Whose features images are compared by; there is one where a measure needs it."""
        assert self._network is not None
        return self._network

    @property
    def has_classes(self) -> bool:
        """Whether the priors are given labels."""
        return sources.has_classes(self.trained)

    def take(self, chosen: list[str]) -> None:
        """Take the measures of these names."""
        if {"reconstruction", "lpips", "rfid"} & set(chosen):
            self._reconstructions(chosen)
        if {*plan.LIKELIHOOD} & set(chosen):
            self._likelihood("likelihood_over_labels" in chosen)
        if {*plan.SAMPLES, "cas"} & set(chosen):
            self._samples(chosen)

    def _real(self, split: str, index: Int[ndarray, " n"], title: str) -> Iterator[ImageBatch]:
        return sources.real(self.images, split, index, self.settings.batch_size, self.device, title)

    def _real_features(self, title: str = "features of real images") -> Features:
        batches = self._real(self.settings.split, self.settings.index, title)
        with self.watch.part("features"):
            return sources.describe(self.network.module, (batch.x for batch in batches))

    def _reconstructions(self, chosen: list[str]) -> None:
        model = self.trained.autoencoder
        lpips = lpips_network() if "lpips" in chosen else None
        _, height, width = self.images.shape
        errors = Reconstruction((height, width), self.images.variance(), lpips).to(self.device)
        network = self._network if "rfid" in chosen else None
        with self.watch.part("reconstruction"):
            batches = self._real(self.settings.split, self.settings.index, "reconstructing")
            measured = reconstruction.measure(model, batches, errors, network.module if network else None)
        self.figures |= measured.figures
        if network and measured.features:
            fid = quality.compare(self._real_features(), measured.features, ["fid"], network.name)
            self.figures |= {f"r{name}": value for name, value in fid.items()}
        if measured.counts:
            self.plots["codes"] = report.code_usage(measured.counts, self.trained.title())
        x = self.images.batch(self.settings.split, self.settings.index[:16]).x.to(self.device)
        rows = figures.reconstruction_rows(model, x)
        self.pictures["reconstructions"] = figures.rows(*rows.values())
        title, note = self.trained.title(), figures.ERROR_SCALE
        self.plots["reconstructions_labelled"] = plots.labelled_rows(rows, title, note=note)

    def _likelihood(self, over_labels: bool) -> None:
        batches = self._real(self.settings.split, self.settings.index, "likelihood")
        with self.watch.part("likelihood"):
            if isinstance(self.trained.model, Variational):
                found = likelihood.of_vae(self.trained.model, batches)
            else:
                found = likelihood.of_priors(self.trained.coder, self.trained.priors, batches, over_labels)
        self.figures |= found.figures
        if found.maps:
            self.plots["likelihood"] = report.position_map(found.maps, self.trained.title(), self.has_classes)

    def _labels(self, split: str, index: ndarray) -> Int[Tensor, " n"] | None:
        """Classes of real images: samples have the same."""
        labels = self.images.split(split).labels
        return None if labels is None else torch.from_numpy(np.asarray(labels)[index])

    def _samples(self, chosen: list[str]) -> None:
        shown = _Kept(len(self.settings.index) if "cas" in chosen else 64)   # cas learns from all samples
        given = sources.given_of(self.images, self.settings.split, self.settings.index)
        sampling, sampler, size = self.settings.sampling, self.settings.sampler, self.settings.batch_size
        drawn = sources.generated(self.trained, len(self.settings.index), given, sampling, size, sampler)
        with self.watch.part("features"):
            generated = sources.describe(self.network.module, shown.of(self.watch.each("sampling", drawn)))
        self._show("samples", figures.grid(shown.images(64)), "first samples")
        measures = [name for name in quality.MEASURES if name in chosen]
        if measures or "neighbours" in chosen:
            real = self._real_features()
            with self.watch.part("metrics"):
                self.figures |= quality.compare(real, generated, measures, self.network.name)
        if "neighbours" in chosen:
            self._neighbours(real.vectors, generated.vectors, shown.images(NUM_SHOWN))
        if "cas" in chosen:
            self._cas(shown.pixels())

    def _neighbours(
        self, real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"], samples: Float[Tensor, "_ c h w"]
    ) -> None:
        """Picture of the training images nearest to some samples, and whether all are nearer than real ones are."""
        batches = self._real("train", np.arange(len(self.images.split("train").images)), "features of training images")
        with self.watch.part("features"):
            references = sources.describe(self.network.module, (batch.x for batch in batches)).vectors
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
        title = self.trained.title(self.settings.seed)
        self.plots[f"{name}_labelled"] = plots.titled({"": picture}, title, note)

    def _cas(self, samples: UInt8[Tensor, "n c h w"]) -> None:
        """The classifier trained on samples, and on as many reconstructions and real images, tested on real ones."""
        split, index, size = self.settings.split, self.settings.index, self.settings.batch_size
        chosen = sources.choose(len(self.images.split("train").images), len(samples))
        test_labels, labels = self._labels(split, index), self._labels("train", chosen)
        assert test_labels is not None
        assert labels is not None
        with self.watch.part("cas"):
            real = sources.gather(batch.x for batch in self._real("train", chosen, "training images"))
            batches = sources.in_batches(real, size, self.device)
            rebuilt = sources.gather(self.trained.autoencoder.reconstruct(x) for x in batches)
            test = sources.gather(batch.x for batch in self._real(split, index, "test images"))
            sets = {
                "samples": Labelled(samples, test_labels), "reconstructions": Labelled(rebuilt, labels),
                "real": Labelled(real, labels),
            }  # fmt: skip
            steps, seed, classifier = self.settings.cas_steps, self.settings.seed, self.network.module
            assert isinstance(classifier, Classifier)
            scores = classification.scores(
                classifier, sets, Labelled(test, test_labels), steps, CAS_BATCH_SIZE, seed
            )
        for name, (top1, top5) in scores.items():
            self.figures |= {f"cas_top1({name})": top1, f"cas_top5({name})": top5}


class _Kept:
    """The first images of a stream, kept as bytes while they go by."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._parts: list[UInt8[Tensor, "_ c h w"]] = []

    def of(self, batches: Iterator[Float[Tensor, "b c h w"]]) -> Iterator[Float[Tensor, "b c h w"]]:
        """The same batches."""
        for x in batches:
            self._parts.append(figures.to_uint8(x[: self.number - sum(map(len, self._parts))]).cpu())
            yield x

    def pixels(self) -> UInt8[Tensor, "n c h w"]:
        """All that was kept."""
        return torch.cat(self._parts)

    def images(self, number: int) -> Float[Tensor, "n c h w"]:
        """The first of them, in [-1, 1]."""
        return self.pixels()[:number].float() / 127.5 - 1

"""Every task computes where its models are, and nowhere do two devices meet."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.pretended import DEVICE, PretendedDevice
from tests.tasks import evaluated, tiny
from vqgen.drawing import Sampling
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.attribute import Attribute
from vqgen.tasks.codebook import Codebook
from vqgen.tasks.coding import blocks_of, compressed, decompressed
from vqgen.tasks.complete import Complete
from vqgen.tasks.evaluate import Evaluate
from vqgen.tasks.export import parts
from vqgen.tasks.interpolate import Interpolate
from vqgen.tasks.latents import Latents
from vqgen.tasks.levels import Levels
from vqgen.tasks.morph import Morph
from vqgen.tasks.nll import NLL
from vqgen.tasks.reconstruct import Reconstruct
from vqgen.tasks.reject import Reject
from vqgen.tasks.report import Report
from vqgen.tasks.sample import Sample
from vqgen.tasks.task import tasks
from vqgen.tasks.traverse import Traverse

CLASSES = len(tiny.shapes().class_names)


def prior() -> TrainedRun:
    return tiny.trained(tiny.vqvae2(), tiny.priors(CLASSES))


def vae() -> TrainedRun:
    return tiny.trained(tiny.latent_model())


def round_trip(trained: TrainedRun) -> None:
    """Compressed and read back."""
    batch = trained.batch([0])
    decompressed(
        trained,
        blocks_of(trained, {"x.vqc": compressed(trained, trained.autoencoder.encode(batch.x), [0])[0].contents}),
    )


def exported(trained: TrainedRun) -> None:
    """The parts that an export traces, called."""
    for export in parts(trained, trained.first(1).x).values():
        export.part(*export.inputs)


TRIED: dict[str, tuple[Callable[[], TrainedRun], Callable[[TrainedRun], Any]]] = {
    "attribute": (vae, Attribute(num_images=90)),
    "codebook": (prior, Codebook(8)),
    "complete": (prior, Complete(images=[0, 1], num_samples=2, sampling=Sampling(0.9, 4, 0.9))),
    "compress": (prior, round_trip),
    "decompress": (prior, round_trip),
    "export": (prior, exported),
    "evaluate": (evaluated.prior_run, Evaluate(classifier="classifier", num_samples=60, batch_size=25, cas_epochs=1)),
    "interpolate": (vae, Interpolate()),
    "latents": (vae, Latents(24, side=3)),
    "levels": (prior, Levels(3)),
    "morph": (prior, Morph()),
    "nll": (prior, NLL([0, 1])),
    "reconstruct": (prior, Reconstruct(3)),
    "reject": (lambda: evaluated.prior_run(num_test=100), Reject("classifier", num_samples=480)),
    "report": (prior, Report(3, 6, 8)),
    "sample": (prior, Sample(4, label=1, sampling=Sampling(0.9, 4, 0.9, 2.0))),
    "traverse": (vae, Traverse()),
    "sample of a VAE": (vae, Sample(4)),
    "report of a VAE": (vae, Report(3, 6, 8)),
    "evaluate of a VAE": (
        lambda: evaluated.trained(evaluated.vae()),
        Evaluate(num_samples=60, batch_size=25, classifier="classifier", cas_epochs=1),
    ),
}


def test_every_task_is_tried():
    computing = set(tasks()) - {"publish", "explore"}
    assert {name.partition(" ")[0] for name in TRIED} == computing


@pytest.mark.parametrize("name", TRIED)
def test_a_task_mixes_no_devices(name: str):
    make, task = TRIED[name]
    with PretendedDevice():
        trained = make()
        for module in filter(None, [trained.model, *trained.priors, trained.tokenizer]):
            module.to(DEVICE)
        if make not in (prior, vae):
            trained.open("classifier").model.to(DEVICE)
        assert trained.model.device == DEVICE
        task(trained)


def test_the_pretended_device_and_the_cpu_do_not_mix():
    import torch

    with PretendedDevice():
        there = torch.ones(3, device=DEVICE)
        assert (there * 2).device == DEVICE
        assert there.cpu().device == torch.device("cpu")
        with pytest.raises(RuntimeError, match="two devices meet"):
            there + torch.ones(3)
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()

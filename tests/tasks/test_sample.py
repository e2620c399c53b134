"""Drawing: what is asked for reaches the priors, and mistakes are named."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import Adam

from tests.tasks import tiny
from vqgen.drawing import Sampling
from vqgen.errors import UserError
from vqgen.measure.sources import generated
from vqgen.models.vae import VAE
from vqgen.nn.autoencoders.flat import FlatConvDecoder, FlatConvEncoder
from vqgen.nn.likelihoods.likelihoods import Bernoulli
from vqgen.nn.posteriors.posterior import DiagonalGaussian
from vqgen.optim.schedules import Constant
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.complete import Complete
from vqgen.tasks.images import label_index
from vqgen.tasks.sample import Sample


def _trained(model: Any) -> TrainedRun:
    return TrainedRun(model, [], None, lambda: None, Path("runs/x"), [], 0)


@pytest.fixture
def vae() -> VAE:
    torch.manual_seed(0)
    model = VAE(
        posterior=DiagonalGaussian,
        shape=(1, 8, 8),
        latent_dim=3,
        likelihood=Bernoulli(),
        encoder=partial(FlatConvEncoder, hidden_channels=[4]),
        decoder=partial(FlatConvDecoder, hidden_channels=[4]),
        optimizer=partial(Adam, lr=1e-3),
        schedule=Constant(),
    )
    return model.eval().requires_grad_(False)


def test_a_vae_draws_from_the_normal_distribution_by_seed(vae: VAE):
    tasks = [Sample(num_samples=4, sampling=Sampling(seed=seed)) for seed in (0, 0, 1)]
    first, again, other = (task(_trained(vae)).arrays["samples"] for task in tasks)
    assert first.shape == (4, 1, 8, 8)
    assert (first == again).all()
    assert (first != other).any()


def test_a_vae_given_a_label_says_it_knows_none(vae: VAE):
    with pytest.raises(UserError, match="a VAE knows no labels"):
        Sample(label=3)(_trained(vae))


def test_a_vae_given_an_option_of_priors_says_so_and_does_not_ignore_it(vae: VAE):
    for option in ({"temperature": 0.5}, {"top_k": 3}, {"top_p": [0.9]}, {"min_p": 0.1}, {"guidance": 2.0}):
        with pytest.raises(UserError, match="this is an option of priors"):
            Sample(sampling=Sampling(**option))(_trained(vae))


def test_the_classes_drawn_in_turn_have_a_column_each():
    run = tiny.trained(tiny.vqvae2(), tiny.priors(3))._replace(class_names=["a", "b", "c"])
    outcome = Sample(num_samples=7)(run)
    labels = [label.get_text() for label in outcome.plots["samples_labelled"].axes[0].get_xticklabels()]
    assert labels == ["a", "b", "c"]
    assert outcome.pictures["samples"].shape == outcome.pictures["codes_top"].shape == (3, 3 * 18 + 2, 3 * 18 + 2)
    one = Sample(num_samples=4, label="b", sampling=Sampling(temperature=0.7))(run).plots["samples_labelled"]
    assert one.get_suptitle().replace("\n", " ").endswith("class b, temperature=0.7")


def test_images_of_another_size_than_trained_are_drawn_where_the_grids_have_whole_codes():
    run = tiny.trained(tiny.vqvae2(), tiny.priors(3))
    drawn = Sample(num_samples=3, size=[24, 32])(run)
    assert drawn.arrays["samples"].shape == (3, 3, 24, 32)
    assert [drawn.arrays[f"codes/{name}"].shape[1:] for name in ("top", "bottom")] == [(3, 4), (6, 8)]
    assert Sample(num_samples=3, size=24)(run).arrays["samples"].shape == (3, 3, 24, 24)
    own, asked = (Sample(num_samples=3, size=size)(run).arrays["samples"] for size in (None, 16))
    assert (own == asked).all()


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (20, r"size=\[20, 20\]: sides are multiples of 8 \(did you mean 16 for 20\?\)"),
        ([16, 0], r"did you mean 8 for 0\?"),
        ([16, 16, 16], r"size=\[16, 16, 16\]: height and width"),
    ],
)
def test_a_size_that_cannot_be_drawn_is_refused(size: int | list[int], message: str):
    with pytest.raises(UserError, match=message):
        Sample(size=size)(tiny.trained(tiny.vqvae2(), tiny.priors(3)))


def test_a_network_of_one_grid_alone_says_so(monkeypatch: pytest.MonkeyPatch):
    top, bottom = tiny.priors(0)
    table = torch.zeros(8, 2, 2)
    monkeypatch.setattr(type(top.network), "forward", lambda self, codes, condition: table + codes[:, None])
    with pytest.raises(UserError, match="a map of 3x4: GatedPixelCNN was trained on 2x2, and draws no other"):
        Sample(size=[24, 32])(tiny.trained(tiny.vqvae2(), [top, bottom]))


def test_a_vae_has_images_of_one_size(vae: VAE):
    with pytest.raises(UserError, match="size=16: a VAE draws images of the size that it was trained on"):
        Sample(size=16)(_trained(vae))


def test_two_priors_of_a_level_are_refused():
    top, bottom = tiny.priors(0)
    run = tiny.trained(tiny.vqvae2(), [top, top, bottom])
    with pytest.raises(UserError, match="needs one prior of each level, and not several of top"):
        Sample()(run)


def test_a_label_is_a_number_or_a_name():
    run = tiny.trained(tiny.vqvae2(), tiny.priors(2))._replace(class_names=["cat", "dog"])
    assert label_index("dog", run) == 1
    assert label_index(0, run) == 0
    with pytest.raises(UserError, match=r"label=dgo: no such class.*did you mean dog"):
        label_index("dgo", run)


def test_no_two_samples_levels_or_seeds_draw_by_the_same_random_numbers(monkeypatch: pytest.MonkeyPatch):
    given: list[Any] = []

    def note(network: Any, grid: Any, num_samples: int, *_: Any, seeds: Any, **options: Any) -> torch.Tensor:
        given.extend(seeds)
        return torch.zeros(num_samples, *grid, dtype=torch.long)

    monkeypatch.setattr("vqgen.models.level_prior.sample_codes", note)
    run = tiny.trained(tiny.vqvae2(), tiny.priors(0))
    ways = [
        lambda seed: Sample(num_samples=5, sampling=Sampling(seed=seed))(run),
        lambda seed: Complete(images=[0], num_samples=5, sampling=Sampling(seed=seed))(run),
        lambda seed: [*generated(run, 5, {}, Sampling(seed=seed), batch_size=2)],
    ]
    for way in ways:
        given.clear()
        for seed in range(3):
            way(seed)
        first = {tuple(np.random.default_rng(stream).random(2)) for stream in given}
        assert len(first) == len(given) == 3 * 2 * 5


def test_an_image_is_the_same_in_batches_of_any_size(vae: VAE):
    run = tiny.trained(tiny.vqvae2(), tiny.priors(0))
    for trained in (run, _trained(vae)):
        images = [torch.cat([*generated(trained, 5, {}, Sampling(seed=3), size)]) for size in (1, 2, 5)]
        torch.testing.assert_close(images[0], images[2])
        torch.testing.assert_close(images[1], images[2])


@pytest.mark.parametrize("kind", ["priors", "vae"])
def test_many_images_are_drawn_in_parts_and_the_first_are_shown(kind: str, vae: VAE, monkeypatch: pytest.MonkeyPatch):
    run = _trained(vae) if kind == "vae" else tiny.trained(tiny.vqvae2(), tiny.priors(3))
    whole = Sample(num_samples=23)(run)
    monkeypatch.setattr("vqgen.tasks.sample.MAX_SHOWN", 9)
    parts = Sample(num_samples=23, batch_size=5)(run)
    assert whole.arrays.keys() == parts.arrays.keys()
    assert all((whole.arrays[name] == parts.arrays[name]).all() for name in whole.arrays)
    assert parts.pictures["samples"].shape[1] < whole.pictures["samples"].shape[1]
    texts = [text.get_text() for text in parts.plots["samples_labelled"].texts]
    assert any("the first 9 of 23 (arrays=true writes all)" in text for text in texts), texts

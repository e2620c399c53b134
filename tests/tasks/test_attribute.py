"""Attribute vectors: differences of means, whatever the attribute's scale."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.tasks import tiny
from vqgen.errors import UserError
from vqgen.tasks.attribute import Attribute, attribute_vectors, divided


def test_the_vector_is_the_mean_latent_with_the_attribute_less_that_without():
    run = tiny.trained(tiny.latent_model(latent_dim=3))
    vectors = attribute_vectors(run, ["red", "x"], 96)
    values = tiny.shapes().attributes("train").values
    z = run.model.encode(tiny.shapes().batch("train", np.arange(96)).x)
    for name, column, threshold in (("red", 0, 0.5), ("x", 8, np.median(values[:, 8]))):
        has = torch.from_numpy(values[:, column] > threshold)
        assert torch.allclose(vectors[name], z[has].mean(0) - z[~has].mean(0), atol=1e-5)


def test_a_latent_that_is_the_attribute_gives_a_vector_along_it_alone():
    values = tiny.shapes().attributes("train").values
    model = SimpleNamespace(
        encode=lambda x: torch.from_numpy(values[: len(x), [7, 8]]),
        decode=torch.zeros_like,
        reconstruct=torch.zeros_like,
        latent_dim=2,
        shape=(3, 16, 16),
        device=torch.device("cpu"),
    )
    vector = attribute_vectors(tiny.trained(model), ["ground"], 96)["ground"]
    ground, place = values[:, 6], values[:, 8]
    assert vector.shape == (2,)
    assert vector[1].item() == pytest.approx(place[ground > 0.5].mean() - place[ground < 0.5].mean(), abs=1e-5)


def test_numbers_are_divided_at_the_median_and_two_values_by_their_size():
    assert divided(np.array([0.0, 1.0, 1.0, 1.0])).tolist() == [False, True, True, True]
    assert divided(np.array([0.2, 0.9, 0.9])).tolist() == [False, True, True]
    assert divided(np.array([3.0, 1.0, 2.0, 4.0])).tolist() == [True, False, False, True]


def test_steps_along_the_vector_are_decoded_from_z_plus_alpha_v():
    run = tiny.trained(tiny.latent_model(latent_dim=3))
    vector = attribute_vectors(run, ["size"], 96)["size"]
    picture = Attribute("size", images=[2], alphas=[-1.0, 0.0, 2.0], num_images=96)(run).pictures["attribute_size"]
    x = run.batch([2]).x
    expected = [x, *(run.model.decode(run.model.encode(x) + alpha * vector) for alpha in (-1.0, 0.0, 2.0))]
    for i, image in enumerate(expected):
        assert torch.allclose(picture[:, 2:18, 2 + 18 * i : 18 + 18 * i], image[0], atol=1e-5)


def test_an_unknown_attribute_is_named_with_the_near_miss():
    with pytest.raises(UserError, match=r"attribute=gren: the data have no such attribute \(did you mean green\?\)"):
        Attribute("gren")(tiny.trained(tiny.latent_model()))


def test_an_attribute_that_all_images_share_is_told():
    run = tiny.trained(tiny.latent_model())
    with pytest.raises(UserError, match="attribute=red: the images are all alike in it; num_images=N"):
        Attribute("red", num_images=1)(run)
    with pytest.raises(UserError, match="the images are all alike"):
        Attribute(num_images=1)(run)


def test_of_all_attributes_those_that_all_images_share_are_left_out_and_told():
    run = tiny.trained(tiny.latent_model())
    values = tiny.shapes().attributes("train").values[:2]
    shared = {n for n, c in zip(tiny.shapes().attribute_names, values.T, strict=True) if len(np.unique(c)) == 1}
    outcome = Attribute(num_images=2)(run)
    assert shared
    assert {line.split()[2].rstrip(",") for line in outcome.text.splitlines()} == shared
    assert {name.removeprefix("attributes/") for name in outcome.arrays} == set(tiny.shapes().attribute_names) - shared

"""Paths: their ends, and what is even along them."""

import pytest
import torch

from tests.tasks import tiny
from vqgen.errors import UserError
from vqgen.tasks.interpolate import Interpolate, spherical
from vqgen.tasks.morph import Morph, morphed


def test_a_spherical_path_keeps_the_length_and_turns_at_even_angles():
    a, b = torch.nn.functional.normalize(torch.randn(2, 7, generator=torch.Generator().manual_seed(0)), dim=1)
    path = spherical(a, b, 6)
    assert torch.allclose(path.norm(dim=1), torch.ones(6), atol=1e-5)
    angles = torch.acos((path[1:] * path[:-1]).sum(1))
    assert torch.allclose(angles, torch.acos(a @ b).expand(5) / 5, atol=1e-4)
    assert torch.allclose(path[[0, -1]], torch.stack([a, b]), atol=1e-6)


def test_between_parallel_vectors_the_spherical_path_is_the_line():
    a = torch.tensor([1.0, 2.0])
    assert torch.allclose(spherical(a, 3 * a, 3), torch.stack([a, 2 * a, 3 * a]))
    assert torch.allclose(spherical(a, -a, 3)[1], torch.zeros(2))


@pytest.mark.parametrize("model", [tiny.latent_model(latent_dim=5), tiny.vqvae2()])
def test_a_morph_of_none_and_of_all_is_the_reconstructions(model):
    x = tiny.shapes().batch("test", torch.arange(2).numpy()).x
    made = morphed(model, x[0], x[1], [0.0, 1.0])
    assert torch.allclose(made, model.reconstruct(x), atol=1e-5)


def test_a_morph_decodes_the_weighted_mean_also_beyond_the_ends():
    model = tiny.latent_model(latent_dim=5)
    x = tiny.shapes().batch("test", torch.arange(2).numpy()).x
    a, b = model.encode(x)
    expected = model.decode(torch.stack([0.75 * a + 0.25 * b, 2 * b - a]))
    assert torch.allclose(morphed(model, x[0], x[1], [0.25, 2.0]), expected, atol=1e-5)


def test_codes_on_the_way_are_those_of_the_mixed_features():
    model = tiny.vqvae2()
    x = tiny.shapes().batch("test", torch.arange(2).numpy()).x
    mixed = [((z[0] + z[1]) / 2)[None] for z in model.features(x)]
    expected = model.decode([q.nearest(z) for q, z in zip(model.quantizers, mixed, strict=True)])
    assert torch.allclose(morphed(model, x[0], x[1], [0.5]), expected, atol=1e-6)


def test_pairs_have_two_sides():
    for task in (Morph, Interpolate):
        with pytest.raises(UserError, match="give one second image for each first"):
            task(first=[0, 1], second=[2])
    with pytest.raises(UserError, match="steps=1"):
        Interpolate(steps=1)


def test_between_vectors_of_any_lengths_angles_and_steps_of_length_are_equal():
    a, b = torch.randn(2, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    path = spherical(0.2 * a, 9 * b, 6)
    directions = torch.nn.functional.normalize(path, dim=1)
    angles = torch.acos((directions[1:] * directions[:-1]).sum(1))
    assert torch.allclose(angles, angles.mean().expand(5))
    assert torch.allclose(path.norm(dim=1), torch.linspace(float(0.2 * a.norm()), float(9 * b.norm()), 6).double())
    assert torch.allclose(path[[0, -1]], torch.stack([0.2 * a, 9 * b]))


def test_from_zero_the_spherical_path_is_the_line():
    assert torch.equal(spherical(torch.zeros(2), torch.ones(2), 3)[1], torch.full((2,), 0.5))

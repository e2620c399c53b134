"""Latents, traversals: where points lie and what moves."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.stats import norm

from tests.tasks import tiny
from vqgen.errors import UserError
from vqgen.models.ae import AE
from vqgen.pictures import figures, plots
from vqgen.tasks.latents import Latents, _histograms, decoded_plane, latent_points, plane_axes
from vqgen.tasks.traverse import Traverse, moved


def test_the_plane_of_a_vae_has_even_shares_of_the_normal_distribution():
    axes = plane_axes(torch.zeros(5, 2), 4, normal=True)
    assert norm.cdf(axes[0].numpy()) == pytest.approx([0.125, 0.375, 0.625, 0.875], abs=1e-6)
    assert torch.equal(axes[0], axes[1])


def test_the_plane_of_an_autoencoder_covers_where_its_images_lie():
    z = torch.stack([torch.linspace(-3, 5, 1001), torch.linspace(10, 20, 1001)], 1)
    axes = plane_axes(z, 10, normal=False)
    assert torch.allclose(axes.diff(dim=1), torch.tensor([[0.784], [0.98]]), atol=1e-3)
    assert axes[0].mean().item() == pytest.approx(1.0, abs=1e-3)


def test_the_decoded_plane_goes_right_with_the_first_and_up_with_the_second_dimension():
    model = tiny.latent_model()
    axes = torch.tensor([[-1.0, 0.5], [2.0, 3.0]])
    images = decoded_plane(model, axes)
    z = torch.tensor([[-1.0, 3.0], [0.5, 3.0], [-1.0, 2.0], [0.5, 2.0]])
    assert torch.allclose(images, model.decode(z), atol=1e-6)


def test_latents_are_draws_of_the_posterior_by_seed_and_leave_the_generator_alone():
    run = tiny.trained(tiny.latent_model())
    torch.manual_seed(3)
    first, again, other = (latent_points(run, 24, seed).z for seed in (0, 0, 1))
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(after, torch.rand(1))
    encoder = tiny.trained(tiny.latent_model(AE))
    assert torch.allclose(latent_points(encoder, 24, 0).z, encoder.model.encode(encoder.first(24).x), atol=1e-6)


def test_latents_come_with_their_labels():
    arrays = Latents(num_images=24, side=2)(tiny.trained(tiny.latent_model())).arrays
    assert arrays["latents/z"].shape == (24, 2)
    assert (arrays["latents/label"] == tiny.shapes().split("test").labels).all()


def test_the_principal_plane_holds_the_two_greatest_variances():
    x = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 0.1, 2.0, 0.5, 0.2])
    plane = plots.principal_plane(x)
    values = np.linalg.eigvalsh(np.cov(x.numpy().T))
    assert plane.points.var(0).tolist() == pytest.approx(values[[-1, -2]].tolist(), rel=1e-4)
    assert plane.share.tolist() == pytest.approx((values[[-1, -2]] / values.sum()).tolist(), rel=1e-4)
    line = plots.principal_plane(x[:, :1])
    assert line.points[:, 1].abs().max() == 0
    assert line.share.tolist() == pytest.approx([1.0, 0.0])


def test_histograms_of_an_autoencoder_are_of_standard_scores():
    z = 100 + 7 * torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    heights = {normal: _heights(_histograms(z, normal, "")) for normal in (True, False)}
    assert np.flatnonzero(heights[True]).tolist() == [39], "all beyond the right edge"
    centres = np.linspace(-3.9, 3.9, 40)
    assert heights[False] == pytest.approx(norm.pdf(centres), abs=0.05)


def _heights(figure: Figure) -> np.ndarray:
    return np.array([patch.get_height() for patch in figure.axes[0].patches])


def test_a_traversal_moves_one_dimension_alone():
    z, values = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([-1.0, 0.0, 7.0])
    assert moved(z, 1, values).tolist() == [[1.0, -1.0, 3.0], [1.0, 0.0, 3.0], [1.0, 7.0, 3.0]]


def test_a_traversal_shows_the_dimensions_of_greatest_spread_first():
    task, std = Traverse(num_dimensions=2), torch.tensor([0.1, 2.0, 1.0])
    assert task._chosen(std) == [1, 2]
    with pytest.raises(UserError, match=r"dimensions=\[5\]: there is no 5, they are 0 to 2"):
        Traverse(dimensions=[5])._chosen(std)


def test_points_are_decoded():
    run = tiny.trained(tiny.latent_model())
    points = [[0.5, -1.0], [0.0, 2.0]]
    expected = figures.rows(run.latent.decode(torch.tensor(points)))
    assert torch.equal(Latents(points=points)(run).pictures["points"], expected)
    with pytest.raises(UserError, match="vectors of 2 numbers"):
        Latents(points=[[0.5]])(run)

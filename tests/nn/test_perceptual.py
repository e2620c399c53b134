"""The perceptual loss: its distance by hand, and what it leaves as it is."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.nn.likelihoods import L1, Bernoulli, NormalizedMSE, Perceptual


class Seeing(nn.Module):
    """Two layers of maps and one of vectors."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, stride=2), nn.ReLU(inplace=True)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3), nn.ReLU()),
        )

    def features(self, x: Tensor) -> Tensor:
        """A vector."""
        return self.body(x)


def images(seed: int) -> Tensor:
    return torch.randn(3, 1, 12, 12, generator=torch.Generator().manual_seed(seed))


def perceptual(**options: Any) -> Perceptual:
    return Perceptual(NormalizedMSE(0.5), Seeing(), **options)


def distances(x: Tensor, y: Tensor) -> list[Tensor]:
    """Of both layers of maps, position by position."""
    network = Seeing().eval()
    maps = []
    for image in (x, y):
        first = network.body[:2](image)
        maps.append([first, network.body[2:5](first)])
    found = []
    for one, other in zip(*maps, strict=True):
        unit = [each / each.norm(dim=1, keepdim=True).clamp(min=1e-6) for each in (one, other)]
        found.append((unit[0] - unit[1]).square().sum(1).mean())
    return found


def test_the_distance_is_that_of_vectors_of_length_one_at_each_position():
    first, second = distances(images(1), images(2))
    torch.testing.assert_close(perceptual().distance(images(1), images(2)), (first + second) / 2)
    weighed = perceptual(layers={"body.1": 3.0, "body.4": 1.0}).distance(images(1), images(2))
    torch.testing.assert_close(weighed, (3 * first + second) / 4)
    torch.testing.assert_close(perceptual(layers=["body.4"]).distance(images(1), images(2)), second)
    assert perceptual().distance(images(1), images(1)) == 0


def test_it_stands_beside_the_reconstruction_loss_with_its_weight():
    loss = perceptual(weight=0.25)
    losses = loss.losses(images(1), images(2))
    torch.testing.assert_close(losses["recon_loss"], F.mse_loss(images(1), images(2)) / 0.5)
    torch.testing.assert_close(losses["perceptual_loss"], loss.distance(images(1), images(2)))
    assert loss.loss_weights == {"perceptual_loss": 0.25}
    assert loss.losses_per_value(images(1), images(2)).keys() == losses.keys()


@pytest.mark.parametrize("reconstruction", [L1(), Bernoulli()])
def test_outputs_stand_for_the_images_that_the_reconstruction_loss_reads(reconstruction: Any):
    loss = Perceptual(reconstruction, Seeing())
    output = images(1)
    assert torch.equal(loss.x_hat(output), reconstruction.x_hat(output))
    expected = loss.distance(reconstruction.x_hat(output), images(2).clamp(-1, 1))
    torch.testing.assert_close(loss.losses(output, images(2).clamp(-1, 1))["perceptual_loss"], expected)
    assert loss.num_outputs(3) == reconstruction.num_outputs(3)


def test_the_network_stays_as_it_is_and_the_image_gets_the_gradient():
    loss = perceptual().train()
    before = {name: tensor.clone() for name, tensor in loss.network.state_dict().items()}
    output = images(1).requires_grad_()
    loss.losses(output, images(2))["perceptual_loss"].backward()
    assert output.grad.abs().max() > 0
    assert not loss.network.training
    assert all(parameter.grad is None for parameter in loss.network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in loss.network.state_dict().items())
    assert not any(module._forward_hooks for module in loss.network.modules())


def test_layers_that_are_not_there_or_give_no_map_are_refused():
    with pytest.raises(ValueError, match=r"layers=\['body.11'\]: the network has no body.11 \(did you mean body.1\?\)"):
        perceptual(layers=["body.11"])
    with pytest.raises(ValueError, match=r"layers=\['body.8'\]: none of them gives a map"):
        perceptual(layers=["body.8"]).distance(images(1), images(2))
    with pytest.raises(ValueError, match=r"weight=-1\.0 must not be negative"):
        perceptual(weight=-1.0)

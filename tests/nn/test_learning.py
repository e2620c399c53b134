"""After a short training, priors know their maps, hear their condition and follow their label."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vqgen.batch import Condition
from vqgen.drawing import Sampling, sample_codes
from vqgen.nn.priors.conditioner import Conditioner
from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN
from vqgen.nn.priors.pixelcnn import PixelCNN
from vqgen.nn.priors.pixelsnail import PixelSNAIL
from vqgen.nn.priors.transformer import Transformer

PRIORS = {
    "pixelcnn": lambda k, e: PixelCNN(k, e, 32),
    "gated_pixelcnn": lambda k, e: GatedPixelCNN(k, e, 24, 3, output_channels=32),
    "transformer": lambda k, e: Transformer(k, e, 32, 2, 2, dropout=0.0),
    "pixelsnail": lambda k, e: PixelSNAIL(k, e, 24, 24, 3, 2, 1, 2, 16, dropout=0.0),
}


def train(modules: list[nn.Module], loss, steps: int, rate: float = 1e-2) -> None:
    parameters = [p for module in modules for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters, rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    for module in modules:
        module.eval()


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_learns_ten_maps_by_heart(name):
    torch.manual_seed(0)
    network, codes = PRIORS[name](8, 0), torch.randint(8, (10, 4, 5))
    train([network], lambda: F.cross_entropy(network(codes), codes), 100)
    nll = F.cross_entropy(network(codes), codes).item()
    assert nll < 2.3 / 20 * 1.2  # only which of the ten it is remains: ln 10 nats over 20 positions


@pytest.mark.parametrize("name", PRIORS)
def test_the_bottom_level_is_likelier_given_its_own_top(name):
    torch.manual_seed(0)
    conditioner = Conditioner((4, 6), [5], [[2, 3]], 0, 16, 1, 16)
    network = PRIORS[name](10, conditioner.out_channels)
    top = torch.randint(5, (64, 2, 3))
    bottom = 2 * top.repeat_interleave(2, 1).repeat_interleave(2, 2) + torch.randint(2, (64, 4, 6))

    def nll(upper: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(network(bottom, conditioner(Condition([upper]))), bottom)

    train([network, conditioner], lambda: nll(top), 40)
    assert nll(top).item() < 1.0 < nll(top.roll(1, 0)).item()


@pytest.mark.parametrize("name", PRIORS)
def test_label_guidance_moves_the_class(name):
    torch.manual_seed(0)
    conditioner = Conditioner((3, 4), num_classes=2, channels=8, label_dropout=0.3)
    network = PRIORS[name](4, conditioner.out_channels)
    label = torch.arange(64) % 2
    often = torch.rand(64, 3, 4) < 0.75  # class 0 mostly has the codes 0 and 1, class 1 the codes 2 and 3
    codes = 2 * torch.where(often, label[:, None, None], 1 - label[:, None, None]) + torch.randint(2, (64, 3, 4))
    given = Condition(given={"label": label})
    train([network, conditioner], lambda: F.cross_entropy(network(codes, conditioner(given)), codes), 40, 3e-3)

    def share(guidance: float) -> float:
        """How many of the codes drawn for class 1 are codes of class 1."""
        with torch.no_grad():
            condition = conditioner(Condition(given={"label": torch.ones(64, dtype=torch.long)}))
            none = conditioner(Condition(), 64)
        drawn = sample_codes(
            network, (3, 4), 64, condition, unconditional=none, sampling=Sampling(guidance=guidance), seeds=range(64)
        )
        return (drawn >= 2).double().mean().item()

    assert share(0.0) + 0.05 < share(1.0) < share(3.0) - 0.03

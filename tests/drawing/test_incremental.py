"""A network without a twin is computed anew at every position, and draws the same."""

import pytest
import torch

from tests.nn.priors import BUILDERS, CONDITION_CHANNELS, build, condition_map
from vqgen.drawing import FixedPoint, Recompute, Sampling, begin, sample_codes, sample_seeds
from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN

GRID = (4, 5)


class Other(GatedPixelCNN):
    """Another network than its parent, whose twin would be wrong."""

    def forward(self, codes, condition=None):
        return 2 * super().forward(codes, condition)


def test_a_subclass_is_another_network_and_is_not_drawn_by_the_twin_of_its_parent():
    torch.manual_seed(0)
    network = Other(6, hidden_channels=8, num_layers=2, output_channels=8).double().eval()
    codes, state = torch.randint(6, (2, *GRID)), begin(network, 2, GRID)
    assert isinstance(state, Recompute)
    for i, code in enumerate(codes.flatten(1).unbind(1)):
        torch.testing.assert_close(state.logits(), network(codes).flatten(2)[:, :, i], rtol=0, atol=1e-12)
        state.push(code)


@pytest.mark.parametrize("kind", ["none", "map", "label"])
@pytest.mark.parametrize("name", BUILDERS)
def test_recomputing_and_fixed_points_draw_the_maps_of_the_twin(name, kind, monkeypatch):
    network = build(name, condition_channels=0 if kind == "none" else CONDITION_CHANNELS)
    condition, seeds = condition_map(kind, 3, GRID), sample_seeds(0, range(3))
    sampling, sampler = Sampling(temperature=0.8, top_p=0.9), FixedPoint()

    def sample(sampler=None):
        return sample_codes(network, GRID, 3, condition, sampling=sampling, seeds=seeds, sampler=sampler)

    stepwise = sample()
    assert torch.equal(sample(sampler), stepwise)
    assert sampler.calls <= 20
    monkeypatch.setattr("vqgen.drawing.incremental._TWINS", {})
    assert torch.equal(sample(), stepwise)

"""What is particular to the gated PixelCNN."""

import torch

from vqgen.nn.gated_pixelcnn import GatedPixelCNN, gate
from vqgen.nn.incremental import Parallel


def test_a_gate_is_tanh_times_sigmoid():
    a, b = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(gate(torch.cat([a, b], dim=1)), a.tanh() * b.sigmoid())


def test_the_vertical_stack_knows_the_rows_above_and_all_of_them():
    network = GatedPixelCNN(6, hidden_channels=8, num_layers=3).double()
    embedded = network.embed(torch.randint(6, (1, 4, 5))).detach().requires_grad_()
    given = network.vertical(Parallel({}), embedded)
    (gradient,) = torch.autograd.grad(given[network.layers[-1].horizontal][0, :, 2, 2].sum(), embedded)
    seen = gradient[0].abs().amax(0) > 0
    assert seen[:2].all()
    assert not seen[2:].any()


def test_no_prior_normalises_over_positions_or_samples():
    kinds = {type(m).__name__ for m in GatedPixelCNN(6).modules()}
    assert not any("Norm" in kind for kind in kinds)

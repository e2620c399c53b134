"""What is particular to the gated PixelCNN."""

import math

import pytest
import torch
import torch.nn.functional as F

from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN, gate


def vertical_features(network, codes):
    """The embedded codes, and what each layer's vertical convolution gives."""
    embedded, features = [], []

    def hear(module, inputs, result):
        embedded.append(result.detach().requires_grad_())
        return embedded[0]

    network.embedding.register_forward_hook(hear)
    for layer in network.layers:
        layer.vertical.register_forward_hook(lambda *given: features.append(given[-1]))
    network(codes)
    return embedded[0], features


def test_a_gate_is_tanh_times_sigmoid():
    a, b = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(gate(torch.cat([a, b], dim=1)), a.tanh() * b.sigmoid())


def test_the_vertical_stack_knows_the_rows_above_and_all_of_them():
    network = GatedPixelCNN(6, hidden_channels=8, num_layers=3).double()
    embedded, features = vertical_features(network, torch.randint(6, (1, 4, 5)))
    (gradient,) = torch.autograd.grad(features[-1][0, :, 2, 2].sum(), embedded)
    gradient = gradient.permute(0, 3, 1, 2)
    seen = gradient[0].abs().amax(0) > 0
    assert seen[:2].all()
    assert not seen[2:].any()


def test_no_prior_normalises_over_positions_or_samples():
    kinds = {type(m).__name__ for m in GatedPixelCNN(6).modules()}
    assert not any("Norm" in kind for kind in kinds)


@pytest.mark.parametrize("kernel_size", [3, 5, 7])
@pytest.mark.parametrize("num_layers", [10, 15, 30])
def test_the_vertical_signal_and_its_gradient_neither_die_nor_explode(num_layers, kernel_size):
    torch.manual_seed(0)
    network = GatedPixelCNN(64, hidden_channels=32, num_layers=num_layers, kernel_size=kernel_size, output_channels=8)
    _, features = vertical_features(network, torch.randint(64, (8, 8, 8)))
    spread = torch.stack([x[:, :, 4:].std(0).mean() for x in features])
    assert (spread / spread[0]).min() > 0.1
    assert (spread / spread[0]).max() < 10
    gradients = torch.autograd.grad((features[-1] * torch.randn_like(features[-1])).sum(), features)
    scale = torch.stack([g.std() for g in gradients])
    assert (scale / scale[-1]).min() > 0.1
    assert (scale / scale[-1]).max() < 10


def test_a_code_of_eight_rows_above_is_learnt():
    torch.manual_seed(0)
    network = GatedPixelCNN(8, hidden_channels=32, num_layers=8, output_channels=32)
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    for _ in range(70):
        codes = torch.randint(8, (16, 8, 4)).repeat(1, 2, 1)
        loss = F.cross_entropy(network(codes)[:, :, 8:], codes[:, 8:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.75 * math.log(8)

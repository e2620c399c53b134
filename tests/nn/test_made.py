import pytest
import torch

from vqgen.nn.posteriors.made import MADE


@pytest.mark.parametrize(("dim", "hidden_channels"), [(1, [4]), (2, [3]), (7, [16]), (7, [16, 5, 16]), (5, [5, 5])])
def test_outputs_depend_on_the_inputs_before_them_only(dim, hidden_channels):
    torch.manual_seed(0)
    network = MADE(dim, 3, hidden_channels, context_dim=2).double()
    context = torch.randn(1, 2, dtype=torch.float64)
    x = torch.randn(1, dim, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x, context)[0], x)[:, :, 0]
    forbidden = torch.ones(dim, dim).triu().bool()
    assert (jacobian[:, forbidden] == 0).all()
    if min(hidden_channels) >= dim:
        assert (jacobian[:, ~forbidden] != 0).all()


def test_every_output_depends_on_the_context():
    network = MADE(6, 2, [12], context_dim=3)
    context = torch.randn(1, 3)
    jacobian = torch.autograd.functional.jacobian(lambda context: network(torch.randn(1, 6), context)[0], context)
    assert (jacobian[:, :, 0] != 0).all()


def test_it_stays_autoregressive_after_optimiser_steps_with_momentum_and_weight_decay():
    network = MADE(5, 1, [10], context_dim=1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        network(torch.randn(8, 5), torch.randn(8, 1)).square().sum().backward()
        optimizer.step()
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x, torch.ones(1, 1))[0, 0], torch.randn(1, 5))
    assert (jacobian[:, 0].triu() == 0).all()


def test_no_hidden_layer_is_an_error():
    with pytest.raises(ValueError, match="hidden_channels"):
        MADE(5, 1, [], context_dim=1)

import torch

from vqgen.nn.clamp import projected_clamp


def test_values_are_clamped_and_only_gradients_that_lead_further_out_are_left_out():
    values = torch.tensor([-3.0, -3.0, -1.0, 0.5, 2.0, 4.0, 4.0], requires_grad=True)
    result = projected_clamp(values, -1.0, 2.0)
    assert result.tolist() == [-1.0, -1.0, -1.0, 0.5, 2.0, 2.0, 2.0]
    result.backward(torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0, 1.0, -1.0]))
    assert values.grad.tolist() == [0.0, -1.0, 1.0, -1.0, -1.0, 1.0, 0.0]


def test_descent_finds_a_minimum_within_the_range_from_far_outside():
    value = torch.tensor([50.0], requires_grad=True)
    optimizer = torch.optim.SGD([value], lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        (projected_clamp(value, -1.0, 2.0) - 0.5).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(value.detach(), torch.tensor([0.5]))

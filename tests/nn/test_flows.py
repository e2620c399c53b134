import pytest
import torch

from vqgen.nn.posteriors.flows import IAF


def flow_and_jacobian(num_steps, dim=6):
    torch.manual_seed(0)
    flow = IAF(dim, [16], context_dim=3, num_steps=num_steps).double()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    z, context = torch.randn(1, dim, dtype=torch.float64), torch.randn(1, 3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda z: flow(z, context).z[0], z)[:, 0]
    return flow(z, context), jacobian


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4])
def test_the_log_determinant_is_that_of_the_jacobian(num_steps):
    transformed, jacobian = flow_and_jacobian(num_steps)
    torch.testing.assert_close(transformed.log_det.sum(), jacobian.slogdet().logabsdet)
    assert abs(transformed.log_det.sum()) > 1


def test_the_jacobian_of_a_step_is_triangular_with_the_gates_on_its_diagonal():
    transformed, jacobian = flow_and_jacobian(1)
    assert (jacobian.triu(1) == 0).all()
    assert (jacobian.tril(-1) != 0).any()
    torch.testing.assert_close(jacobian.diagonal().log(), transformed.log_det[0])


def test_the_second_step_runs_in_the_reverse_order():
    torch.manual_seed(0)
    flow = IAF(6, [16], context_dim=3, num_steps=2)
    for parameter in flow.steps[0].parameters():
        torch.nn.init.zeros_(parameter)
    context = torch.randn(1, 3)
    jacobian = torch.autograd.functional.jacobian(lambda z: flow(z, context).z[0], torch.randn(1, 6))[:, 0]
    assert (jacobian.tril(-1) == 0).all()
    assert (jacobian.triu(1) != 0).any()


def test_under_autocast_the_log_determinant_is_still_that_of_the_jacobian():
    torch.manual_seed(0)
    flow = IAF(8, [16], context_dim=3, num_steps=3)
    z, context = torch.randn(1, 8), torch.randn(1, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        transformed = flow(z, context)
        jacobian = torch.autograd.functional.jacobian(lambda z: flow(z, context).z[0], z)[:, 0]
    assert transformed.z.dtype == transformed.log_det.dtype == torch.float32
    torch.testing.assert_close(transformed.log_det.sum(), jacobian.slogdet().logabsdet, atol=1e-4, rtol=0)


def test_the_flow_starts_near_the_identity():
    flow = IAF(10, [20], context_dim=4, num_steps=3)
    z = torch.randn(50, 10)
    transformed = flow(z, torch.randn(50, 4))
    correlation = torch.corrcoef(torch.stack([z.flatten(), transformed.z.flatten()]))[0, 1]
    assert correlation > 0.8
    assert transformed.log_det.exp().mean() > 0.5

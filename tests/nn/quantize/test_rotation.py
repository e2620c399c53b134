import pytest
import torch

from vqgen.nn.quantize.rotation import MAX_SCALE, RotationEMAQuantizer, RotationGradient


def explicit_map(e, q):
    """lambda R built as a matrix: the rotation in the plane of e and q, by Rodrigues' formula in d dimensions."""
    u = e / e.norm()
    v = q - (q @ u) * u
    v = v / v.norm()
    cos, sin = (q @ u) / q.norm(), (q @ v) / q.norm()
    plane = torch.outer(u, u) + torch.outer(v, v)
    turn = torch.outer(v, u) - torch.outer(u, v)
    rotation = torch.eye(len(e), dtype=e.dtype) + (cos - 1) * plane + sin * turn
    return q.norm() / e.norm() * rotation


def test_z_q_is_exactly_the_code_vector():
    quantizer = RotationEMAQuantizer(10, 4).eval()
    quantized = quantizer(torch.randn(2, 4, 3, 5))
    assert torch.equal(quantized.z_q, quantizer.embed(quantized.codes))


def test_the_gradient_is_turned_and_scaled_by_the_map_from_z_e_to_z_q():
    generator = torch.Generator().manual_seed(0)
    e, q, gradient = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    matrix = explicit_map(e, q)
    torch.testing.assert_close(matrix @ e, q)
    z_e = e.view(1, 6, 1, 1).requires_grad_()
    RotationGradient.apply(z_e, q.view(1, 6, 1, 1)).backward(gradient.view(1, 6, 1, 1))
    torch.testing.assert_close(z_e.grad.flatten(), matrix.T @ gradient)


def test_the_angle_between_gradient_and_vector_is_kept():
    z_e, z_q, gradient = torch.randn(3, 2, 5, 4, 4)
    z_e.requires_grad_()
    RotationGradient.apply(z_e, z_q).backward(gradient)
    before = torch.cosine_similarity(gradient, z_q, dim=1)
    torch.testing.assert_close(torch.cosine_similarity(z_e.grad, z_e, dim=1), before, rtol=1e-4, atol=1e-4)


def test_at_the_code_vector_itself_the_gradient_is_the_straight_through_one():
    z_e, gradient = torch.randn(2, 2, 5, 4, 4)
    z_e.requires_grad_()
    RotationGradient.apply(z_e, z_e.detach()).backward(gradient)
    torch.testing.assert_close(z_e.grad, gradient)


def test_a_zero_vector_has_a_finite_gradient():
    z_e = torch.zeros(1, 5, 1, 1, requires_grad=True)
    RotationGradient.apply(z_e, torch.zeros(1, 5, 1, 1)).sum().backward()
    assert torch.isfinite(z_e.grad).all()


@pytest.mark.parametrize("length", [0.0, 1e-40, 1e-20, 1e-6, 1e-3, 0.09])
def test_near_the_origin_the_gradient_is_bounded(length):
    generator = torch.Generator().manual_seed(0)
    e, q, gradient = torch.randn(3, 64, 6, 4, 4, generator=generator)
    q, z_e = torch.nn.functional.normalize(q, dim=1), (length * torch.nn.functional.normalize(e, dim=1))
    RotationGradient.apply(z_e.requires_grad_(), q).backward(gradient)
    ratio = z_e.grad.norm(dim=1) / gradient.norm(dim=1)
    assert torch.isfinite(z_e.grad).all()
    assert ratio.max() <= 3 * MAX_SCALE
    if length > 1e-12:
        torch.testing.assert_close(ratio, torch.full_like(ratio, MAX_SCALE))


@pytest.mark.parametrize("length", [0.11, 1.0, 50.0])
def test_from_a_tenth_of_the_length_of_the_code_on_the_scale_is_that_of_the_paper(length):
    generator = torch.Generator().manual_seed(0)
    e, q, gradient = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    e, q = length * e / e.norm(), q / q.norm()
    z_e = e.view(1, 6, 1, 1).requires_grad_()
    RotationGradient.apply(z_e, q.view(1, 6, 1, 1)).backward(gradient.view(1, 6, 1, 1))
    torch.testing.assert_close(z_e.grad.flatten(), explicit_map(e.detach(), q).T @ gradient)

import pytest
import torch

from vqgen.nn.quantize import EMAQuantizer, GradientQuantizer
from vqgen.optim import weighted

QUANTIZERS = [GradientQuantizer, EMAQuantizer]


@pytest.mark.parametrize("quantizer_class", QUANTIZERS)
def test_z_q_is_the_code_vector_of_each_position(quantizer_class):
    torch.manual_seed(0)
    quantizer = quantizer_class(10, 4).eval()
    z_e = torch.randn(2, 4, 3, 5)
    quantized = quantizer(z_e)
    assert torch.equal(quantized.codes, quantizer.nearest(z_e))
    assert torch.equal(quantized.z_q, quantizer.embed(quantized.codes))
    assert torch.equal(quantized.z_q[1, :, 2, 4], quantizer.codebook[quantized.codes[1, 2, 4]])


@pytest.mark.parametrize("quantizer_class", QUANTIZERS)
def test_the_straight_through_gradient_is_exactly_one(quantizer_class):
    quantizer = quantizer_class(10, 4)
    z_e = torch.randn(2, 4, 3, 5, requires_grad=True)
    weights = torch.randn(2, 4, 3, 5)
    (quantizer(z_e).z_q * weights).sum().backward()
    assert torch.equal(z_e.grad, weights)


@pytest.mark.parametrize("quantizer_class", QUANTIZERS)
def test_the_commitment_cost_weighs_the_gradient_of_the_encoder(quantizer_class):
    z_e = torch.randn(2, 4, 3, 5, requires_grad=True)
    for commitment_cost in (0.0, 0.25, 2.0):
        quantizer = quantizer_class(10, 4, commitment_cost).eval()
        quantized = quantizer(z_e)
        (gradient,) = torch.autograd.grad(weighted(quantized.losses, quantizer.loss_weights).loss, z_e)
        expected = commitment_cost * 2 * (z_e - quantized.z_q).detach() / z_e.numel()
        torch.testing.assert_close(gradient, expected)


def test_the_commitment_cost_does_not_weigh_the_gradient_of_the_codebook():
    z_e = torch.randn(2, 4, 3, 5)
    gradients = []
    for commitment_cost in (0.0, 0.25, 2.0):
        torch.manual_seed(0)
        quantizer = GradientQuantizer(10, 4, commitment_cost)
        weighted(quantizer(z_e).losses, quantizer.loss_weights).loss.backward()
        gradients.append(quantizer.codebook.grad)
    assert gradients[0].abs().max() > 0
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


@pytest.mark.parametrize("quantizer_class", QUANTIZERS)
def test_under_autocast_distances_and_losses_are_those_of_float32(quantizer_class):
    torch.manual_seed(0)
    quantizer = quantizer_class(100, 16).eval()
    z_e = torch.randn(2, 16, 8, 8)
    exact = quantizer(z_e)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = quantizer(z_e)
        assert torch.equal(quantizer.nearest(z_e), exact.codes)
    assert torch.equal(mixed.codes, exact.codes)
    assert torch.equal(mixed.z_q, exact.z_q)
    assert mixed.losses == exact.losses


def test_half_precision_features_come_back_in_half_precision_with_a_float32_loss():
    quantized = EMAQuantizer(10, 4)(torch.randn(2, 4, 3, 5).bfloat16())
    assert quantized.z_q.dtype == torch.bfloat16
    assert quantized.losses["commitment_loss"].dtype == torch.float32


@pytest.mark.parametrize("quantizer_class", QUANTIZERS)
def test_features_of_another_width_are_an_error_that_names_both(quantizer_class):
    with pytest.raises(ValueError, match=r"5 channels.*embedding_dim=4"):
        quantizer_class(10, 4)(torch.zeros(1, 5, 2, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_embeddings": 0}, "num_embeddings=0"),
        ({"num_embeddings": 1}, "num_embeddings=1 must be from 2"),
        ({"num_embeddings": 2**21}, "num_embeddings=2097152"),
        ({"embedding_dim": 0}, "embedding_dim=0"),
        ({"commitment_cost": -1.0}, "commitment_cost=-1.0"),
        ({"decay": 1.0}, "decay=1.0"),
        ({"epsilon": 0.0}, "epsilon=0.0"),
        ({"revive_below": 1.0}, "revive_below=1.0"),
    ],
)
def test_arguments_out_of_range_are_errors_that_name_them(arguments, message):
    with pytest.raises(ValueError, match=message):
        EMAQuantizer(**{"num_embeddings": 10, "embedding_dim": 4, **arguments})

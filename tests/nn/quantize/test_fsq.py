import math

import pytest
import torch

from vqgen.nn.quantize.fsq import FSQ, levels_for

LEVELS = [[3], [4], [8, 5, 5], [7, 4, 6, 3]]


def all_codes(quantizer):
    return torch.arange(quantizer.num_embeddings).view(1, 1, -1)


@pytest.mark.parametrize("levels", LEVELS)
def test_each_code_has_one_vector_and_each_vector_one_code(levels):
    quantizer = FSQ(levels)
    vectors = quantizer.embed(all_codes(quantizer))
    assert len(vectors[0, :, 0].T.unique(dim=0)) == quantizer.num_embeddings
    digits = vectors * (quantizer.levels // 2)
    assert torch.equal(quantizer._codes(digits), all_codes(quantizer))


@pytest.mark.parametrize("levels", LEVELS)
def test_all_codes_are_within_reach_and_stand_for_their_own_vectors(levels):
    quantizer = FSQ(levels)
    target = quantizer.embed(all_codes(quantizer)) * (quantizer.levels // 2)
    half_width = (quantizer.levels - 1) * 0.999 / 2
    offset = (quantizer.levels % 2 == 0) / 2
    inside = ((target + offset) / half_width).clamp(-0.999, 0.999)
    z_e = inside.atanh() - torch.atanh(offset / half_width)
    quantized = quantizer(z_e)
    assert torch.equal(quantized.codes, all_codes(quantizer))
    torch.testing.assert_close(quantized.z_q, quantizer.embed(quantized.codes))


@pytest.mark.parametrize("levels", LEVELS)
def test_each_dimension_takes_its_number_of_values_within_one_of_zero(levels):
    z_q = FSQ(levels)(torch.linspace(-20, 20, 4001).expand(1, len(levels), 1, -1)).z_q
    assert z_q.abs().max() <= 1
    assert [len(z_q[0, i].unique()) for i in range(len(levels))] == levels


def test_the_code_of_a_forward_pass_is_that_of_nearest_and_embeds_to_z_q():
    torch.manual_seed(0)
    quantizer, z_e = FSQ([8, 5, 5]), torch.randn(2, 3, 4, 5)
    quantized = quantizer(z_e)
    assert torch.equal(quantized.codes, quantizer.nearest(z_e))
    torch.testing.assert_close(quantized.z_q, quantizer.embed(quantized.codes))
    assert quantized.losses == {}


def test_zero_is_bounded_to_zero():
    assert FSQ([8, 5, 4]).bound(torch.zeros(1, 3, 1, 1)).abs().max() < 1e-6


def test_the_gradient_is_that_of_the_bound_without_the_rounding():
    quantizer, z_e = FSQ([8, 5, 5]), torch.randn(2, 3, 4, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(quantizer(z_e).z_q.sum(), z_e)
    (expected,) = torch.autograd.grad((quantizer.bound(z_e) / (quantizer.levels // 2)).sum(), z_e)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize(
    ("levels", "number"), [([], "1"), ([8, 2], "16"), ([0], "0"), ([1000] * 3, "1,000,000,000"), ([255] * 9, ",")]
)
def test_too_few_values_or_too_many_codes_are_an_error_that_names_both(levels, number):
    with pytest.raises(ValueError, match="levels=") as error:
        FSQ(levels)
    assert f"levels={levels} make " in str(error.value)
    assert f"{number} codes" in str(error.value) or number == ","


@pytest.mark.parametrize(
    ("codes", "levels"),
    [
        (7, [7]),
        (128, [5, 5, 5]),
        (240, [8, 6, 5]),
        (1024, [8, 5, 5, 5]),
        (4375, [7, 5, 5, 5, 5]),
        (8192, [8, 8, 5, 5, 5]),
    ],
)
def test_levels_can_be_left_to_the_number_of_codes(codes, levels):
    assert levels_for(codes) == levels
    quantizer = FSQ(num_embeddings=codes)
    assert quantizer.levels.flatten().tolist() == levels
    assert quantizer.num_embeddings == math.prod(levels)


def test_as_few_codes_as_make_no_level_are_refused():
    with pytest.raises(ValueError, match=r"levels=\[2\] make 2 codes: each must be at least 3"):
        FSQ(num_embeddings=2)

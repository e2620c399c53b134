import torch

from vqgen.nn.quantize.cosine import CosineEMAQuantizer


def test_the_nearest_code_is_the_one_of_highest_cosine_similarity():
    quantizer = CosineEMAQuantizer(20, 4).eval()
    z_e = 10 * torch.randn(2, 4, 3, 5)
    similarity = torch.cosine_similarity(z_e[:, None], quantizer.codebook[None, :, :, None, None], dim=2)
    assert torch.equal(quantizer.nearest(z_e), similarity.argmax(dim=1))
    assert torch.equal(quantizer(z_e).codes, similarity.argmax(dim=1))


def test_the_codebook_stays_on_the_unit_sphere():
    quantizer = CosineEMAQuantizer(32, 4, decay=0.7, revive_below=0.2)
    for step in range(20):
        quantizer(torch.randn(4, 4, 5, 5) + 0.1 * step)
        torch.testing.assert_close(quantizer.codebook.norm(dim=1), torch.ones(32))


def test_the_length_of_the_input_changes_nothing():
    quantizer = CosineEMAQuantizer(20, 4).eval()
    z_e = torch.randn(2, 4, 3, 5)
    short, long = quantizer(z_e), quantizer(7 * z_e)
    assert torch.equal(short.codes, long.codes)
    torch.testing.assert_close(short.losses, long.losses)


def test_the_gradient_is_orthogonal_to_the_input():
    quantizer = CosineEMAQuantizer(20, 4).eval()
    z_e = torch.randn(2, 4, 3, 5, requires_grad=True)
    quantized = quantizer(z_e)
    ((quantized.z_q * torch.randn(2, 4, 3, 5)).sum() + quantized.losses["commitment_loss"]).backward()
    assert (z_e.grad * z_e).sum(dim=1).abs().max() < 1e-5
    assert z_e.grad.abs().max() > 1e-2

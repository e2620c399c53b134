"""Gradients through quantizers against formulas in float64, and what their losses say of enumerated codes."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.optim import Adam

from vqgen.nn.quantize import (
    BSQ,
    FSQ,
    IBQ,
    LFQ,
    CosineEMAQuantizer,
    DiVeQ,
    EMAQuantizer,
    GradientQuantizer,
    GumbelQuantizer,
    RotationEMAQuantizer,
    SimVQ,
)
from vqgen.nn.quantize.search import CHUNK_ELEMENTS


def features(dim: int, n: int = 3) -> torch.Tensor:
    return torch.randn(n, dim, 4, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()


def vectors(z: torch.Tensor) -> torch.Tensor:
    return z.permute(0, 2, 3, 1).flatten(0, 2)


def gradients(value: torch.Tensor, *of: torch.Tensor) -> tuple[torch.Tensor, ...]:
    weights = torch.linspace(-1, 1, value.numel(), dtype=value.dtype).view_as(value)
    return torch.autograd.grad((value * weights).sum(), of)


def test_simvq_moves_codes_that_no_vector_chose():
    torch.manual_seed(0)
    quantizer, z_e = SimVQ(32, 4), features(4)
    used = quantizer(z_e).codes.unique()
    assert len(used) < 32
    before = quantizer.codebook.detach().clone()
    optimizer = Adam(quantizer.parameters(), lr=0.1)
    sum(quantizer(z_e).losses.values()).backward()
    optimizer.step()
    assert ((quantizer.codebook - before).norm(dim=1) > 1e-3).all()
    assert [name for name, _ in quantizer.named_parameters()] == ["transform.weight"]


def test_diveq_gives_the_gradient_of_the_length_of_the_step():
    torch.manual_seed(0)
    quantizer, z_e = DiVeQ(8, 4, noise=0.0).train(), features(4)
    quantizer(z_e)  # places the codebook
    quantized = quantizer(z_e)
    torch.testing.assert_close(quantized.z_q, quantizer.embed(quantized.codes), rtol=1e-4, atol=1e-5)
    assert quantized.losses == {}
    by_z, by_codebook = gradients(quantized.z_q, z_e, quantizer.codebook)
    z, codebook = z_e.detach().double().requires_grad_(), quantizer.codebook.detach().double().requires_grad_()
    step = F.embedding(quantized.codes, codebook).permute(0, 3, 1, 2) - z
    length = step.norm(dim=1, keepdim=True)
    expected = gradients(z + length * (step / length).detach(), z, codebook)
    torch.testing.assert_close(by_z.double(), expected[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(by_codebook.double(), expected[1], rtol=1e-3, atol=1e-4)


def test_diveqs_noise_moves_the_result_a_little_in_training_alone():
    torch.manual_seed(0)
    quantizer, z_e = DiVeQ(8, 4, noise=0.05).train(), features(4)
    quantizer(z_e)
    quantized = quantizer(z_e)
    step = (quantizer.embed(quantized.codes) - z_e).norm(dim=1)
    off = (quantized.z_q - quantizer.embed(quantized.codes)).norm(dim=1) / step
    assert 0.01 < off.mean() < 0.1
    quantizer.eval()
    assert torch.equal(quantizer(z_e).z_q, quantizer.embed(quantized.codes))


def test_ibqs_gradient_does_not_depend_on_how_many_vectors_are_taken_at_a_time(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    quantizer, z_e = IBQ(8, 4), features(4, 30)
    whole = gradients(quantizer(z_e).z_q, z_e, quantizer.codebook)
    monkeypatch.setitem(CHUNK_ELEMENTS, "cpu", 8)
    for part, expected in zip(gradients(quantizer(z_e).z_q, z_e, quantizer.codebook), whole, strict=True):
        torch.testing.assert_close(part, expected)


def test_ibq_gives_every_code_a_part_of_the_choice():
    torch.manual_seed(0)
    quantizer, z_e = IBQ(8, 4), features(4)
    quantized = quantizer(z_e)
    products = vectors(z_e) @ quantizer.codebook.T
    assert torch.equal(quantized.codes.flatten(), products.argmax(1))
    assert torch.equal(quantized.z_q, quantizer.embed(quantized.codes))
    by_z, by_codebook = gradients(quantized.z_q, z_e, quantizer.codebook)
    z, codebook = z_e.detach().double().requires_grad_(), quantizer.codebook.detach().double().requires_grad_()
    p = (vectors(z) @ codebook.T).softmax(1)
    chosen = F.one_hot(quantized.codes.flatten(), 8).double() + p - p.detach()
    expected = gradients((chosen @ codebook).view(3, 4, 5, 4).permute(0, 3, 1, 2), z, codebook)
    torch.testing.assert_close(by_z.double(), expected[0], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(by_codebook.double(), expected[1], rtol=1e-3, atol=1e-5)
    assert (by_codebook.abs().sum(1) > 0).all()


def test_gumbel_draws_codes_by_their_logits():
    torch.manual_seed(0)
    quantizer = GumbelQuantizer(4, 3, temperature=0.5).train()
    z_e = features(3, 1)[:, :, :1, :1].expand(1, 3, 100, 100)
    quantized = quantizer(z_e)
    p = quantizer.logits(z_e[:, :, 0, 0]).softmax(1)[0]
    shares = torch.bincount(quantized.codes.flatten(), minlength=4) / 10_000
    assert ((shares - p).abs() < 4 * (p * (1 - p) / 10_000).sqrt()).all()
    assert torch.equal(quantized.z_q, quantizer.embed(quantized.codes))
    kl = (p * (4 * p).log()).sum()
    torch.testing.assert_close(quantized.losses["kl_loss"], kl)
    quantizer.eval()
    assert (quantizer(z_e).codes == p.argmax()).all()


def test_gumbels_gradient_is_that_of_the_softmax_of_what_was_drawn(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    quantizer, z_e = GumbelQuantizer(4, 3, temperature=0.7).train(), features(3)
    noise = torch.rand(60, 4) + 0.1
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda self: self.copy_(noise))
    by_z, by_codebook = gradients(quantizer(z_e).z_q, z_e, quantizer.codebook)
    z, codebook = z_e.detach().double().requires_grad_(), quantizer.codebook.detach().double().requires_grad_()
    weight, bias = (p.detach().double() for p in quantizer.logits.parameters())
    y = ((vectors(z) @ weight.T + bias - noise.double().log()) / 0.7).softmax(1)
    chosen = F.one_hot(y.argmax(1), 4).double() + y - y.detach()
    expected = gradients((chosen @ codebook).view(3, 4, 5, 3).permute(0, 3, 1, 2), z, codebook)
    torch.testing.assert_close(by_z.double(), expected[0], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(by_codebook.double(), expected[1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", [LFQ, BSQ])
@pytest.mark.parametrize("num_embeddings", [2, 8, 64])
def test_binary_codes_are_all_reached_and_every_one_is_its_own_nearest(kind: Any, num_embeddings: int):
    quantizer = kind(num_embeddings)
    codes = torch.arange(num_embeddings).view(1, 1, -1)
    found = quantizer.embed(codes)
    assert found.shape[1] == math.log2(num_embeddings)
    assert torch.equal(quantizer.nearest(found), codes)
    assert torch.equal(quantizer.nearest(found * 3), codes)
    distances = torch.cdist(quantizer.project(features(found.shape[1])).flatten(2).mT, found[:, :, 0].mT)
    nearest = quantizer.nearest(features(found.shape[1]))
    assert torch.equal(distances.argmin(2), nearest.flatten(1))
    if kind is BSQ:
        torch.testing.assert_close(found.norm(dim=1), torch.ones(1, 1, num_embeddings))


@pytest.mark.parametrize("diversity", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("kind", [LFQ, BSQ])
def test_the_entropies_are_those_over_all_codes_one_by_one(kind: Any, diversity: float):
    quantizer = kind(32, diversity=diversity, temperature=0.7)
    z = quantizer.project(features(5)).double()
    codes = quantizer.embed(torch.arange(32).view(1, 1, -1))[0, :, 0].T.double()
    p = (-torch.cdist(vectors(z), codes).square() / 0.7).softmax(1)
    each = -(p * p.log()).sum(1).mean()
    if kind is LFQ:
        together = -(p.mean(0) * p.mean(0).log()).sum()
    else:
        bits = (p @ (codes > 0).double()).mean(0)
        together = -(bits * bits.log() + (1 - bits) * (1 - bits).log()).sum()
    loss = quantizer(features(5)).losses["entropy_loss"]
    torch.testing.assert_close(loss.double(), each - diversity * together, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [LFQ, BSQ])
def test_a_sure_and_even_use_has_the_smallest_entropy_loss(kind: Any):
    quantizer = kind(16, temperature=0.01)
    codes = torch.arange(16).view(1, 4, 4)
    even = quantizer(quantizer.embed(codes)).losses
    alike = quantizer(quantizer.embed(codes * 0)).losses
    assert even["entropy_loss"] == pytest.approx(-math.log(16), abs=1e-3)
    assert alike["entropy_loss"] == pytest.approx(0.0, abs=1e-3)
    assert even["commitment_loss"] == pytest.approx(0.0, abs=1e-10)


ALL = {
    **{kind.__name__: partial(kind, 16, 4) for kind in (CosineEMAQuantizer, DiVeQ, EMAQuantizer, GradientQuantizer)},
    **{kind.__name__: partial(kind, 16, 4) for kind in (GumbelQuantizer, IBQ, RotationEMAQuantizer, SimVQ)},
    **{kind.__name__: partial(kind, 16) for kind in (BSQ, LFQ)},
    "sure LFQ": partial(LFQ, 2**14, temperature=0.01),
    "sure BSQ": partial(BSQ, 2**14, temperature=0.01),
    "FSQ": partial(FSQ, [5, 5, 5]),
}


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1.0, 1e3])
@pytest.mark.parametrize("kind", ALL)
def test_losses_and_gradients_are_finite_for_features_of_any_scale(kind: str, scale: float):
    torch.manual_seed(0)
    quantizer = ALL[kind]().train()
    z_e = (scale * features(quantizer.embedding_dim)).detach().requires_grad_()
    for _ in range(2):  # the first places codebooks
        quantized = quantizer(z_e)
    loss = sum(quantized.losses.values(), quantized.z_q.sum())
    found = torch.autograd.grad(loss, [z_e, *quantizer.parameters()], allow_unused=True)
    assert loss.isfinite()
    assert all(gradient is None or gradient.isfinite().all() for gradient in found)


@pytest.mark.parametrize("kind", [LFQ, BSQ])
def test_the_gradient_of_the_signs_is_straight_through(kind: Any):
    quantizer, z_e = kind(8), features(3)
    (through,) = gradients(quantizer(z_e).z_q, z_e)
    (expected,) = gradients(quantizer.project(z_e), z_e)
    torch.testing.assert_close(through, expected)


def test_k_means_starts_a_gradient_codebook_once_and_says_so_in_the_checkpoint():
    torch.manual_seed(0)
    z_e = 5 + features(4).detach()
    quantizer = GradientQuantizer(8, 4, kmeans=True).train()
    quantizer.eval()(z_e)
    assert quantizer.codebook.abs().max() <= 1 / 8
    loss = quantizer.train()(z_e).losses["codebook_loss"]
    assert loss < 0.6 * z_e.var()
    before = quantizer.codebook.detach().clone()
    resumed = GradientQuantizer(8, 4, kmeans=True).train()
    resumed.load_state_dict(quantizer.state_dict())
    resumed(z_e + 1)
    assert torch.equal(resumed.codebook, before)
    assert "started" not in GradientQuantizer(8, 4).state_dict()  # runs from before it have none


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(LFQ, 100), "num_embeddings=100 must be a power of two .* such as 64 or 128"),
        (partial(BSQ, 1), "num_embeddings=1 must be a power of two"),
        (partial(LFQ, 8, temperature=0.0), "temperature=0.0 must be positive"),
        (partial(BSQ, 8, entropy_weight=-1.0), "entropy_weight=-1.0 must not be negative"),
        (partial(GumbelQuantizer, 8, 4, temperature=0.0), "temperature=0.0 must be positive"),
        (partial(GumbelQuantizer, 8, 4, kl_weight=-1.0), "kl_weight=-1.0 must not be negative"),
        (partial(DiVeQ, 8, 4, noise=-1.0), "noise=-1.0 must not be negative"),
        (partial(SimVQ, 1, 4), "num_embeddings=1 must be from 2"),
    ],
)
def test_what_makes_no_quantizer_is_refused(make: Any, message: str):
    with pytest.raises(ValueError, match=message):
        make()

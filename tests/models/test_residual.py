"""Tokenizers of residuals: what the levels say adds up, and each is of what those before have left."""

from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.optim import Adam

from vqgen.batch import ImageBatch
from vqgen.models.residual import ResidualMapVQVAE, ResidualVQVAE
from vqgen.nn.autoencoders.residual import Decoder, Encoder
from vqgen.nn.autoencoders.scales import Resize, Scales
from vqgen.nn.likelihoods.reconstruction import NormalizedMSE
from vqgen.nn.quantize import (
    FSQ,
    IBQ,
    CosineEMAQuantizer,
    DiVeQ,
    EMAQuantizer,
    GradientQuantizer,
    RotationEMAQuantizer,
    SimVQ,
)
from vqgen.optim.schedules import Constant
from vqgen.protocols import Tokenizer
from vqgen.runs.fingerprint import fingerprint

MULTISCALE: dict[str, Any] = {"scales": [1, [2, 3], [4, 6]], "shared": True, "refinement": 0.5}
KINDS: dict[str, dict[str, Any]] = {
    "rq": {"depth": 3},
    "rq shared": {"depth": 3, "shared": True},
    "multiscale": MULTISCALE,
    "multiscale with two of the last": MULTISCALE | {"depth": 2, "shared": False},
}


def residual(
    shape: tuple[int, int, int] = (1, 16, 24),
    quantizer: Any = None,
    kind: type[ResidualVQVAE] = ResidualVQVAE,
    **options: Any,
) -> ResidualVQVAE:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_channels": 16, "residual_channels": 8}
    return kind(
        shape,
        partial(Encoder, downsampling=4, **sizes),
        quantizer or partial(EMAQuantizer, 8, 4),
        partial(Decoder, upsampling=4, **sizes),
        NormalizedMSE(0.5),
        **options,
        optimizer=partial(Adam, lr=1e-3),
        schedule=Constant(),
    )


def images(n: int = 6, shape: tuple[int, ...] = (1, 16, 24)) -> ImageBatch:
    x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return ImageBatch(x, {}, torch.arange(n))


def trained(batch: ImageBatch, steps: int = 20, **options: Any) -> ResidualVQVAE:
    model = residual(**options).train()
    optimizer = Adam(model.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        model.objective(batch).loss.backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_codes_decode_to_what_the_model_saw(kind: str):
    batch = images()
    model = trained(batch, **KINDS[kind])
    assert isinstance(model, Tokenizer)
    codes = model.encode(batch.x)
    assert [tuple(level.shape[1:]) for level in codes] == model.grids
    forward = model(batch.x)
    assert all(torch.equal(a, level.codes) for a, level in zip(codes, forward.levels, strict=True))
    torch.testing.assert_close(model.decode_output(codes), forward.output)
    assert all(torch.equal(a, b) for a, b in zip(model.nearest(model.features(batch.x)), codes, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_each_level_is_of_what_those_before_have_left(kind: str):
    batch = images()
    model = trained(batch, **KINDS[kind])
    z_e, codes = model.encoder(batch.x), model.encode(batch.x)
    for k in range(len(codes)):
        said = model.scales.embed(codes[:k]) if k else torch.zeros_like(z_e)
        left = F.adaptive_avg_pool2d(z_e - said, model.grids[k])
        distances = torch.cdist(left.flatten(2).mT, model.quantizers[k].codebook.expand(len(left), -1, -1))
        assert torch.equal(distances.argmin(2).view_as(codes[k]), codes[k])


def test_more_depth_leaves_less_and_a_level_left_out_adds_nothing():
    batch = images(32)
    model = trained(batch, steps=60, depth=4)
    z_e, codes = model.encoder(batch.x).detach(), model.encode(batch.x)
    errors = [float((z_e - model.scales.embed(codes[: k + 1])).square().mean()) for k in range(4)]
    assert all(more < 0.9 * less for less, more in pairwise(errors)), errors
    torch.testing.assert_close(model.decode_output(codes[:2]), model.decode_output([*codes[:2], None, None]))
    torch.testing.assert_close(model.scales.embed([None, codes[1]]), model.quantizers[1].embed(codes[1]))


def test_the_loss_pulls_the_encoder_to_every_partial_sum():
    batch, beta = images(), 0.25
    model = residual(depth=3).train()
    model.objective(batch)  # places the codebooks
    model.eval()
    z_e = model.encoder(batch.x).detach().requires_grad_()
    z_q, levels = model.scales(z_e)
    sums = [model.scales.embed([level.codes for level in levels[: k + 1]]) for k in range(3)]
    loss = sum(level.losses["commitment_loss"] for level in levels)
    expected = sum(F.mse_loss(z_e, total) for total in sums)  # equation 6 of arXiv 2203.01941
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(beta * loss, z_e, retain_graph=True)
    torch.testing.assert_close(gradient, beta * torch.autograd.grad(expected, z_e)[0])
    (through,) = torch.autograd.grad(z_q.sum(), z_e)
    assert torch.equal(through, torch.ones_like(z_e))


def test_the_refinements_learn_from_the_error_of_the_sum():
    batch = images()
    model = residual(**MULTISCALE).train()
    losses = model.objective(batch).losses
    assert [name for name in losses if name.startswith("refinement")] == ["refinement_loss_4x6"]
    losses["refinement_loss_4x6"].backward()
    for refine in model.scales.refine:
        assert refine.conv.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.encoder.parameters())


def test_a_shared_codebook_makes_one_update_of_all_scales():
    batch = images()
    model = residual(**MULTISCALE).train()
    model.objective(batch)
    (quantizer,) = model.scales.quantizers
    assert int(quantizer.num_updates) == 1
    before = quantizer.codebook.clone()
    counts = sum(torch.bincount(level.flatten(), minlength=8) for level in model.encode(batch.x))
    old, weight = quantizer.counts.clone(), float(quantizer._weight())
    model.objective(batch)
    assert int(quantizer.num_updates) == 2
    torch.testing.assert_close(quantizer.counts, old.lerp(counts.float(), weight))
    assert not torch.equal(quantizer.codebook, before)
    assert quantizer.step_ends


@pytest.mark.parametrize("quantizer", [partial(EMAQuantizer, 8, 4), partial(GradientQuantizer, 8, 4, kmeans=True)])
def test_a_shared_codebook_starts_from_the_features_and_not_from_the_coarsest_scale(quantizer: Any):
    batch = images(2)  # two vectors at 1x1, 48 at 4x6
    model = residual(quantizer=quantizer, **MULTISCALE).eval()
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for _ in range(2):  # evaluated before it is trained; and as a search of the rate puts it back
        model.eval()(batch.x)
        model.train().objective(batch)
        assert len(model.scales.quantizers[0].codebook.detach().round(decimals=4).unique(dim=0)) == 8
        assert model.scales.quantizers[0].codebook.std() > 0.5 * model.encoder(batch.x).std()
        model.load_state_dict(fresh)


@pytest.mark.parametrize("sizes", [(4, 4, 1, 1), (6, 4, 3, 2), (8, 8, 3, 5), (3, 5, 3, 5)])
def test_smaller_is_the_mean_of_areas(sizes: tuple[int, ...]):
    grid, new = sizes[:2], sizes[2:]
    x = torch.randn(2, 3, *grid, dtype=torch.float64)
    torch.testing.assert_close(Resize(grid, new)(x), F.adaptive_avg_pool2d(x, new))


@pytest.mark.parametrize("sizes", [(1, 1, 4, 4), (2, 3, 4, 6), (3, 5, 8, 8)])
def test_larger_is_bicubic(sizes: tuple[int, ...]):
    grid, new = sizes[:2], sizes[2:]
    x = torch.randn(2, 3, *grid, dtype=torch.float64)
    expected = F.interpolate(x, new, mode="bicubic", align_corners=False)
    torch.testing.assert_close(Resize(grid, new)(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "quantizer",
    [
        partial(GradientQuantizer, 8, 4, kmeans=True),
        partial(SimVQ, 8, 4),
        partial(IBQ, 8, 4),
        partial(CosineEMAQuantizer, 8, 4),
        partial(RotationEMAQuantizer, 8, 4),
        partial(EMAQuantizer, 8, 4, seed=3),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_any_codebook_trains(kind: str, quantizer: Any):
    batch = images(16)
    model = residual(quantizer=quantizer, **KINDS[kind]).train()
    model.objective(batch)
    first = model.objective(batch).losses["recon_loss"].item()
    after = trained(batch, steps=40, quantizer=quantizer, **KINDS[kind])
    assert after.train().objective(batch).losses["recon_loss"].item() < first


def test_levels_have_names_and_their_own_seeds():
    assert residual(depth=2).level_names == ["depth1", "depth2"]
    assert residual(**MULTISCALE).level_names == ["1x1", "2x3", "4x6"]
    assert residual(**MULTISCALE | {"depth": 3}).level_names == ["1x1", "2x3", "4x6", "4x6_2", "4x6_3"]
    seeds = [q.seed for q in residual(quantizer=partial(EMAQuantizer, 8, 4, seed=5), depth=3).quantizers]
    assert len(set(seeds)) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "depth=0 must be at least 1"),
        ({"scales": [1, 2, 3]}, r"scales=\[1, 2, 3\] must grow.*map, 4x6: such as \[\[1, 2\], \[2, 3\], \[4, 6\]\]"),
        ({"scales": [[2, 3], 1, [4, 6]]}, "must grow"),
        ({"scales": [[2, 3], [4, 6], [4, 6]]}, "must grow"),
        ({"scales": []}, "must grow"),
        ({"scales": [0, [4, 6]]}, "must grow, from 1 at least"),
        ({"refinement": 2.0}, "refinement=2.0 must be from 0 to 1"),
        ({"quantizer": partial(FSQ, [5, 5, 5])}, "FSQ does not fit a sum of code vectors"),
        ({"quantizer": partial(DiVeQ, 8, 4)}, "DiVeQ does not fit a sum of code vectors"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        residual(**options)


def test_quantizers_are_one_for_each_scale_or_one_for_all():
    with pytest.raises(ValueError, match="2 quantizers for 3 scales"):
        Scales([(1, 1), (2, 2), (4, 4)], [EMAQuantizer(8, 4), EMAQuantizer(8, 4)])


def test_one_map_of_all_depths_has_their_codes_side_by_side_and_learns_as_they_do():
    batch = images()
    levels = trained(batch, depth=3, shared=True)
    one = trained(batch, depth=3, kind=ResidualMapVQVAE)
    assert isinstance(one, Tokenizer)
    assert all(torch.equal(a, b) for a, b in zip(levels.parameters(), one.parameters(), strict=True))
    (codes,), maps = one.encode(batch.x), levels.encode(batch.x)
    assert (one.grids, one.num_embeddings, one.level_names) == ([(4, 18)], [8], ["top"])
    assert torch.equal(codes[0, 1, 3:6], torch.stack(maps)[:, 0, 1, 1])
    torch.testing.assert_close(one.decode_output([codes]), levels.decode_output(maps))
    torch.testing.assert_close(one(batch.x).output, one.decode_output([codes]))
    assert torch.equal(one.nearest(one.features(batch.x))[0], codes)
    assert torch.equal(one.code_vectors(0), one.quantizers[0].codebook)
    assert {f"commitment_loss_depth{i}" for i in (1, 2, 3)} <= {*one.objective(batch).losses}
    assert fingerprint(one) != fingerprint(levels)


@pytest.mark.parametrize(
    ("options", "known"),
    [({"depth": 3}, "2bfbae1c23a71d5a"), ({"depth": 2, "shared": True}, "504db22194ac7ddd")],
    ids=["a codebook each", "one for all"],
)
def test_fingerprints_are_those_by_which_priors_of_before_know_their_tokenizers(options: dict[str, Any], known: str):
    model = residual(**options)
    for tensor in model.state_dict().values():
        tensor.copy_((torch.arange(tensor.numel()).view_as(tensor) % 17) / 16 if tensor.is_floating_point() else 0)
    assert fingerprint(model) == known

"""VQ-VAE-2: levels, grids, what conditions what."""

from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch.optim import Adam

from vqgen.batch import ImageBatch
from vqgen.models.vqvae2 import VQVAE2
from vqgen.nn.likelihoods.reconstruction import NormalizedMSE
from vqgen.nn.quantize import EMAQuantizer
from vqgen.optim.schedules import Constant


def vqvae2(
    shape: Sequence[int] = (3, 16, 32),
    downsampling: Sequence[int] = (2, 4),
    k: int = 8,
    dim: int = 4,
    hidden_channels: int = 16,
    residual_channels: int = 8,
) -> VQVAE2:
    return VQVAE2(
        shape,
        downsampling,
        partial(EMAQuantizer, k, dim),
        NormalizedMSE(1.0),
        hidden_channels,
        2,
        residual_channels,
        optimizer=Adam,
        schedule=Constant(),
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("downsampling", "grids"),
    [((2, 4), [(2, 4), (4, 8)]), ((2, 2, 4), [(1, 2), (2, 4), (4, 8)]), ((4, 2), [(2, 4), (8, 16)])],
)
def test_each_level_has_the_grid_of_its_steps(channels: int, downsampling: list[int], grids: list[tuple[int, int]]):
    model = vqvae2((channels, 16, 32), downsampling)
    x = torch.rand(2, channels, 16, 32) * 2 - 1
    assert model.grids == grids
    assert [tuple(c.shape[1:]) for c in model.encode(x)] == grids
    assert model.reconstruct(x).shape == x.shape
    assert model.level_names[0] == "top"
    assert model.level_names[-1] == "bottom"


@pytest.mark.parametrize(
    ("size", "downsampling", "grids"),
    [(256, [2, 4], [(32, 32), (64, 64)]), (1024, [2, 2, 8], [(32, 32), (64, 64), (128, 128)])],
)
def test_the_published_sizes_have_the_published_grids(size: int, downsampling: list[int], grids: list[tuple[int, int]]):
    with torch.device("meta"):
        model = vqvae2((3, size, size), downsampling, k=512, dim=64, hidden_channels=128, residual_channels=64)
        features = torch.zeros(1, 3, size, size)
        for encoder, grid in zip(reversed(model.encoder.features), reversed(grids), strict=True):
            features = encoder(features)
            assert features.shape == (1, 128, *grid)
        output = model.decoder([torch.zeros(1, 64, *grid) for grid in grids])
    assert model.grids == grids
    assert output.shape == (1, 3, size, size)


def test_the_nearest_codes_of_the_features_are_the_codes():
    model = vqvae2((3, 16, 32), (2, 2, 4)).eval()
    x = torch.rand(2, 3, 16, 32) * 2 - 1
    for found, codes in zip(model.nearest(model.features(x)), model.encode(x), strict=True):
        assert torch.equal(found, codes)


def test_decoding_the_codes_is_the_forward_pass():
    model = vqvae2().eval()
    x = torch.rand(2, 3, 16, 32) * 2 - 1
    assert torch.allclose(model.decode_output(model.encode(x)), model(x).output, atol=1e-6)


def test_the_bottom_codes_depend_on_the_top_level():
    model = vqvae2().eval()
    x = torch.rand(4, 3, 16, 32) * 2 - 1
    before = model.encode(x)[1]
    with torch.no_grad():
        model.encoder.quantizers[0].codebook.mul_(-300)
    assert not torch.equal(model.encode(x)[1], before)


def test_the_picture_depends_on_every_level():
    model = vqvae2(downsampling=(2, 2, 4)).eval()
    codes = [torch.zeros(1, *grid).long() for grid in model.grids]
    before = model.decode_output(codes)
    for level in range(3):
        changed = [c.clone() for c in codes]
        changed[level][0, 0, 0] = 1
        assert not torch.equal(model.decode_output(changed), before)


def test_levels_left_out_are_zero_vectors():
    model = vqvae2(downsampling=(2, 2, 4)).eval().double()  # embedded vectors lie otherwise in memory than zeros do
    codes = [torch.ones(2, *grid).long() for grid in model.grids]
    with torch.no_grad():
        for quantizer in list(model.encoder.quantizers)[1:]:
            quantizer.codebook[1] = 0
    torch.testing.assert_close(model.decode(codes[:1]), model.decode(codes), rtol=0, atol=1e-12)


def test_encoding_teaches_no_codebook_in_training_mode():
    model = vqvae2().train()
    x = torch.rand(2, 3, 16, 32) * 2 - 1
    model.objective(ImageBatch(x, {}, torch.arange(2)))
    before = [q.codebook.clone() for q in model.encoder.quantizers]
    model.encode(x)
    assert all(torch.equal(q.codebook, b) for q, b in zip(model.encoder.quantizers, before, strict=True))


def test_the_gradient_reaches_every_parameter():
    model = vqvae2().train()
    model.objective(ImageBatch(torch.rand(4, 3, 16, 32) * 2 - 1, {}, torch.arange(4))).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_losses_of_each_level_are_named_after_it():
    model = vqvae2(downsampling=(2, 2, 4), shape=(3, 16, 32)).train()
    objective = model.objective(ImageBatch(torch.rand(2, 3, 16, 32) * 2 - 1, None, torch.arange(2)))
    levels = [objective.losses[f"commitment_loss_{name}"] for name in ("top", "middle", "bottom")]
    assert len(objective.losses) == 4
    torch.testing.assert_close(objective.loss, objective.losses["recon_loss"] + 0.25 * sum(levels))


def test_usage_and_perplexity_are_those_of_all_codes_of_the_split_for_each_level():
    torch.manual_seed(0)
    model = vqvae2(downsampling=(2, 2, 4), shape=(3, 16, 32)).eval()
    logged: dict[str, float] = {}
    model.log = lambda name, value, **how: logged.update({name: float(value)})  # type: ignore[method-assign]
    model.log_means = lambda *measured: None  # type: ignore[method-assign]
    for _ in range(2):  # the second epoch starts to count anew
        batches = [torch.rand(n, 3, 16, 32) * 2 - 1 for n in (4, 4, 1)]
        for x in batches:
            model.evaluate(ImageBatch(x, {}, torch.arange(len(x))), "val")
        model.on_validation_epoch_end()
        for name, codes in zip(("top", "middle", "bottom"), model.encode(torch.cat(batches)), strict=True):
            p = torch.bincount(codes.flatten(), minlength=8).double() / codes.numel()
            entropy = -(p * p.clamp(min=1e-30).log()).sum()
            assert logged[f"val/perplexity_{name}"] == pytest.approx(float(entropy.exp()), rel=1e-5)
            assert logged[f"val/codebook_usage_{name}"] == pytest.approx(float((p > 0).double().mean()))


def test_one_level_is_refused_and_a_size_that_does_not_fit_names_others():
    with pytest.raises(ValueError, match="take model=vqvae"):
        vqvae2(downsampling=[4])
    with pytest.raises(ValueError, match="multiples of 8, such as 16x24 or 24x32"):
        vqvae2((3, 20, 28))


def test_a_step_that_is_no_power_of_two_is_named_before_the_size():
    with pytest.raises(ValueError, match=r"downsampling\[1\]=3 must be a power of two"):
        vqvae2((3, 16, 16), (2, 3))


def test_each_level_draws_by_a_seed_of_its_own_where_there_is_one():
    def seeds(**bound: int) -> list[int]:
        make = partial(EMAQuantizer, 8, 4, **bound)
        model = VQVAE2((3, 16, 16), (2, 2, 4), make, NormalizedMSE(1.0), 16, 2, 8, optimizer=Adam, schedule=Constant())
        return [quantizer.seed for quantizer in model.quantizers]  # type: ignore[attr-defined]

    assert seeds() == [0, 0, 0]  # of a run of before
    found = [seed for run in range(50) for seed in seeds(seed=run)]
    assert len(set(found)) == 150

"""Pixels as codes: nothing is lost, and a uniform prior needs 8 bits a value."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import Adam

from vqgen.batch import ImageBatch
from vqgen.measure.likelihood import of_priors
from vqgen.models.pixels import Pixels
from vqgen.models.prior import RasterPrior
from vqgen.nn.priors.conditioner import Conditioner
from vqgen.nn.priors.transformer import Transformer
from vqgen.optim.schedules import Constant
from vqgen.protocols import Tokenizer
from vqgen.runs.fingerprint import fingerprint
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.coding import blocks_of, compressed, decompressed

TRAINING = {"optimizer": Adam, "schedule": Constant()}


def pixels(channels: int = 3, num_values: int = 256) -> Pixels:
    return Pixels((channels, 16, 16), num_values, **TRAINING).eval()


def every_value(channels: int = 3) -> torch.Tensor:
    """An image with all 256 values in each channel."""
    values = torch.arange(256).view(1, 1, 16, 16)
    return torch.cat([values.roll(i, 3) for i in range(channels)], 1).float() / 127.5 - 1


def test_all_bytes_come_back_from_their_codes():
    model, x = pixels(), every_value()
    codes = model.encode(x)
    assert isinstance(model, Tokenizer)
    assert [sorted(level.flatten().tolist()) for level in codes] == 3 * [list(range(256))]
    assert torch.equal(model.decode(codes), x)
    assert torch.equal(model(x).output, x)


@pytest.mark.parametrize("num_values", [2, 3, 16])
def test_few_values_are_evenly_spaced_from_black_to_white(num_values: int):
    model, x = pixels(1, num_values), every_value(1)
    (codes,) = model.encode(x)
    assert torch.bincount(codes.flatten()).float().std() < 1  # equally many of the 256 for each
    rebuilt = model.decode([codes])
    assert rebuilt.unique().numel() == num_values
    assert (rebuilt.min(), rebuilt.max()) == (-1, 1)
    assert torch.equal(model.encode(rebuilt)[0], codes)


def test_channels_are_levels_of_one_grid_and_a_missing_one_is_grey():
    model = pixels()
    assert model.level_names == ["red", "green", "blue"]
    assert model.grids == 3 * [(16, 16)]
    red = model.decode(model.encode(every_value())[:1])
    assert torch.equal(red[:, 0], every_value()[:, 0])
    assert (red[:, 1:] == 0).all()


def test_the_number_of_values_decides_the_codes():
    assert fingerprint(pixels(1, 2)) != fingerprint(pixels(1, 16))
    with pytest.raises(ValueError, match="num_values=300 must be from 2 to 256"):
        pixels(1, 300)


class Uniform(nn.Module):
    """All codes equally likely, whatever came before."""

    def __init__(self, num_embeddings: int, condition_channels: int):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(num_embeddings))

    def forward(self, codes, condition=None):
        return self.logits[None, :, None, None].expand(len(codes), -1, *codes.shape[1:])


def priors(network, num_levels: int) -> list[RasterPrior]:
    torch.manual_seed(0)
    return [
        RasterPrior(
            network,
            partial(Conditioner, channels=8, num_residual_blocks=1, residual_channels=8),
            (16, 16),
            256,
            level * [[16, 16]],
            level * [256],
            0,
            **TRAINING,
        ).eval()
        for level in range(num_levels)
    ]


def test_a_uniform_prior_needs_eight_bits_for_each_value():
    batch = ImageBatch(every_value(), {}, torch.arange(1))
    figures = of_priors(pixels(), priors(Uniform, 3), [batch]).figures
    assert figures["bits_per_dim"] == pytest.approx(8.0, abs=1e-6)


def test_a_compressed_file_holds_every_byte_of_a_colour_image(tmp_path):
    model, x = pixels(), every_value()
    of_levels = priors(partial(Transformer, channels=16, num_layers=1, num_heads=2), 3)
    run = TrainedRun(of_levels[0], of_levels, model, lambda: None, tmp_path, [], 0)
    contents = compressed(run, model.encode(x), [None])[0].contents
    assert torch.equal(model.decode(decompressed(run, blocks_of(run, {"x.vqc": contents}))[0].codes), x)

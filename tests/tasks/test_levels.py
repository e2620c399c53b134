"""Levels: what is exchanged is exchanged and nothing else."""

import torch

from tests.tasks import tiny
from vqgen.tasks.levels import analogy_rows, blend_rows


def test_an_image_joined_with_its_own_bottom_is_its_reconstruction():
    model = tiny.vqvae2()
    x = tiny.shapes().batch("test", torch.arange(4).numpy()).x
    _, *rows = analogy_rows(model, x, "abcd"[:4]).values()
    x_hat = model.reconstruct(x)
    for i, row in enumerate(rows):
        assert torch.equal(row[0], x[i])
        assert torch.allclose(row[1 + i], x_hat[i], atol=1e-6)


def test_upper_levels_come_from_the_row_and_the_bottom_from_the_column():
    model = tiny.vqvae2()
    x = tiny.shapes().batch("test", torch.arange(4).numpy()).x
    (top, bottom), (_, *rows) = model.encode(x), analogy_rows(model, x, "abcd"[:4]).values()
    assert torch.allclose(rows[1][1 + 2], model.decode([top[1:2], bottom[2:3]])[0], atol=1e-6)


def test_a_blend_goes_from_the_own_bottom_to_the_other():
    model = tiny.vqvae2()
    x = tiny.shapes().batch("test", torch.arange(3).numpy()).x
    blends = list(blend_rows(model, x, "abc", 5).values())
    _, *joined = analogy_rows(model, x, "abcd"[:3]).values()
    for i, row in enumerate(blends):
        assert torch.allclose(row[0], joined[i][1 + i], atol=1e-6)
        assert torch.allclose(row[-1], joined[i][1 + i + 1], atol=1e-6)


def test_a_level_left_out_has_no_say():
    model = tiny.vqvae2()
    top, bottom = model.encode(tiny.shapes().batch("test", torch.arange(2).numpy()).x)
    assert torch.equal(model.decode([top]), model.decode([top, None]))
    alone = model.decode([None, bottom])
    zeros = [torch.zeros(2, 4, 2, 2), model.quantizers[1].embed(bottom)]
    assert torch.allclose(alone, model.likelihood.x_hat(model.decoder(zeros)).clamp(-1, 1))

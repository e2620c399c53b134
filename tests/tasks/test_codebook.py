"""Codebooks: counts, vectors and images of codes."""

import numpy as np
import torch

from tests.tasks import tiny
from vqgen.tasks.codebook import Codebook, code_counts, code_images


def test_codes_are_counted_over_all_images():
    run = tiny.trained(tiny.vqvae2())
    codes = run.model.encode(run.first(20).x)
    for counts, level in zip(code_counts(run, 20), codes, strict=True):
        assert counts.tolist() == np.bincount(level.numpy().ravel(), minlength=8).tolist()


def test_the_image_of_a_code_is_the_middle_of_a_map_of_it_alone():
    model = tiny.vqvae2()
    images = code_images(model, 1, torch.tensor([5, 2]))
    whole = model.decode([None, torch.full((1, 4, 4), 5)])
    assert images.shape == (2, 3, 8, 8)
    assert torch.allclose(images[0], whole[0, :, 4:12, 4:12], atol=1e-6)


def test_the_record_says_usage_and_perplexity_of_each_level():
    run = tiny.trained(tiny.vqvae2())
    record = Codebook(num_images=20)(run).records["codebook"]
    for name, codes in zip(("top", "bottom"), run.model.encode(run.first(20).x), strict=True):
        _, counts = np.unique(codes.numpy(), return_counts=True)
        p = counts / counts.sum()
        assert np.isclose(record[name]["perplexity"], np.exp(-(p * np.log(p)).sum()), rtol=1e-5)
        assert record[name]["codebook_usage"] == len(counts) / 8


def test_code_vectors_stand_in_the_order_of_the_codes():
    model = tiny.vqvae2()
    assert torch.equal(model.code_vectors(1), model.quantizers[1].codebook)

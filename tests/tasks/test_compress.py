"""Compression: bit for bit, and as small as the likelihood says."""

import math
from pathlib import Path

import pytest
import torch

from tests.tasks import tiny
from vqgen import figures
from vqgen.errors import UserError
from vqgen.tasks.coding import compressed, decompressed
from vqgen.tasks.compress import Compress
from vqgen.tasks.decompress import Decompress
from vqgen.tasks.trained import Trained

pytest.importorskip("constriction")


def _run(num_classes: int = 0) -> Trained:
    return tiny.trained(tiny.vqvae2(), tiny.priors(num_classes))


@pytest.mark.parametrize("num_classes", [0, len(tiny.shapes().class_names)])
def test_all_levels_come_back_bit_for_bit_in_a_file_of_the_size_of_their_likelihood(num_classes: int):
    run = _run(num_classes)
    for i in range(5):
        batch = run.batch([i])
        label = int(batch.label[0]) if num_classes else None
        codes = run.autoencoder.encode(batch.x)
        contents = compressed(run, codes, label).contents
        assert all(torch.equal(a, b) for a, b in zip(decompressed(run, contents), codes, strict=True))
        classes = batch.label if num_classes else None
        levels = enumerate(zip(run.priors, codes, strict=True))
        nll = -sum(p.log_prob(c, codes[:n], classes).sum() for n, (p, c) in levels)
        assert abs(len(contents) - nll.item() / math.log(256)) <= 0.02 * nll.item() / math.log(256) + 16


def test_the_size_follows_the_likelihood_on_large_maps():
    run = _run()
    run.priors[0].grid = (24, 24)
    only = run._replace(priors=run.priors[:1])
    codes = run.priors[0].sample(1, [])
    coded = compressed(only, [codes], None)
    nll = -run.priors[0].log_prob(codes, [], None).double().sum().item() / math.log(256)
    assert nll > 100
    assert coded.nll / math.log(256) == pytest.approx(nll, rel=1e-5)
    assert abs(len(coded.contents) - nll) <= 0.02 * nll + 16
    assert torch.equal(decompressed(only, coded.contents)[0], codes)


def test_improbable_codes_come_back_too():
    run = _run()
    with torch.no_grad():
        run.priors[0].network.output.taps.mul_(1e4)
    codes = [torch.tensor([[[0, 1], [2, 3]]]), torch.arange(16).view(1, 4, 4) % 8]
    assert torch.equal(decompressed(run, compressed(run, codes, None).contents)[0], codes[0])


def test_a_damaged_file_and_one_of_other_models_are_told():
    run = _run()
    contents = compressed(run, run.autoencoder.encode(run.batch([1]).x), None).contents
    with pytest.raises(UserError, match="damaged"):
        decompressed(run, contents[:6] + bytes([contents[6] ^ 0xFF]) + contents[7:])
    other = run._replace(priors=tiny.priors(len(tiny.shapes().class_names)))
    with pytest.raises(UserError, match="other models"):
        decompressed(other, contents)
    with pytest.raises(UserError, match="no file of task=compress"):
        decompressed(run, b"\x89PNG")


def test_an_image_file_is_taken_and_its_size_checked(tmp_path: Path):
    run = _run()
    x = run.batch([5]).x
    path = figures.save_png(x[0], tmp_path / "photo.png")
    outcome = Compress(file=str(path))(run)
    (tmp_path / "photo.vqc").write_bytes(outcome.files["photo.vqc"])
    codes = Decompress(str(tmp_path / "photo.vqc"))(run).arrays
    assert (codes["codes/bottom"] == run.autoencoder.encode(x)[1].numpy()).all()
    small = figures.save_png(x[0, :, :8], tmp_path / "small.png")
    with pytest.raises(UserError, match="the image is 8x16, the tokenizer takes 16x16"):
        Compress(file=str(small))(run)
    with pytest.raises(UserError, match=r"nothing\.vqc cannot be read: No such file"):
        Decompress(str(tmp_path / "nothing.vqc"))(run)

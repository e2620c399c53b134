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
        nats = [-p.log_prob(codes[n], codes[:n], classes).sum().item() for n, p in enumerate(run.priors)]
        nll = sum(nats) / math.log(256)
        assert abs(len(contents) - nll) <= 0.02 * nll + 16


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


@pytest.mark.parametrize("num_classes", [0, 6])
def test_whatever_is_wrong_with_a_file_is_told_in_words(num_classes: int):
    run = _run(num_classes)
    contents = compressed(run, run.autoencoder.encode(run.batch([1]).x), 1 if num_classes else None).contents
    header = len(contents) - len(contents[5 + 2 * bool(num_classes) :])
    damaged = [contents[:i] + bytes([contents[i] ^ 0x80]) + contents[i + 1 :] for i in range(len(contents) - 1)]
    damaged += [contents + b"\1", contents + bytes(4) + b"\1", contents + b"\0"]
    damaged += [contents[:header] + bytes([byte]) * 12 for byte in (0x00, 0xFF)] + [contents[:i] for i in range(12)]
    for wrong in damaged:
        with pytest.raises(UserError):
            decompressed(run, wrong)


def test_a_label_that_would_be_ignored_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="label=1: a test image has its own"):
        Compress(image=2, label=1)
    path = figures.save_png(_run().batch([5]).x[0], tmp_path / "photo.png")
    with pytest.raises(UserError, match="label=circle: 'runs/x' was trained without labels"):
        Compress(file=str(path), label="circle")(_run())


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

"""Compression: bit for bit, and as small as the likelihood says."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from tests.tasks import tiny, written
from vqgen.batch import Condition
from vqgen.data.sources.shapes import Shapes
from vqgen.drawing import StepwiseGatedPixelCNN
from vqgen.errors import UserError
from vqgen.pictures import figures
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks import coding
from vqgen.tasks.coding import Compressed, DecompressedImage
from vqgen.tasks.compress import Compress
from vqgen.tasks.decompress import Decompress
from vqgen.tasks.header import Header


def compressed(run: TrainedRun, codes: list[torch.Tensor], label: int | None) -> Compressed:
    return coding.compressed(run, codes, [label])[0]


def decompressed(run: TrainedRun, contents: bytes) -> DecompressedImage:
    return coding.decompressed(run, coding.blocks_of(run, {"x.vqc": contents}))[0]


def _run(num_classes: int = 0) -> TrainedRun:
    return tiny.trained(tiny.vqvae2(), tiny.priors(num_classes))


@pytest.mark.parametrize("num_classes", [0, len(tiny.shapes().class_names)])
def test_all_levels_come_back_bit_for_bit_in_a_file_of_the_size_of_their_likelihood(num_classes: int):
    run = _run(num_classes)
    for i in range(5):
        batch = run.batch([i])
        label = int(batch.label[0]) if num_classes else None
        codes = run.autoencoder.encode(batch.x)
        contents = compressed(run, codes, label).contents
        assert all(torch.equal(a, b) for a, b in zip(decompressed(run, contents).codes, codes, strict=True))
        classes = batch.given if num_classes else {}
        nats = [-p.log_prob(codes[n], Condition(codes[:n], classes)).sum().item() for n, p in enumerate(run.priors)]
        nll = sum(nats) / math.log(256)
        assert abs(len(contents) - nll) <= 0.02 * nll + 16


def test_the_size_follows_the_likelihood_on_large_maps():
    run = _run()
    run.priors[0].grid = (24, 24)
    only = run._replace(priors=run.priors[:1])
    codes = run.priors[0].sample(1)
    coded = compressed(only, [codes], None)
    nll = -run.priors[0].log_prob(codes).double().sum().item() / math.log(256)
    assert nll > 100
    assert coded.nll / math.log(256) == pytest.approx(nll, rel=1e-5)
    assert abs(len(coded.contents) - nll) <= 0.02 * nll + 16
    assert torch.equal(decompressed(only, coded.contents).codes[0], codes)


def test_improbable_codes_come_back_too():
    run = _run()
    with torch.no_grad():
        run.priors[0].network.output.own.mul_(1e4)
    codes = [torch.tensor([[[0, 1], [2, 3]]]), torch.arange(16).view(1, 4, 4) % 8]
    assert torch.equal(decompressed(run, compressed(run, codes, None).contents).codes[0], codes[0])


def test_a_damaged_file_and_one_of_other_models_are_told():
    run = _run()
    contents = compressed(run, run.autoencoder.encode(run.batch([1]).x), None).contents
    with pytest.raises(UserError, match="damaged"):
        decompressed(run, contents[:12] + bytes([contents[12] ^ 0xFF]) + contents[13:])
    other = run._replace(priors=tiny.priors(len(tiny.shapes().class_names)))
    with pytest.raises(UserError, match="other models"):
        decompressed(other, contents)
    with pytest.raises(UserError, match="no file of task=compress"):
        decompressed(run, b"\x89PNG")


@pytest.mark.parametrize("num_classes", [0, 6])
def test_whatever_is_wrong_with_a_file_is_told_in_words(num_classes: int):
    run = _run(num_classes)
    contents = compressed(run, run.autoencoder.encode(run.batch([1]).x), 1 if num_classes else None).contents
    header = 10 + bool(num_classes)
    damaged = [contents[:i] + bytes([contents[i] ^ 0x80]) + contents[i + 1 :] for i in range(len(contents))]
    damaged += [contents + b"\1", contents + bytes(4) + b"\1", contents + b"\0"]
    damaged += [contents[:header] + bytes([byte]) * 12 for byte in (0x00, 0xFF)] + [contents[:i] for i in range(14)]
    for wrong in damaged:
        with pytest.raises(UserError):
            decompressed(run, wrong)


def test_a_label_that_would_be_ignored_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="label=1: a test image has its own"):
        Compress(image=2, label=1)
    path = figures.save_png(_run().batch([5]).x[0], tmp_path / "photo.png")
    with pytest.raises(UserError, match="label=circle: 'runs/x' was trained without labels"):
        Compress(file=str(path), label="circle")(_run())


def test_an_image_file_is_taken(tmp_path: Path):
    run = _run()
    x = run.batch([5]).x
    path = figures.save_png(x[0], tmp_path / "photo.png")
    outcome = Compress(file=str(path))(run)
    (tmp_path / "photo.vqc").write_bytes(outcome.files["photo.vqc"])
    codes = Decompress(str(tmp_path / "photo.vqc"))(run).arrays
    assert (codes["codes/bottom"] == run.autoencoder.encode(x)[1].numpy()).all()
    with pytest.raises(UserError, match=r"nothing\.vqc cannot be read: No such file"):
        Decompress(str(tmp_path / "nothing.vqc"))(run)
    with pytest.raises(UserError, match=r"nothing\.png' cannot be read as an image: there is no such file"):
        Compress(file=str(tmp_path / "nothing.png"))(run)


@pytest.mark.parametrize("num_classes", [0, len(tiny.shapes().class_names)])
def test_several_images_are_a_file_each_and_a_folder_of_files_comes_back(
    num_classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = _run(num_classes)
    monkeypatch.setattr(coding, "MOST_IMAGES", 4)  # so that seven are two batches
    outcome = Compress(image=3, num_images=7)(run)
    assert list(outcome.files) == [f"image_{i}.vqc" for i in range(3, 10)]
    sizes = outcome.records["compress"]
    assert sizes["file_bytes"] == sum(map(len, outcome.files.values()))
    assert sizes["pixel_bytes"] == 7 * 3 * 16 * 16
    outcome.write(tmp_path / "files")
    codes = run.autoencoder.encode(run.batch(range(3, 10)).x)[1]
    back = Decompress(str(tmp_path / "files"))(run)
    assert list(back.pictures) == [f"image_{i}" for i in range(3, 10)]
    for i in range(3, 10):
        alone = Decompress(str(tmp_path / "files" / f"image_{i}.vqc"))(run)
        assert (alone.arrays["codes/bottom"] == codes[i - 3].numpy()).all()
        assert (back.arrays[f"codes_bottom/image_{i}"] == alone.arrays["codes/bottom"]).all()
        assert (back.arrays[f"samples/image_{i}"] == alone.arrays["samples"]).all()


@pytest.mark.parametrize("num_classes", [0, len(tiny.shapes().class_names)])
def test_an_archive_has_the_same_images_in_fewer_bytes(
    num_classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = _run(num_classes)
    monkeypatch.setattr(coding, "MOST_IMAGES", 4)  # so that seven are two blocks
    each = Compress(image=3, num_images=7)(run)
    outcome = Compress(image=3, num_images=7, archive=True)(run)
    (name, contents), *others = outcome.files.items()
    assert (name, others) == ("images_3_to_9.vqc", [])
    assert outcome.text.startswith(f"{name}: {len(contents):,} bytes")
    assert len(contents) == outcome.records["compress"]["file_bytes"]
    # two headers of ten bytes and a number remain of seven, and a byte for each image's size; steps begin elsewhere
    expected = each.records["compress"]["file_bytes"] - 7 * 10 + 2 * (10 + 1) + 7
    assert len(contents) == pytest.approx(expected, abs=2)
    (tmp_path / name).write_bytes(contents)
    back = Decompress(str(tmp_path / name))(run)
    codes = run.autoencoder.encode(run.batch(range(3, 10)).x)[1]
    assert list(back.pictures) == [f"images_3_to_9_{i}" for i in range(7)]
    assert all((back.arrays[f"codes_bottom/images_3_to_9_{i}"] == codes[i].numpy()).all() for i in range(7))


@pytest.mark.parametrize("num_classes", [0, 6])
def test_whatever_is_wrong_with_an_archive_is_told_in_words(num_classes: int):
    run = _run(num_classes)
    (contents,) = Compress(num_images=3, archive=True)(run).files.values()
    damaged = [contents[:i] + bytes([contents[i] ^ 0x80]) + contents[i + 1 :] for i in range(len(contents))]
    damaged += [contents[:8] + b"\0" + contents[9:], contents[:8] + b"\0" + bytes(2)]  # no images
    damaged += [contents + b"\1", contents + b"\0", contents + b"\3", *(contents[:i] for i in range(len(contents)))]
    for wrong in damaged:
        with pytest.raises(UserError, match=r"file=x\.vqc"):
            decompressed(run, wrong)
    with pytest.raises(UserError, match="archive=true: it is for several images"):
        Compress(archive=True)


def test_one_wrong_file_of_a_folder_is_named(tmp_path: Path):
    run = _run()
    with pytest.raises(UserError, match=r"this folder has no \.vqc file"):
        Decompress(str(tmp_path))(run)
    Compress(num_images=3)(run).write(tmp_path)
    (tmp_path / "image_1.vqc").write_bytes(b"")
    with pytest.raises(UserError, match=r"file=.*image_1\.vqc: this is no file of task=compress"):
        Decompress(str(tmp_path))(run)
    with pytest.raises(UserError, match="num_images=2: file=x is one image"):
        Compress(file="x", num_images=2)
    with pytest.raises(UserError, match="the test split has 24 images"):
        Compress(image=20, num_images=5)(run)


class _Bordered(Shapes):
    """Images of 16x16 that are 12x12 in a border."""

    native = (12, 12)


def test_a_file_of_the_size_of_the_data_gets_their_border_and_comes_back_without_it(tmp_path: Path):
    run = _run()._replace(images=lambda: _Bordered(16, (3, 16, 16), 8, 8, 8, batch_size=8, seed=0, num_workers=0))
    inner = run.batch([5]).x[0, :, 2:14, 2:14]
    path = figures.save_png(inner, tmp_path / "inner.png")
    outcome = Compress(file=str(path))(run)
    codes = run.autoencoder.encode(F.pad(inner, (2, 2, 2, 2), value=-1.0)[None])
    assert outcome.records["compress"]["pixel_bytes"] == 3 * 12 * 12
    (tmp_path / "inner.vqc").write_bytes(outcome.files["inner.vqc"])
    back = Decompress(str(tmp_path / "inner.vqc"))(run)
    assert (back.arrays["codes/bottom"] == codes[1].numpy()).all()
    assert torch.equal(back.pictures["inner"], run.autoencoder.decode(codes)[0, :, 2:14, 2:14])
    whole = figures.save_png(run.batch([5]).x[0], tmp_path / "whole.png")  # one that has its border already
    (tmp_path / "whole.vqc").write_bytes(Compress(file=str(whole))(run).files["whole.vqc"])
    assert Decompress(str(tmp_path / "whole.vqc"))(run).pictures["whole"].shape == (3, 16, 16)


def test_an_image_of_another_size_is_prepared_as_the_data_and_that_is_said(tmp_path: Path):
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / "wide.png")
    assert "(of 60x40 the middle, at 16x16)" in Compress(file=str(tmp_path / "wide.png"))(_run()).text


@pytest.mark.slow
def test_files_of_other_threads_and_processors_are_read(tmp_path: Path):
    ways = [("1", "default"), ("2", "avx2")]
    ways += [("1", "avx512")] if torch.backends.cpu.get_cpu_capability() == "AVX512" else []  # or it is killed
    written.save_weights(tmp_path)
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.tasks.written", str(tmp_path), f"{threads}{capability}"],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ
            | {
                "OMP_NUM_THREADS": threads,
                "ATEN_CPU_CAPABILITY": capability,
                "OMP_WAIT_POLICY": "passive",
            },
        )
        for threads, capability in ways
    ]
    assert all(process.stdout and process.stdout.readline().startswith("written") for process in processes)
    for process in processes:
        lines = process.communicate("\n")[0].splitlines()
        assert len(lines) == len(ways) * len(written.KINDS) * written.IMAGES
        assert all(line.endswith(": read") for line in lines), lines


def test_a_file_is_read_where_logits_differ_by_less_than_its_margin(monkeypatch: pytest.MonkeyPatch):
    run, step, noise = _run(), StepwiseGatedPixelCNN.step, torch.Generator().manual_seed(0)
    codes = run.autoencoder.encode(run.batch([1]).x)
    coded = compressed(run, codes, None)
    assert coded.margin > 1e-7  # sums in float64 differ by 1e-13

    def inexact(self: StepwiseGatedPixelCNN) -> torch.Tensor:
        logits = step(self)
        return logits + (torch.rand(logits.shape, generator=noise, dtype=logits.dtype) - 0.5) * 0.9 * coded.margin

    monkeypatch.setattr(StepwiseGatedPixelCNN, "step", inexact)
    assert all(torch.equal(a, b) for a, b in zip(decompressed(run, coded.contents).codes, codes, strict=True))


def test_a_file_says_what_wrote_it_and_the_error_what_to_do(monkeypatch: pytest.MonkeyPatch):
    run, step = _run(), StepwiseGatedPixelCNN.step
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    contents = compressed(run, run.autoencoder.encode(run.batch([1]).x), None).contents
    assert str(Header.unpack(contents).writer).endswith("in float64, 3 threads, AVX512")
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    monkeypatch.setattr(StepwiseGatedPixelCNN, "step", lambda self: step(self) * 1.5)
    both = r"written \(vqgen .*, torch .*, 3 threads, AVX512\) than here \(.*, 1 thread, DEFAULT\)"
    with pytest.raises(UserError, match=f"{both}: read it with OMP_NUM_THREADS=3 ATEN_CPU_CAPABILITY=avx512"):
        decompressed(run, contents)


def test_a_file_of_the_old_format_is_told_with_the_remedy():
    with pytest.raises(UserError, match=r"format 1.* decompress it with the version .* that wrote it"):
        decompressed(_run(), b"\1" + bytes(20))


def test_models_are_left_as_they_are():
    run = _run(2)
    before = [{name: tensor.clone() for name, tensor in prior.state_dict().items()} for prior in run.priors]
    compressed(run, run.autoencoder.encode(run.batch([1]).x), 1)
    for prior, state in zip(run.priors, before, strict=True):
        assert prior.dtype == torch.float32
        assert all(t.dtype == state[n].dtype and torch.equal(t, state[n]) for n, t in prior.state_dict().items())


def test_a_prior_that_has_diverged_is_told():
    run = _run()
    with torch.no_grad():
        run.priors[0].network.output.bias.fill_(torch.nan)
    with pytest.raises(UserError, match="its logits are NaN"):
        compressed(run, run.autoencoder.encode(run.batch([1]).x), None)


def test_the_sizes_say_whether_they_are_given_the_label():
    sizes = Compress(image=3)(_run()).records["compress"]
    assert "nll_bytes" in sizes
    assert not any("label" in name for name in sizes)
    run = _run(6)
    outcome = Compress(image=3)(run)
    sizes = outcome.records["compress"]
    assert "nll_bytes" not in sizes
    assert "bytes given the label" in outcome.text
    batch = run.batch([3])
    codes = run.autoencoder.encode(batch.x)
    nats = [-p.log_prob(codes[n], Condition(codes[:n], batch.given)).sum().item() for n, p in enumerate(run.priors)]
    assert sizes["nll_bytes_given_label"] == pytest.approx(sum(nats) / math.log(256), rel=1e-5)
    assert sizes["nll_bytes_over_labels"] <= sizes["nll_bytes_given_label"] + math.log(6) / math.log(256) + 1e-6

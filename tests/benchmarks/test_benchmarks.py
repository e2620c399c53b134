"""The benchmarks count arithmetic as a pencil does, and run with small settings."""

import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.benchmarks import quantizer, sampling, train_step
from tests.benchmarks.step_cost import step_cost

TINY = ["--device", "cpu", "--models", "vqvae2"]


class TwoConvolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 5, 1)

    def objective(self, x: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(loss=self.second(self.first(x)).square().mean())


def test_the_flops_of_a_step_are_those_of_its_convolutions_by_hand():
    cost = step_cost(TwoConvolutions(), torch.randn(2, 3, 16, 16))
    first, second = (2 * 2 * 16 * 16 * outs * ins * taps for outs, ins, taps in ((8, 3, 9), (5, 8, 1)))
    assert cost.forward == first + second
    assert cost.step == 2 * first + 3 * second  # backward: both weights, and the input of the second
    assert cost.parameters == 8 * (27 + 1) + 5 * (8 + 1)


def test_the_start_of_a_codebook_is_no_part_of_a_step():
    model = train_step.model_of("vqvae2", (32, 32))
    batch = train_step.batch_for(model, 1, "cpu")
    first, second = step_cost(model, batch), step_cost(model, batch)
    assert (first.forward, first.step) == (second.forward, second.step)


def test_utilisation_is_the_counted_arithmetic_in_parts_of_the_peak(capsys: pytest.CaptureFixture[str]):
    words = ["--rounds", "1", "--variants", "fp32", "bf16", "--peak-tflops", "2", "4"]
    train_step.main([*TINY, "--batch", "2", "--size", "32", "32", *words])
    rows = re.findall(r"^\| vqvae2 32x32 \| 2 \| (.*) \|$", capsys.readouterr().out, re.M)
    fp32, bf16 = (row.split(" | ") for row in rows)
    for (variant, rate, _, _, tflops, share, _), peak in ((fp32, 2), (bf16, 4)):
        assert variant in ("fp32", "bf16")
        flops = train_step.flops_of_an_image("vqvae2", (32, 32))
        assert float(tflops) == pytest.approx(float(rate) * flops / 1e12, rel=0.02)
        assert float(share.rstrip("%")) / 100 == pytest.approx(float(tflops) / peak, rel=0.02, abs=6e-4)


def test_without_a_peak_a_cpu_has_no_utilisation(capsys: pytest.CaptureFixture[str]):
    train_step.main([*TINY, "--batch", "1", "--size", "16", "16", "--rounds", "1", "--variants", "fp32"])
    told = capsys.readouterr().out
    assert "no utilisation without --peak-tflops" in told
    assert told.splitlines()[-1].endswith("| - | - |")


def test_drawing_is_measured_against_forward_passes_and_the_plain_loop(capsys: pytest.CaptureFixture[str]):
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        sampling.main(["pixelcnn7", "--device", "cpu", "--threads", "1", "--repeats", "1"])
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
    assert re.search(r"pixelcnn7 .* draw .* forwards .* loop ", capsys.readouterr().out)


def test_the_quantizers_that_are_timed_do_the_same():
    size = quantizer.Size(16, (2, 4, 4), 0, 0, 0)
    z_e, gradient, codebook = quantizer.inputs(size)
    for name in ("vqgen", "naive"):
        quantizer.step(quantizer.build(name, codebook), z_e, gradient)
        assert z_e.grad is not None
        assert z_e.grad.isfinite().all()
    different, total, distance = quantizer.agreement(size)
    assert (different, total) == (0, 20 * 2 * 4 * 4)
    assert distance < 1e-5

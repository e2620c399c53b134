"""Reconstruction errors against scikit-image and the definitions."""

import pytest
import torch

from vqgen.measure.metrics.reconstruction import Reconstruction


def _pair(size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    x = torch.rand(5, 1, size, size) * 2 - 1
    return x, (x + 0.3 * torch.randn_like(x)).clamp(-1, 1)


def test_ssim_and_psnr_are_those_of_scikit_image():
    measure = pytest.importorskip("skimage.metrics")
    x, x_hat = _pair()
    errors = Reconstruction((32, 32), 1.0)
    for i in (0, 2):
        errors.update(x[i : i + 2], x_hat[i : i + 2])
    errors.update(x[4:], x_hat[4:])
    pairs = [((a[0].double() + 1).numpy() / 2, (b[0].double() + 1).numpy() / 2) for a, b in zip(x, x_hat, strict=True)]
    ssim = [
        measure.structural_similarity(
            a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, win_size=11
        )
        for a, b in pairs
    ]
    psnr = [measure.peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in pairs]
    found = errors.compute()
    assert found["ssim"] == pytest.approx(sum(ssim) / 5, abs=2e-3)  # the borders are treated differently
    assert found["psnr"] == pytest.approx(sum(psnr) / 5, rel=1e-5)


def test_the_normalised_error_of_the_mean_is_one():
    x, _ = _pair()
    errors = Reconstruction((32, 32), float(x.var(correction=0)))
    errors.update(x, x.mean().expand_as(x))
    assert errors.compute()["nmse"] == pytest.approx(1.0)


def test_equal_images_are_alike_at_every_scale():
    x, _ = _pair(176)
    errors = Reconstruction((176, 176), 1.0)
    errors.update(x, x.clone())
    found = errors.compute()
    assert (found["mse"], found["ssim"], found["ms_ssim"]) == pytest.approx((0.0, 1.0, 1.0))


@pytest.mark.parametrize(("side", "names"), [(8, set()), (11, {"ssim"}), (175, {"ssim"}), (176, {"ssim", "ms_ssim"})])
def test_similarity_is_measured_where_the_window_fits(side: int, names: set[str]):
    x, x_hat = _pair(side)
    errors = Reconstruction((side, side), 1.0)
    errors.update(x, x_hat)
    assert set(errors.compute()) == {"mse", "nmse", "psnr"} | names

"""The sample metrics of torchmetrics, as functions of real and generated feature vectors.

The functions are of the vectors given alone, also in one of several processes: nothing is gathered from the others.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from vqgen.devices import fork_rng
from vqgen.nn.precision import float64, full_float32


class PrecomputedFeatures(nn.Identity):
    """Stands in for a feature network where there are vectors of `num_features` numbers already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


def frechet_distance(real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"]) -> float:
    """Squared Fréchet distance of the normal distributions with the same moments (FID, arXiv 1706.08500, eq. 6).

    It is of the features less the mean of the real ones, where covariances lose no digits.
    """
    real, generated = float64(real), float64(generated)
    centre = real.mean(0)
    metric = FrechetInceptionDistance(PrecomputedFeatures(real.shape[1]), sync_on_compute=False).to(real.device)
    metric.update(real - centre, real=True)
    metric.update(generated - centre, real=False)
    return float(metric.compute())


def kernel_distance(
    real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"], subsets: int = 100, subset_size: int = 1000
) -> float:
    """Squared maximum mean discrepancy with a cubic kernel (KID, arXiv 1801.01401), without bias: around 0 for equals.

    It is averaged over random subsets of `subset_size` vectors of each kind (all, where there are fewer), and in double
    precision, as a small rest of sums of cubes.
    """
    size, real, generated = min(subset_size, len(real), len(generated)), float64(real), float64(generated)
    with _same_every_time(real.device), full_float32():
        network = PrecomputedFeatures(real.shape[1])
        metric = KernelInceptionDistance(network, subsets=subsets, subset_size=size, sync_on_compute=False)
        metric.to(real.device).update(real, real=True)
        metric.update(generated, real=False)
        return float(metric.compute()[0])


def paired_kernel_distance(real: Float[Tensor, "n d"], made: Float[Tensor, "n d"], block: int = 1000) -> float:
    """As `kernel_distance`, of what is made from each real image, such as its reconstruction: 0 where both are alike.

    An image and its own reconstruction are no two draws: their products are left out, which would bring the distance
    of a good autoencoder below 0. It is averaged over blocks of `block` images.
    """
    distances, weights = [], []
    with full_float32():
        for x, y in zip(float64(real).split(block), float64(made).split(block), strict=True):
            if len(x) < 2:
                continue
            both = _cubic(x, x) + _cubic(y, y) - _cubic(x, y) - _cubic(y, x)
            distances.append((both.sum() - both.diagonal().sum()) / (len(x) * (len(x) - 1)))
            weights.append(len(x))
    sizes = torch.tensor(weights, dtype=torch.float64, device=real.device)
    return float((torch.stack(distances) * sizes).sum() / sizes.sum())


def _cubic(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    """The kernel of KID."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def inception_score(log_prob: Float[Tensor, "n k"], splits: int = 10) -> float:
    """exp of the mean KL(p(class given image) || p(class)) in each of `splits` parts (arXiv 1606.03498): 1 to k."""
    network, log_prob = PrecomputedFeatures(log_prob.shape[1]), float64(log_prob)
    with _same_every_time(log_prob.device):
        metric = InceptionScore(network, splits=splits, sync_on_compute=False).to(log_prob.device)
        metric.update(log_prob)
        return float(metric.compute()[0])


@contextmanager
def _same_every_time(device: torch.device) -> Iterator[None]:
    """A context in which torchmetrics takes the same random subsets every time, and gives no advice on memory."""
    with fork_rng(device), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.manual_seed(0)
        yield

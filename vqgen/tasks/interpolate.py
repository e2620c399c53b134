"""Paths from one image to another through the latents."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vqgen.errors import UserError
from vqgen.pictures import plots
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.images import chosen, short
from vqgen.tasks.morph import check_pairs, morphed
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, lacks_autoencoder, sheet

OF_LATENTS = "between the latent vectors of two images, in a line and on a sphere"
OF_CODES = "between the features of two images, quantized on the way"


@dataclass
class Interpolate(Task):
    """Between the latent vectors of two images in a line and on a sphere; of codes, in a line between features.

    On the way, the features of a model with codes (what its quantizers are given) are quantised and decoded.

    Args:
        first: images at one end, test images by number or image files.
        second: images at the other end, as many.
        steps: images of a path, both ends included.
    """

    first: Sequence[int | str] = (0, 2, 4, 6)
    second: Sequence[int | str] = (1, 3, 5, 7)
    steps: int = 9
    lacks = staticmethod(lacks_autoencoder)

    def __post_init__(self) -> None:
        check_pairs(self.first, self.second)
        if self.steps < 2:
            raise UserError(f"steps={self.steps}: a path has two ends, give 2 or more")

    def make(self, trained: TrainedRun) -> Outcome:
        """One or two rows for each pair."""
        model = trained.autoencoder
        a, b = chosen(trained, self.first, key="first").x, chosen(trained, self.second, key="second").x
        amounts = torch.linspace(0, 1, self.steps).tolist()
        rows: dict[str, Tensor] = {}
        for i, (one, other) in enumerate(zip(self.first, self.second, strict=True)):
            name, pair = f"{short(one)} to {short(other)}", torch.stack([a[i], b[i]])
            paths = {f"{name}, line" if trained.has_latents else name: morphed(model, a[i], b[i], amounts)}
            if trained.has_latents:
                ends = model.encode(pair)
                paths[f"{name}, sphere"] = model.decode(spherical(ends[0], ends[1], self.steps))
            rows |= {path: torch.cat([pair[:1], made, pair[1:]]) for path, made in paths.items()}
        columns = ["original", *(plots.number(t) for t in amounts), "original"]
        return sheet("interpolations", rows, trained.title(), columns, OF_LATENTS if trained.has_latents else OF_CODES)


def spherical(a: Float[Tensor, " d"], b: Float[Tensor, " d"], steps: int) -> Float[Tensor, "_ d"]:
    """Points from `a` to `b` at equal angles, their lengths at equal steps from that of `a` to that of `b`.

    Directions are sin((1 - t) omega) / sin(omega) a + sin(t omega) / sin(omega) b of the unit vectors, omega being the
    angle between them (Shoemake 1985; arXiv 1609.04468, section 2.1, takes the vectors as they are: then angles are
    equal where lengths are). Where they are parallel or opposite, or one is zero, it is the line.
    """
    t = torch.linspace(0, 1, steps, device=a.device, dtype=a.dtype)[:, None]
    lengths, (one, other) = torch.stack([a.norm(), b.norm()]), F.normalize(torch.stack([a, b]), dim=1)
    omega = 2 * torch.atan2((one - other).norm(), (one + other).norm())
    if torch.sin(omega) < 1e-4 or lengths.min() == 0:
        return torch.lerp(a, b, t)
    directions = (torch.sin((1 - t) * omega) * one + torch.sin(t * omega) * other) / torch.sin(omega)
    return torch.lerp(lengths[0], lengths[1], t) * directions

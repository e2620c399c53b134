"""The fine regular pattern that layers which enlarge maps leave on plain ground."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

BLOCK = 8  # pixels
PERIOD = 4  # pixels, after which two layers that double the sides repeat
PLAIN = 1.5 / 127.5  # range of an image, in [-1, 1], below which a block of it is plain: one grey level


class Weave(Metric):
    """How strong the pattern is that errors have where the image is plain, in grey levels of 255.

    In blocks of 8x8 pixels in which a channel of the image is constant, errors are taken apart by frequency: `ripple`
    is the root of the mean square of all that is not constant, `weave` of the part at multiples of 1/4 cycle a pixel
    in both directions, 15 of 63 frequencies. Of errors without a pattern it has half of the ripple, (15/63)^(1/2).
    """

    full_state_update = False
    ripple: Tensor
    weave: Tensor
    blocks: Tensor

    def __init__(self) -> None:
        super().__init__(sync_on_compute=False)
        for name in ("ripple", "weave", "blocks"):
            self.add_state(name, torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, x: Float[Tensor, "b c h w"], x_hat: Float[Tensor, "b c h w"]) -> None:
        """Add the power of a batch's errors, of whole blocks from the top left."""
        originals, errors = _blocks(x), _blocks(x_hat - x).cpu()
        plain = (originals.amax((1, 2)) - originals.amin((1, 2)) < PLAIN).cpu()
        if not plain.any():
            return
        power = torch.fft.fft2(errors[plain].double()).abs().square().sum(0) / BLOCK**4
        power[0, 0] = 0
        self.ripple += power.sum().to(self.ripple)
        self.weave += power[:: BLOCK // PERIOD, :: BLOCK // PERIOD].sum().to(self.weave)
        self.blocks += plain.sum().to(self.blocks)

    def compute(self) -> dict[str, Tensor]:
        """Both figures; none where nothing was plain."""
        if self.blocks == 0:
            return {}
        return {name: 127.5 * (getattr(self, name) / self.blocks).sqrt() for name in ("weave", "ripple")}


def _blocks(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "n 8 8"]:
    """Each channel in blocks, without what is left of rows and columns."""
    return x.float().unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK).flatten(0, 3)

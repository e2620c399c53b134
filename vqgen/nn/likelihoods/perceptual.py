"""Distances between what a frozen network sees of two images, beside a reconstruction loss."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.errors import near_miss
from vqgen.nn.likelihoods.base import Losses, ReconstructionLoss

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.ELU)


class Perceptual(ReconstructionLoss):
    """A reconstruction loss, and `perceptual_loss`: the distance of feature maps, as LPIPS without learnt weights.

    At each position of a layer's map the features are brought to length 1; the squared distances are averaged over
    positions, images and layers (arXiv 1801.03924, eq. 1 with w = 1): 0 for the same image, at most 4.

    Args:
        reconstruction: what it stands beside.
        network: with `features` (or `encode`) of images in [-1, 1]; it stays as it is.
        layers: names of its modules whose maps are compared, or weights by name; None for all its activations.
        weight: of `perceptual_loss`.
    """

    def __init__(
        self,
        reconstruction: ReconstructionLoss,
        network: nn.Module,
        layers: Sequence[str] | Mapping[str, float] | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"{weight=} must not be negative")
        self.reconstruction = reconstruction
        self.network = network.requires_grad_(False).eval()
        self.weight = weight
        modules = dict(network.named_modules())
        if layers is None:
            layers = [name for name, module in modules.items() if isinstance(module, ACTIVATIONS)]
        for name in layers:
            if name not in modules:
                known = [known for known, module in modules.items() if isinstance(module, ACTIVATIONS)]
                raise ValueError(f"layers={list(layers)}: the network has no {name}{near_miss(name, known)}")
        self.layers = dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(layers, 1.0)
        if min(self.layers.values(), default=1.0) <= 0:
            raise ValueError(f"layers={self.layers}: every weight must be more than 0")

    @property
    def loss_weights(self) -> dict[str, float]:
        """Those of the reconstruction loss, and the perceptual one's."""
        return {**self.reconstruction.loss_weights, "perceptual_loss": self.weight}

    def num_outputs(self, in_channels: int) -> int:
        """As many as the reconstruction loss wants."""
        return self.reconstruction.num_outputs(in_channels)

    def losses(self, output: Float[Tensor, "b o h w"], x: Float[Tensor, "b c h w"]) -> Losses:
        """Those of the reconstruction loss, and `perceptual_loss`."""
        return {**self.reconstruction.losses(output, x), **self._perceptual(output, x)}

    def losses_per_value(self, output: Float[Tensor, "b o h w"], x: Float[Tensor, "b c h w"]) -> Losses:
        """As `losses`, with `recon_loss` for each value."""
        return {**self.reconstruction.losses_per_value(output, x), **self._perceptual(output, x)}

    def x_hat(self, output: Float[Tensor, "b o h w"]) -> Float[Tensor, "b c h w"]:
        """The image that the reconstruction loss reads from an output."""
        return self.reconstruction.x_hat(output)

    def distance(self, x_hat: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        """The mean squared distance of the maps of two batches of images."""
        with torch.no_grad():
            real = self._maps(x)
        made = self._maps(x_hat)
        if not real:
            raise ValueError(f"layers={list(self.layers)}: none of them gives a map of features of an image")
        pairs = zip(made, real, strict=True)
        distances = [weight * (one - other).square().sum(dim=1).mean() for (weight, one), (_, other) in pairs]
        return torch.stack(distances).sum() / sum(weight for weight, _ in made)

    def train(self, mode: bool = True) -> "Perceptual":
        """The network stays in evaluation mode."""
        super().train(mode)
        self.network.eval()
        return self

    def _perceptual(self, output: Float[Tensor, "b o h w"], x: Float[Tensor, "b c h w"]) -> Losses:
        return {"perceptual_loss": self.distance(self.x_hat(output), x)}

    def _maps(self, x: Float[Tensor, "b c h w"]) -> list[tuple[float, Float[Tensor, "b d _ _"]]]:
        """The layers' maps, of vectors of length 1, in the order in which they are made, with the layers' weights."""
        maps: list[tuple[float, Tensor]] = []

        def keep(weight: float, module: nn.Module, inputs: Any, output: Tensor) -> None:
            if output.dim() == 4:
                maps.append((weight, F.normalize(output.float(), dim=1, eps=1e-6)))

        hooks = [
            self.network.get_submodule(name).register_forward_hook(partial(keep, weight))
            for name, weight in self.layers.items()
        ]
        try:
            see: Any = getattr(self.network, "features", None) or self.network.encode
            see(x)
        finally:
            for hook in hooks:
                hook.remove()
        return maps

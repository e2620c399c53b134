"""Between two images."""

from typing import NamedTuple

from jaxtyping import Float
from nicegui import ui
from torch import Tensor

from vqgen.protocols import Autoencoder
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.explore.choice import ImageChoice
from vqgen.tasks.explore.panel import Panel
from vqgen.tasks.explore.refresh import Refresh
from vqgen.tasks.explore.widgets import CommandLine, Picture, slider
from vqgen.tasks.morph import morphed


class Mixture(NamedTuple):
    """Two images, and what lies between."""

    first: Float[Tensor, "c h w"]
    mixed: Float[Tensor, "c h w"]
    second: Float[Tensor, "c h w"]


class Mixtures(Panel):
    """As `task=morph`: z_A (1 - alpha) + z_B alpha."""

    title = "Between two"
    icon = "blender"

    @staticmethod
    def fits(trained: TrainedRun) -> bool:
        """Of any autoencoder; a sum of levels has one map of features for all."""
        return isinstance(trained.autoencoder, Autoencoder)

    async def build(self) -> None:
        """Two choices, a slider, three pictures."""
        refresh = Refresh(lambda: float(self.alpha.value), self._make, self._show)
        self.ends = [ImageChoice(self.trained, refresh.ask, first) for first in (0, 1)]
        with ui.column().classes("w-full max-w-2xl"):
            self.alpha = slider("from A to B", -0.5, 1.5, 0.05, 0.5, refresh.ask)
            self.alpha.classes("alpha")
        with ui.row().classes("gap-6"):
            self.pictures = [Picture(name) for name in ("A", "between", "B")]
            self.pictures[1].image.classes("between")
        self.command = CommandLine()
        await refresh.ask()

    def _make(self, alpha: float) -> Mixture:
        a, b = (end.batch().x[0] for end in self.ends)
        return Mixture(a, morphed(self.trained.autoencoder, a, b, [alpha])[0], b)

    def _show(self, made: Mixture) -> None:
        for picture, image in zip(self.pictures, made, strict=True):
            picture.show(image)
        first, second = ([end.shown] for end in self.ends)
        self.command.show(self.opened.command("morph", first=first, second=second, alphas=[float(self.alpha.value)]))

"""Where in an image the priors are surprised."""

import math
from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float
from nicegui import ui
from nicegui.events import MouseEventArguments
from torch import Tensor

from vqgen.pictures import figures
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.explore.cells import cell_at
from vqgen.tasks.explore.choice import ImageChoice
from vqgen.tasks.explore.panel import Panel
from vqgen.tasks.explore.refresh import Refresh
from vqgen.tasks.explore.widgets import CommandLine, Picture
from vqgen.tasks.nll import NLL, LevelNats, level_nats


class Nats(NamedTuple):
    """An image and the nats of its codes."""

    x: Float[Tensor, "c h w"]
    levels: list[LevelNats]


class Likelihood(Panel):
    """As `task=nll`: the nats of each code as a heat map, beside the image and over it."""

    title = "Likelihood"
    icon = "local_fire_department"

    @staticmethod
    def fits(trained: TrainedRun) -> bool:
        """Where some level has a prior."""
        return not NLL.lacks(trained)

    async def build(self) -> None:
        """Choice, image, and two pictures of each level."""
        self.nats: Nats | None = None
        refresh = Refresh(lambda: self.choice, self._make, self._show)
        self.choice = ImageChoice(self.trained, refresh.ask, labelled=True)
        self.maps = []
        with ui.row().classes("gap-6"):
            self.original = Picture("original")
            for i, prior in enumerate(self.trained.priors):
                name = self.trained.levels[prior.level]
                pair = [Picture(f"{name}: {what}", on_pointer=self._point(i)) for what in ("nats", "over the image")]
                pair[0].image.classes(f"heat-of-{i}")
                self.maps.append(pair)
        self.told = ui.label("point at a map").classes("text-sm nats-told")
        self.command = CommandLine()
        await refresh.ask()

    def _make(self, choice: ImageChoice) -> Nats:
        batch = choice.batch()
        return Nats(batch.x[0].cpu(), level_nats(self.trained, batch))

    def _show(self, made: Nats) -> None:
        self.nats = made
        self.original.show(made.x)
        x = made.x.expand(3, -1, -1)
        for (heat, over), level in zip(self.maps, made.levels, strict=True):
            colours = figures.heat_map(level.nats, float(level.nats.max()), (x.shape[1], x.shape[2]))[0]
            bound = "" if level.exact else "at most "
            total = f"{level.name}: {bound}{float(level.nats.sum()):.1f} nats, brightest {float(level.nats.max()):.1f}"
            heat.show(colours, total)
            over.show(0.45 * x + 0.55 * colours)
        label = self.choice.file_label
        self.command.show(self.opened.command("nll", images=[self.choice.shown], label=label))

    def _point(self, i: int) -> Callable[[MouseEventArguments], None]:
        """Follows the pointer over the maps of a level."""

        def point(event: MouseEventArguments) -> None:
            if self.nats is None or event.type == "mouseleave":
                return
            level = self.nats.levels[i]
            cell = cell_at(self.nats.x.shape[1:], level.nats.shape[1:], event.image_x, event.image_y)
            nats = float(level.nats[0, cell.row, cell.column])
            where = f"{level.name}, row {cell.row}, column {cell.column}"
            self.told.set_text(f"{where}: {nats:.2f} nats, probability {math.exp(-nats):.3g}")
            for picture in (self.original, *self.maps[i]):
                picture.mark(cell.frame("#22d3ee"))

        return point

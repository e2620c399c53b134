"""Paint what is to be drawn anew."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from nicegui import ui
from nicegui.events import MouseEventArguments
from torch import Tensor

from vqgen.measure.sources import lacks_priors
from vqgen.protocols import PriorOfLevels
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.complete import code_mask, completions
from vqgen.tasks.explore.cells import rectangle
from vqgen.tasks.explore.choice import ImageChoice
from vqgen.tasks.explore.controls import Draw, DrawControls
from vqgen.tasks.explore.panel import Panel
from vqgen.tasks.explore.refresh import Refresh, beside
from vqgen.tasks.explore.widgets import CommandLine, Picture, heading, png, slider

VARIANTS = 6
_FILL = "fill:#f97316; fill-opacity:.55"


class Wanted(NamedTuple):
    """What is to be completed, and how."""

    choice: ImageChoice
    kept: Bool[Tensor, "h w"]
    draw: Draw


class Completion(Panel):
    """As `task=complete`: a brush hides a part of an image, and the priors draw it, several times over."""

    title = "Completion"
    icon = "brush"

    @staticmethod
    def fits(trained: TrainedRun) -> bool:
        """Where all levels have a prior."""
        return not lacks_priors(trained)

    async def build(self) -> None:
        """The image to paint on, the brush, the settings of the draw, the variants."""
        _, height, width = self.trained.autoencoder.shape
        self.hidden = torch.zeros(height, width, dtype=torch.bool)
        self.painting = False
        self.refresh = Refresh(self._values, self._make, self._show)
        self.choice = ImageChoice(self.trained, self._chosen, labelled=True)
        with ui.row().classes("gap-8 w-full md:flex-nowrap"):
            with ui.column().classes("w-80 gap-1"):
                self.canvas = Picture("paint what is to be drawn anew", 320, self._paint, "crosshair")
                self.canvas.image.classes("canvas").on("dragstart", js_handler="(event) => event.preventDefault()")
                self.brush = slider("brush, pixels", 1, max(height, width) // 2, 1, max(1, height // 8), lambda: None)
                with ui.row():
                    ui.button("clear", on_click=self._clear).props("flat dense")
                    ui.button("the rest", on_click=self._invert).props("flat dense").tooltip("exchange kept and hidden")
                    ui.button("mask.png", icon="download", on_click=self._download).props("flat dense")
                heading("how it is drawn")
                self.controls = DrawControls(self.trained, self.guides, self.refresh.ask)
            with ui.column().classes("grow min-w-0"):
                with ui.row().classes("gap-4"):
                    self.variants = [Picture(f"drawn {i + 1}", 168) for i in range(VARIANTS)]
                    self.variants[0].image.classes("variant")
                self.refresh.spinner = ui.spinner(size="sm")
                ui.label(note(self.trained)).classes("text-xs text-gray-500 max-w-xl")
        self.command = CommandLine()
        middle = (slice(height // 4, height - height // 4), slice(width // 4, width - width // 4))
        self.hidden[middle] = True
        await self._chosen()

    async def _chosen(self) -> None:
        self.canvas.show((await beside(self.choice.batch)).x[0])
        await self._changed()

    async def _changed(self) -> None:
        self._mark()
        await self.refresh.ask()

    def _mark(self) -> None:
        self.canvas.mark(overlay(self.hidden, self.trained.coder.grids[-1], self.trained.coder.codes_per_place))

    async def _paint(self, event: MouseEventArguments) -> None:
        """A stroke lasts from the button down to the button up, and is drawn then."""
        if event.type == "mousedown":
            self.painting = True
        if event.type in ("mouseup", "mouseleave") and self.painting:
            self.painting = False
            return await self._changed()
        if self.painting and (event.type == "mousedown" or event.buttons):
            self.hidden |= disc(self.hidden.shape, event.image_x, event.image_y, float(self.brush.value))
            self._mark()

    async def _clear(self) -> None:
        self.hidden = torch.zeros_like(self.hidden)
        await self._changed()

    async def _invert(self) -> None:
        self.hidden = ~self.hidden
        await self._changed()

    def _download(self) -> None:
        ui.download(png((~self.hidden)[None].float() * 2 - 1), "mask.png")

    def _values(self) -> Wanted:
        return Wanted(self.choice, ~self.hidden, self.controls.value)

    def _make(self, wanted: Wanted) -> tuple[Wanted, Float[Tensor, "b c h w"]]:
        batch = wanted.choice.batch()
        kept = wanted.kept.to(batch.x.device)
        return wanted, completions(self.trained, batch, kept, VARIANTS, *wanted.draw, progress=False).images

    def _show(self, made: tuple[Wanted, Float[Tensor, "b c h w"]]) -> None:
        wanted, images = made
        for picture, image in zip(self.variants, images, strict=True):
            picture.show(image)
        image = {"images": [self.choice.shown], "label": self.choice.file_label}
        asked = {"keep": "mask.png", **image, "num_samples": VARIANTS}
        self.command.show(self.opened.command("complete", **asked, **wanted.draw.options))


def note(trained: TrainedRun) -> str:
    """What the priors see of an image with a hole."""
    if isinstance(trained.model, PriorOfLevels):
        return "A hole is drawn level after level, each given all of the levels before it."
    if all(prior.exact for prior in trained.priors):
        return "Codes are drawn row by row from those before: what is kept below and right of a hole has no say in it."
    return "All that is kept has a say, on every side of a hole."


def disc(shape: torch.Size, x: float, y: float, radius: float) -> Bool[Tensor, "h w"]:
    """The pixels whose middle is within a radius of a point."""
    down, across = torch.arange(shape[0])[:, None] + 0.5, torch.arange(shape[1]) + 0.5
    return (down - y).square() + (across - x).square() <= radius**2


def overlay(hidden: Bool[Tensor, "h w"], grid: Sequence[int], per_place: int) -> str:
    """The cells of codes that are drawn anew, as SVG: those of which a pixel is hidden, joined along each row."""
    anew = ~code_mask(~hidden, grid, per_place)[:, ::per_place]
    h, w = hidden.shape[0] / anew.shape[0], hidden.shape[1] / anew.shape[1]
    shapes = []
    for row, line in enumerate(anew.tolist()):
        start = None
        for column, on in enumerate([*line, False]):
            if on and start is None:
                start = column
            if not on and start is not None:
                shapes.append(rectangle(row * h, start * w, h, (column - start) * w, _FILL))
                start = None
    return "".join(shapes)

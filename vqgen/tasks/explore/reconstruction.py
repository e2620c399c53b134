"""An image through the autoencoder, and the codes that it becomes."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from nicegui import ui
from nicegui.events import MouseEventArguments
from torch import Tensor

from vqgen.errors import UserError
from vqgen.pictures import figures
from vqgen.protocols import Autoencoder
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.codebook import code_counts, code_images
from vqgen.tasks.explore.cells import Cell, cell_at
from vqgen.tasks.explore.choice import ImageChoice
from vqgen.tasks.explore.panel import Panel
from vqgen.tasks.explore.refresh import Refresh, beside
from vqgen.tasks.explore.widgets import CommandLine, Picture

COUNTED = 2000
"""Test images whose codes are counted."""


class Through(NamedTuple):
    """An image, what it becomes, and its codes by level."""

    x: Float[Tensor, "c h w"]
    x_hat: Float[Tensor, "c h w"]
    codes: list[Int[Tensor, "h_l w_l"]]


class Place(NamedTuple):
    """A code of a map, the cell that it stands for, and which of several codes of that cell it is."""

    code: int
    cell: Cell
    depth: int


class Reconstruction(Panel):
    """Original, reconstruction, error and, of each level, the code map with the code under the pointer."""

    title = "Reconstruction"
    icon = "compare"

    @staticmethod
    def fits(trained: TrainedRun) -> bool:
        """Of any autoencoder."""
        return isinstance(trained.autoencoder, Autoencoder)

    async def build(self) -> None:
        """Choice, pictures, levels, code maps."""
        self.through: Through | None = None
        self.counts: list[Int[Tensor, " k"]] | None = None
        refresh = Refresh(self._values, self._make, self._show)
        self.choice = ImageChoice(self.trained, refresh.ask)
        with ui.row().classes("gap-6"):
            self.pictures = [Picture(name) for name in ("original", "reconstruction", "absolute error")]
            self.pictures[1].image.classes("reconstruction")
            self.maps = [self._map(level, name) for level, name in enumerate(self.trained.levels)]
        self.levels: list[ui.checkbox] = []
        if len(self.trained.levels) > 1:
            with ui.row().classes("items-center gap-1"):
                ui.label("decoded from the levels").classes("text-sm")
                self.levels = [ui.checkbox(name, value=True, on_change=refresh.ask) for name in self.trained.levels]
        if self.maps:
            with ui.row().classes("items-center gap-4 h-16"):
                self.code = Picture(width=56)
                self.code.image.set_visibility(False)
                self.told = ui.label("point at a code map").classes("text-sm code-told")
        self.command = CommandLine()
        await refresh.ask()
        if self.maps:
            self.counts = await beside(lambda: code_counts(self.trained, COUNTED))

    def _map(self, level: int, name: str) -> Picture:
        rows, columns = self.trained.coder.grids[level][0], self.trained.coder.grids[level][1]
        grid = f"{rows}x{columns}"
        picture = Picture(
            grid if name == grid else f"{name} {grid}", on_pointer=lambda e: self._point(level, e), cursor="crosshair"
        )
        picture.image.classes(f"map-of-{level}")
        return picture

    def _values(self) -> tuple[ImageChoice, list[bool]]:
        shown = [bool(level.value) for level in self.levels] or [True] * len(self.trained.levels)
        if self.levels and not any(shown):
            raise UserError("without any level there is no image: switch one on")
        return self.choice, shown

    def _make(self, values: tuple[ImageChoice, list[bool]]) -> Through:
        choice, shown = values
        x, model = choice.batch().x, self.trained.autoencoder
        if not self.trained.levels:
            return Through(x[0], model.reconstruct(x)[0], [])
        codes = self.trained.coder.encode(x)
        kept = [level if on else None for level, on in zip(codes, shown, strict=True)]
        return Through(x[0], model.decode(kept)[0], [level[0].cpu() for level in codes])

    def _show(self, made: Through) -> None:
        self.through = made
        error = float((made.x - made.x_hat).square().mean())
        ratio = f"PSNR {10 * torch.log10(torch.tensor(4 / max(error, 1e-12))):.2f} dB"
        both = (made.x[None], made.x_hat[None])
        for picture, image in zip(self.pictures, (*both, figures.error_map(*both)), strict=True):
            picture.show(image[0])
        self.pictures[1].caption.set_text(f"reconstruction, {ratio}")
        size = (made.x.shape[1], made.x.shape[2])
        for picture, codes, k in zip(self.maps, made.codes, self._num_embeddings(), strict=True):
            picture.show(figures.code_map(codes[None], k, size)[0])
        whole = all(level.value for level in self.levels)
        command = self.opened.command("reconstruct", images=[self.choice.shown])
        self.command.show(command if whole else "(task=levels shows levels alone)")

    def _num_embeddings(self) -> list[int]:
        return list(self.trained.coder.num_embeddings) if self.trained.levels else []

    async def _point(self, level: int, event: MouseEventArguments) -> None:
        """Name the code under the pointer and show where it stands, and what it decodes to alone."""
        if self.through is None or event.type == "mouseleave":
            return
        place = place_at(self.through, level, self.trained.coder.codes_per_place, event.image_x, event.image_y)
        for picture in (*self.pictures, *self.maps):
            picture.mark(place.cell.frame("#f59e0b"))
        self.told.set_text(told(place, self.trained.levels[level], None if self.counts is None else self.counts[level]))
        code = torch.tensor([place.code])
        self.code.image.set_visibility(True)
        self.code.show((await beside(lambda: code_images(self.trained.coder, level, code)))[0])


def place_at(through: Through, level: int, per_place: int, x: float, y: float) -> Place:
    """The place of a level's map at a point of the image, in pixels."""
    codes, size = through.codes[level], through.x.shape[1:]
    tile = cell_at(size, codes.shape, x, y)
    cell = cell_at(size, (codes.shape[0], codes.shape[1] // per_place), x, y)
    return Place(int(codes[tile.row, tile.column]), cell, tile.column % per_place)


def told(place: Place, level: str, counts: Int[Tensor, " k"] | None) -> str:
    """A code in words: where it stands, and how often it occurs."""
    where = f"{level}: code {place.code}, row {place.cell.row}, column {place.cell.column}"
    where += f", depth {place.depth}" if place.depth else ""
    if counts is None:
        return where
    rank = int((counts > counts[place.code]).sum()) + 1
    share = float(counts[place.code] / counts.sum())
    return f"{where}; {share:.2%} of the codes of test images, number {rank} of {len(counts)} by use"

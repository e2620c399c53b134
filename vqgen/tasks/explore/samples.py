"""Samples by label, seed and the settings of the draw."""

import time
from typing import NamedTuple

from jaxtyping import Float
from nicegui import ui
from torch import Tensor

from vqgen.measure.sources import lacks_samples
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.explore.controls import Draw, DrawControls
from vqgen.tasks.explore.panel import Panel
from vqgen.tasks.explore.refresh import Refresh
from vqgen.tasks.explore.widgets import CommandLine, Picture, classes_of
from vqgen.tasks.sample import MAX_COLUMNS, Sample


class Wanted(NamedTuple):
    """What the controls ask for; a label of -1 is every class in turn."""

    number: int
    label: int
    draw: Draw


class Samples(Panel):
    """As `task=sample`."""

    title = "Samples"
    icon = "auto_awesome"
    needs_images = False

    @staticmethod
    def fits(trained: TrainedRun) -> bool:
        """Where all levels have a prior, or of a VAE."""
        return not lacks_samples(trained)

    async def build(self) -> None:
        """Controls beside the samples."""
        refresh = Refresh(self._values, self._make, self._show)
        classes = self.trained.num_classes
        numbers = [classes, 2 * classes, 4 * classes] if 1 < classes <= MAX_COLUMNS else [4, 16, 36, 64]
        with ui.row().classes("gap-8 w-full md:flex-nowrap"):
            with ui.column().classes("w-80 gap-1"):
                self.number = ui.select(numbers, value=numbers[1], label="images", on_change=refresh.ask)
                self.number.props("dense outlined").classes("w-full")
                self.label = None
                if self.trained.num_classes:
                    turns = {-1: "every class in turn", **classes_of(self.trained)}
                    self.label = ui.select(turns, value=-1, label="class", on_change=refresh.ask)
                    self.label.props("dense outlined").classes("w-full class-of-samples")
                self.controls = DrawControls(self.trained, self.guides, refresh.ask)
            with ui.column().classes("grow"):
                self.picture = Picture(width=720)
                self.picture.image.classes("samples")
                with ui.row().classes("items-center"):
                    ui.button("keep for comparison", icon="push_pin", on_click=self._keep).props("flat dense no-caps")
                    refresh.spinner = ui.spinner(size="sm")
                self.kept = Picture(width=720)
                self.kept.image.set_visibility(False)
        self.command = CommandLine()
        await refresh.ask()

    def _values(self) -> Wanted:
        return Wanted(self.number.value, -1 if self.label is None else self.label.value, self.controls.value)

    def _make(self, wanted: Wanted) -> tuple[Wanted, Float[Tensor, "3 H W"], float]:
        start = time.perf_counter()
        sampling, sampler = wanted.draw
        task = Sample(wanted.number, self._class(wanted.label), sampling=sampling, sampler=sampler)
        return wanted, task(self.trained).pictures["samples"], time.perf_counter() - start

    def _keep(self) -> None:
        """Put what is shown below what will be."""
        self.kept.image.set_visibility(True)
        self.kept.image.set_source(self.picture.image.source)
        self.kept.caption.set_text(self.command.text.text)

    def _show(self, made: tuple[Wanted, Float[Tensor, "3 H W"], float]) -> None:
        wanted, picture, seconds = made
        self.picture.show(picture, f"{wanted.number} images in {seconds:.2f} s")
        asked = {"num_samples": wanted.number, "label": self._class(wanted.label)}
        self.command.show(self.opened.command("sample", **asked, **wanted.draw.options))

    def _class(self, label: int) -> int | str | None:
        """As the task takes it."""
        return None if label < 0 else self.trained.class_names[label] if self.trained.class_names else label

"""Which image a panel works on."""

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
from nicegui import ui
from nicegui.events import UploadEventArguments

from vqgen.batch import ImageBatch
from vqgen.errors import UserError
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.explore.widgets import rows_of
from vqgen.tasks.images import chosen

MOST_BYTES = 64_000_000
"""Of a file that is dropped on the page."""


class ImageChoice:
    """A test image by label and number, or a file dropped on the page.

    Args:
        trained: the run.
        on_change: is called where another image is chosen.
        first: number of the image that stands there at first.
        labelled: a file is given a class, by which the panel's prior draws.
    """

    def __init__(
        self, trained: TrainedRun, on_change: Callable[[], Awaitable[None]], first: int = 0, labelled: bool = False
    ) -> None:
        self.trained, self.labelled = trained, labelled and trained.num_classes > 0
        self._then = on_change
        self.split = trained.images().split("test")
        self.file: Path | None = None
        self.folder = tempfile.TemporaryDirectory(prefix="vqgen-explore-")  # gone with this object
        self.names = trained.class_names if self.split.labels is not None else []
        with ui.row().classes("items-end gap-2"):
            self.number = ui.number("test image", value=first, min=0, max=len(self.split.images) - 1, format="%d")
            self.number.props("dense outlined").classes("w-28 image-number").on_value_change(self._numbered)
            if self.names:
                self.only = ui.select({-1: "any class", **rows_of(self.names)}, value=-1, on_change=self._next)
                self.only.props("dense outlined options-dense").classes("w-36")
            ui.button(icon="chevron_left", on_click=lambda: self._step(-1)).props("flat dense round").tooltip("before")
            ui.button(icon="chevron_right", on_click=lambda: self._step(1)).props("flat dense round").tooltip("next")
            ui.button(icon="casino", on_click=self._random).props("flat dense round").tooltip("any")
            self.upload = ui.upload(
                label="or drop a file", auto_upload=True, max_file_size=MOST_BYTES, on_upload=self._uploaded
            )
            self.upload.props("accept=image/* flat bordered color=transparent text-color=primary").classes("w-48 drop")
            self.upload.on("rejected", lambda: ui.notify("that is no image, or one of over 64 MB", type="negative"))
            if self.labelled:
                classes = {-1: "no class", **rows_of(self.names)}
                self.label = ui.select(classes, value=-1, label="class of the file", on_change=self.on_change)
                self.label.props("dense outlined options-dense").classes("w-36")
                self.label.bind_visibility_from(self, "file", bool)

    @property
    def image(self) -> int | str:
        """The number, or the file, as tasks take them."""
        return int(self.number.value or 0) if self.file is None else str(self.file)

    @property
    def shown(self) -> int | str:
        """The same for a command line, where the place of a file is not known."""
        return self.image if self.file is None else self.file.name

    @property
    def file_label(self) -> str | None:
        """The class that a file is given, by name."""
        known = self.file is not None and self.labelled and self.label.value >= 0
        return self.names[self.label.value] if known else None

    def batch(self) -> ImageBatch:
        """The image, and what is given of it."""
        return chosen(self.trained, [self.image], self.file_label)

    async def on_change(self) -> None:
        """Tell the panel, or the visitor what is wrong with the choice."""
        try:
            await self._then()
        except UserError as error:
            ui.notify(str(error), type="negative", multi_line=True)

    async def _numbered(self) -> None:
        self.file = None
        if self.number.value is not None:
            await self.on_change()

    def _of_class(self) -> np.ndarray:
        """Numbers of the images of the chosen class."""
        everything = np.arange(len(self.split.images))
        if not self.names or self.only.value < 0 or self.split.labels is None:
            return everything
        return everything[np.asarray(self.split.labels) == self.only.value]

    def _step(self, direction: int) -> None:
        numbers, now = self._of_class(), int(self.number.value or 0)
        beyond = numbers[numbers > now] if direction > 0 else numbers[numbers < now][::-1]
        if len(numbers):
            self.number.set_value(int(beyond[0] if len(beyond) else numbers[0 if direction > 0 else -1]))

    def _next(self) -> None:
        if int(self.number.value or 0) not in self._of_class():
            self._step(1)

    def _random(self) -> None:
        numbers = self._of_class()
        if len(numbers):
            self.number.set_value(int(np.random.default_rng().choice(numbers)))

    async def _uploaded(self, event: UploadEventArguments) -> None:
        self.upload.reset()
        self.file = Path(self.folder.name, Path(event.file.name).name or "image")
        self.file.write_bytes(await event.file.read())
        await self.on_change()

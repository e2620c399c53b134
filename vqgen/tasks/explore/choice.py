"""Which image a panel works on."""

import tempfile
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import torch
from jaxtyping import Float
from nicegui import ui
from nicegui.events import UploadEventArguments
from torch import Tensor

from vqgen.batch import ImageBatch
from vqgen.errors import UserError
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.explore.refresh import beside
from vqgen.tasks.explore.widgets import classes_of
from vqgen.tasks.images import label_index

MOST_BYTES = 64_000_000
"""Of a file that is dropped on the page."""


class ImageChoice:
    """A test image by label and number, or a file dropped on the page, which is kept in memory alone.

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
        self.at = first  # number of the test image
        self.file = ""  # name of the file in its place
        self._x: Float[Tensor, "c h w"] | None = None
        classes = classes_of(trained) if self.split.labels is not None else {}
        with ui.row().classes("items-end gap-2"):
            self.number = ui.number("test image", value=first, min=0, max=len(self.split.images) - 1, format="%d")
            self.number.props("dense outlined").classes("w-28 image-number").on_value_change(self._numbered)
            self.only = ui.select({-1: "any class", **classes}, value=-1, on_change=self._next)
            self.only.props("dense outlined options-dense").classes("w-36").set_visibility(bool(classes))
            ui.button(icon="chevron_left", on_click=lambda: self._step(-1)).props("flat dense round").tooltip("before")
            ui.button(icon="chevron_right", on_click=lambda: self._step(1)).props("flat dense round").tooltip("next")
            ui.button(icon="casino", on_click=self._random).props("flat dense round").tooltip("any")
            self._build_upload()
            if self.labelled:
                self.label = ui.select({-1: "no class", **classes_of(trained)}, value=-1, label="class of the file")
                self.label.props("dense outlined options-dense").classes("w-36").on_value_change(self.on_change)
                self.label.bind_visibility_from(self, "file", bool)
            ui.label().bind_text_from(self, "file").classes("text-xs text-gray-500")

    def _build_upload(self) -> None:
        itself = weakref.WeakMethod(self._uploaded)  # FastAPI remembers the route of the upload for ever

        async def uploaded(event: UploadEventArguments) -> None:
            if method := itself():
                await method(event)

        self.upload = ui.upload(label="or drop a file", auto_upload=True, max_file_size=MOST_BYTES, on_upload=uploaded)
        self.upload.props("accept=image/* flat bordered color=transparent text-color=primary").classes("w-48 drop")
        self.upload.on("rejected", lambda: ui.notify("that is no image, or one of over 64 MB", type="negative"))

    @property
    def shown(self) -> int | str:
        """The number, or the file, as a command line takes them, where the place of a file is not known."""
        return self.file or self.at

    @property
    def file_label(self) -> int | str | None:
        """The class that a file is given, as tasks take it."""
        if not (self.file and self.labelled and self.label.value >= 0):
            return None
        return self.trained.class_names[self.label.value] if self.trained.class_names else self.label.value

    def batch(self) -> ImageBatch:
        """The image, and what is given of it."""
        if self._x is None:
            return self.trained.batch([self.at])
        label, device = self.file_label, self._x.device
        given = {} if label is None else {"label": torch.tensor([label_index(label, self.trained)], device=device)}
        return ImageBatch(self._x[None], given, torch.tensor([-1], device=device))

    async def on_change(self) -> None:
        """Tell the panel, or the visitor what is wrong with the choice."""
        try:
            await self._then()
        except UserError as error:
            ui.notify(str(error), type="negative", multi_line=True)

    async def _numbered(self) -> None:
        if self.number.value is not None:
            self.at, self.file, self._x = int(self.number.value), "", None
            await self.on_change()

    def _of_class(self) -> np.ndarray:
        """Numbers of the images of the chosen class."""
        everything = np.arange(len(self.split.images))
        if self.only.value < 0 or self.split.labels is None:
            return everything
        return everything[np.asarray(self.split.labels) == self.only.value]

    def _step(self, direction: int) -> None:
        numbers = self._of_class()
        beyond = numbers[numbers > self.at] if direction > 0 else numbers[numbers < self.at][::-1]
        if len(numbers):
            self.number.set_value(int(beyond[0] if len(beyond) else numbers[0 if direction > 0 else -1]))

    def _next(self) -> None:
        if self.at not in self._of_class():
            self._step(1)

    def _random(self) -> None:
        numbers = self._of_class()
        if len(numbers):
            self.number.set_value(int(np.random.default_rng().choice(numbers)))

    async def _uploaded(self, event: UploadEventArguments) -> None:
        self.upload.reset()
        name, contents = unquote(Path(event.file.name).name), await event.file.read()
        try:
            self._x = await beside(lambda: self._decoded(contents))
        except UserError as error:
            return ui.notify(f"{name} cannot be read as an image: {str(error).rpartition(': ')[2]}", type="negative")
        self.file = name
        await self.on_change()

    def _decoded(self, contents: bytes) -> Float[Tensor, "c h w"]:
        with tempfile.TemporaryDirectory(prefix="vqgen-explore-") as folder:
            file = Path(folder, "image")
            file.write_bytes(contents)
            return self.trained.from_file(file).x

"""Parts that several panels are made of."""

import base64
import io
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from nicegui import ui
from nicegui.events import MouseEventArguments
from PIL import Image
from torch import Tensor

from vqgen.batch import to_bytes
from vqgen.runs.trained_run import TrainedRun

POINTER = ("mousedown", "mousemove", "mouseup", "mouseleave")


def png(image: Float[Tensor, "c h w"]) -> bytes:
    """An image in [-1, 1] as a PNG file."""
    pixels = to_bytes(image.detach().cpu()).numpy().transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)).save(file, "PNG")
    return file.getvalue()


class Picture:
    """An image with a caption under it, pixel by pixel, which may follow the pointer.

    Args:
        caption: under the image.
        width: on the screen, in pixels.
        on_pointer: is called with the events of the mouse, in pixels of the image.
        cursor: of CSS.
    """

    def __init__(
        self,
        caption: str = "",
        width: int = 200,
        on_pointer: Callable[[MouseEventArguments], object] | None = None,
        cursor: str = "default",
    ) -> None:
        style = f"width:min({width}px, 88vw); image-rendering:pixelated; cursor:{cursor}; user-select:none"
        events = list(POINTER) if on_pointer else []
        with ui.column().classes("items-center gap-1"):
            self.image = ui.interactive_image(on_mouse=on_pointer, events=events, sanitize=False).style(style)
            self.image.classes("rounded shadow")
            self.caption = ui.label(caption).classes("text-xs text-gray-500 text-center").style(f"max-width:{width}px")

    def show(self, image: Float[Tensor, "c h w"], caption: str | None = None) -> None:
        """Show another image; a caption of None stays."""
        self.image.set_source("data:image/png;base64," + base64.b64encode(png(image)).decode())
        if caption is not None:
            self.caption.set_text(caption)

    def mark(self, svg: str) -> None:
        """Draw over the image, in its pixels: shapes of numbers alone, as nothing of it is escaped."""
        self.image.set_content(svg)


class CommandLine:
    """The command line that makes what is shown, to copy."""

    def __init__(self) -> None:
        with ui.row().classes("items-center gap-2 w-full no-wrap mt-2"):
            ui.button(icon="content_copy", on_click=self._copy).props("flat dense round size=sm").tooltip("copy")
            self.text = ui.label().classes("font-mono text-xs break-all command-line")

    def show(self, command: str) -> None:
        """Show another one."""
        self.text.set_text(command)

    def _copy(self) -> None:
        ui.clipboard.write(self.text.text)
        ui.notify("copied", timeout=800)


def slider(
    label: str, low: float, high: float, step: float, value: float, on_change: Callable[[], object]
) -> ui.slider:
    """A slider with its name and value beside it; `on_change` is called while it is pulled."""
    with ui.row().classes("items-center no-wrap gap-3 w-full"):
        ui.label(label).classes("text-sm w-28 shrink-0")
        made = ui.slider(min=low, max=high, step=step, value=value).props("dense").classes("grow min-w-24")
        ui.label().bind_text_from(made, "value", lambda v: f"{v:.3g}").classes("text-sm font-mono w-12 text-right")
    made.on_value_change(on_change)
    return made


def heading(text: str) -> None:
    """A line above a group of controls."""
    ui.label(text).classes("text-xs uppercase tracking-wide text-gray-500 mt-2")


def legend(names: Sequence[str], colours: Float[Tensor, "k 3"]) -> None:
    """Names beside discs of their colours, which are in [0, 1]."""
    with ui.row().classes("gap-x-3 gap-y-0"):
        for name, colour in zip(names, colours.tolist(), strict=True):
            with ui.row().classes("items-center gap-1"):
                ui.icon("circle", size="0.6rem").style("color:rgb({:.0%} {:.0%} {:.0%})".format(*colour))
                ui.label(name).classes("text-xs")


def classes_of(trained: TrainedRun) -> dict[int, str]:
    """The names of the classes by number, as a select takes them."""
    number = max(trained.num_classes, len(trained.class_names))
    return dict(enumerate(trained.class_names or [f"class {i}" for i in range(number)]))

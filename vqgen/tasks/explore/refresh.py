"""What is made anew when a control of the page moves."""

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from nicegui import ui

from vqgen.errors import UserError

V = TypeVar("V")
R = TypeVar("R")

_one_at_a_time = threading.Lock()  # models are put into evaluation and back while they draw


async def beside(make: Callable[[], R]) -> R:
    """What `make` returns, computed in a thread beside the page, without gradients."""

    def made() -> R:
        with _one_at_a_time, torch.no_grad():
            return make()

    return await asyncio.to_thread(made)


class Refresh(Generic[V, R]):
    """Makes a result of the newest values beside the page, and shows it; values that were overtaken are left out.

    Args:
        values: reads the controls.
        make: the result of them, computed by `beside`.
        show: puts it onto the page.
    """

    def __init__(self, values: Callable[[], V], make: Callable[[V], R], show: Callable[[R], None]) -> None:
        self.values, self.make, self.show = values, make, show
        self._asked = self._busy = False
        self.spinner: ui.spinner | None = None

    async def ask(self) -> None:
        """Make it anew; while one is made, the newest request waits."""
        self._asked = True
        if self._busy:
            return
        self._busy = True
        try:
            while self._asked:
                self._asked = False
                self._turn(True)
                try:
                    values = self.values()
                    self.show(await beside(functools.partial(self.make, values)))
                except UserError as error:
                    ui.notify(str(error), type="negative", multi_line=True)
                except Exception as error:
                    ui.notify(f"{type(error).__name__}: {error} (the terminal says more)", type="negative")
                    raise
        finally:
            self._busy = False
            self._turn(False)

    def _turn(self, visible: bool) -> None:
        if self.spinner is not None:
            self.spinner.set_visibility(visible)

"""Seed, temperature and what else decides a draw."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from nicegui import ui

from vqgen.drawing import Confidence, Sampler, Sampling
from vqgen.errors import UserError
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.explore.widgets import heading, slider
from vqgen.tasks.words import of_drawing


class Draw(NamedTuple):
    """How it is drawn; None for the usual way of such a prior."""

    sampling: Sampling
    sampler: Sampler | None = None

    @property
    def options(self) -> dict[str, object]:
        """The same as options of a command line."""
        return of_drawing(*self).options


class LevelControls:
    """Temperature, top-k and top-p of one level, or of all."""

    def __init__(self, name: str, on_change: Callable[[], Awaitable[None]]) -> None:
        with ui.column().classes("w-full gap-1") as self.column:
            heading(name)
            self.temperature = slider("temperature", 0.1, 1.5, 0.05, 1.0, on_change)
            self.top_p = slider("top-p", 0.05, 1.0, 0.05, 1.0, on_change)
            self.top_k = ui.number("top-k, empty for all", min=1, format="%d", on_change=on_change)
            self.top_k.props("dense outlined clearable").classes("w-full")

    @property
    def value(self) -> tuple[float, int | None, float | None]:
        """Temperature, top-k and top-p as `Sampling` takes them."""
        top_p, top_k = float(self.top_p.value), self.top_k.value
        return float(self.temperature.value), None if top_k is None else int(top_k), None if top_p >= 1 else top_p


class DrawControls:
    """All that the priors of a run, or a VAE, can be told of a draw.

    Args:
        trained: the run.
        guides: whether its priors can be guided.
        on_change: is called where one moves.
    """

    def __init__(self, trained: TrainedRun, guides: bool, on_change: Callable[[], Awaitable[None]]) -> None:
        self.all: LevelControls | None = None
        self.guidance: ui.slider | None = None
        self.steps: ui.slider | None = None
        self.each: list[LevelControls] = []
        with ui.row().classes("items-center no-wrap w-full"):
            self.seed = ui.number("seed", value=0, min=0, max=2**32 - 1, format="%d", on_change=on_change)
            self.seed.props("dense outlined").classes("grow seed")
            again = ui.button(icon="casino", on_click=lambda: self.seed.set_value((self.seed.value or 0) + 1))
            again.props("flat dense round").tooltip("the next seed")
        if not trained.priors:
            return
        self.all = LevelControls("of all levels" if len(trained.levels) > 1 else "draw", on_change)
        if len(trained.levels) > 1:
            self.apart = ui.switch("each level its own", on_change=on_change)
            with ui.column().classes("w-full gap-1").bind_visibility_from(self.apart, "value"):
                self.each = [LevelControls(name, on_change) for name in trained.levels]
            self.all.column.bind_visibility_from(self.apart, "value", lambda apart: not apart)
        if guides:
            self.guidance = slider("guidance", 1.0, 5.0, 0.25, 1.0, on_change)
        if not any(prior.exact for prior in trained.priors):
            most = min(prior.grid[0] * prior.grid[1] for prior in trained.priors)
            self.steps = slider("steps", 1, min(64, most), 1, min(12, most), on_change)

    @property
    def value(self) -> Draw:
        """What the controls say; UserError where nothing can be drawn so."""
        try:
            return self._draw()
        except ValueError as error:
            raise UserError(str(error)) from None

    def _draw(self) -> Draw:
        if self.seed.value is None:
            raise UserError("seed: a number from 0 on")
        seed = int(self.seed.value)
        if self.all is None:
            return Draw(Sampling(seed=seed))
        guidance = 1.0 if self.guidance is None else float(self.guidance.value)
        temperature, top_k, top_p = self.all.value
        sampling = Sampling(temperature, top_k, top_p, guidance, seed)
        if self.each and self.apart.value:
            temperatures, tops, shares = (list(values) for values in zip(*(c.value for c in self.each), strict=True))
            sampling = Sampling(temperatures, tops, shares, guidance, seed)
        return Draw(sampling, None if self.steps is None else Confidence(steps=int(self.steps.value)))


def can_guide(trained: TrainedRun) -> bool:
    """Whether the priors know images without their class, too, as guidance needs."""
    if not trained.num_classes:
        return False
    try:
        trained.priors[0].sample(1)
    except UserError:
        return False
    return True

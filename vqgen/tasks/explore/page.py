"""The page: a title, and a tab for each panel that fits the run."""

from functools import partial

from nicegui import ui

from vqgen.errors import UserError
from vqgen.nn.sizes import num_parameters
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.explore.completion import Completion
from vqgen.tasks.explore.controls import can_guide
from vqgen.tasks.explore.latent_space import LatentSpace
from vqgen.tasks.explore.likelihood import Likelihood
from vqgen.tasks.explore.mixtures import Mixtures
from vqgen.tasks.explore.panel import Panel
from vqgen.tasks.explore.reconstruction import Reconstruction
from vqgen.tasks.explore.refresh import beside
from vqgen.tasks.explore.samples import Samples
from vqgen.tasks.words import Opened

PANELS: list[type[Panel]] = [Samples, Completion, LatentSpace, Reconstruction, Mixtures, Likelihood]

_STYLE = """
body { --nicegui-default-padding: 1rem }
.command-line { background: rgba(128, 128, 128, .12); padding: .35rem .6rem; border-radius: .3rem }
.drop .q-uploader__list { display: none }
.drop .q-uploader__subtitle { display: none }
"""


class Page:
    """The page of a run.

    Args:
        trained: the run.
        opened: how it was opened.
    """

    def __init__(self, trained: TrainedRun, opened: Opened) -> None:
        self.trained, self.opened = trained, opened
        self.panels = [panel for panel in PANELS if panel.fits(trained)]
        self.guides: bool | None = None  # not known yet

    async def build(self) -> None:
        """Make it for one visitor; a panel is built when its tab is first looked at."""
        await ui.context.client.connected()  # a request alone, without a browser behind it, draws nothing
        if self.guides is None:
            self.guides = await beside(partial(can_guide, self.trained))
        ui.add_css(_STYLE)
        ui.colors(primary="#4f46e5")
        built: set[str] = set()
        with ui.header().classes("items-center gap-6 px-6 py-2 bg-indigo-900 text-white"):
            ui.label(self.opened.name).classes("text-lg font-semibold")
            ui.label(self._about()).classes("text-xs opacity-80")
        with ui.tabs().props("inline-label no-caps dense").classes("w-full") as tabs:
            for panel in self.panels:
                ui.tab(panel.title, icon=panel.icon)
        with ui.tab_panels(tabs, value=self.panels[0].title).classes("w-full max-w-6xl mx-auto").props("keep-alive"):
            places = {}
            for panel in self.panels:
                with ui.tab_panel(panel.title):
                    places[panel.title] = ui.column().classes(f"w-full gap-4 {panel.__name__}")

        async def look(title: str) -> None:
            if title in built:
                return
            built.add(title)
            kind = next(panel for panel in self.panels if panel.title == title)
            with places[title]:
                try:
                    if kind.needs_images:
                        await beside(lambda: self.trained.images().split("test"))
                    await kind(self.trained, self.opened, bool(self.guides)).build()
                except UserError as error:  # the run's images are elsewhere, say
                    ui.label(str(error)).classes("text-negative")

        tabs.on_value_change(lambda event: look(event.value))
        await look(self.panels[0].title)

    def _about(self) -> str:
        """What the run is, in a line."""
        modules = [f"{type(module).__name__}, {num_parameters(module):,} parameters" for module in self.trained.modules]
        size = "x".join(map(str, self.trained.autoencoder.shape))
        return f"{' · '.join(modules)} · images {size} · step {self.trained.step:,} · seed {self.trained.seed}"

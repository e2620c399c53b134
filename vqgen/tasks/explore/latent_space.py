"""Move about in the space of latent vectors."""

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from nicegui import ui
from nicegui.events import MouseEventArguments
from torch import Tensor

from vqgen.pictures import figures, plots
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.attribute import attribute_vectors
from vqgen.tasks.explore.choice import ImageChoice
from vqgen.tasks.explore.panel import Panel
from vqgen.tasks.explore.refresh import Refresh, beside
from vqgen.tasks.explore.widgets import CommandLine, Picture, heading, legend, slider
from vqgen.tasks.latents import LatentPoints, decoded_plane, latent_points

SIDE = 420
"""Pixels of the plane."""

SHOWN, NUM_SLIDERS, FROM_TRAINING = 2000, 8, 4000


class View(NamedTuple):
    """A plane of the latent space: two of its directions, the middle, and what of it is seen."""

    middle: Float[Tensor, " d"]
    axes: Float[Tensor, "2 d"]
    reach: float  # from the middle to an edge

    def pixel(self, z: Float[Tensor, "*n d"]) -> Float[Tensor, "*n 2"]:
        """Where vectors lie, in pixels from the left and from the top."""
        across = (z - self.middle) @ self.axes.T / self.reach
        return (across * torch.tensor([1.0, -1.0]) + 1) * SIDE / 2

    def moved(self, z: Float[Tensor, " d"], x: float, y: float) -> Float[Tensor, " d"]:
        """The vector with the place of a pixel, and what it had beside the plane."""
        to = torch.tensor([2 * x / SIDE - 1, 1 - 2 * y / SIDE]) * self.reach
        return z + (to - (z - self.middle) @ self.axes.T) @ self.axes


def view_of(z: Float[Tensor, "n d"]) -> View:
    """The plane itself of two dimensions, of more that of the principal axes; it reaches over 99 % of the points."""
    middle = torch.zeros(2) if z.shape[1] == 2 else z.mean(0)
    axes = torch.eye(2) if z.shape[1] == 2 else plots.principal_axes(z)
    axes = torch.cat([axes, axes.new_zeros(2 - len(axes), z.shape[1])])  # of a line, one direction is none
    reach = (z - middle) @ axes.T
    return View(middle, axes, float(reach.abs().quantile(0.99)) * 1.15)


class LatentSpace(Panel):
    """A plane to click in, dimensions to pull, attributes to add, and the image of the vector that comes of it."""

    title = "Latent space"
    icon = "scatter_plot"

    @staticmethod
    def fits(trained: TrainedRun) -> bool:
        """Of an AE or a VAE."""
        return trained.has_latents

    async def build(self) -> None:
        """Plane, image, sliders."""
        self.points = await beside(self._points)
        self.view = view_of(self.points.z)
        mean, std = self.points.z.mean(0), self.points.z.std(0)
        self.z, self.start, self.names = mean.clone(), mean, list(self.trained.attribute_names)
        self.vectors = await beside(self._vectors)
        self.refresh = Refresh(lambda: self.z, self._make, self._show)
        self.choice = ImageChoice(self.trained, self._from_image)
        with ui.row().classes("gap-8"):
            caption = "z; click or pull" if len(mean) == 2 else "the plane of the principal axes; click or pull"
            with ui.column().style(f"max-width:{SIDE}px"):
                self.plane = Picture(caption, SIDE, self._point, "crosshair")
                self.plane.image.classes("plane")
                if self.points.label is not None:
                    legend(self.trained.class_names, figures.code_colours(len(self.trained.class_names)))
            with ui.column().classes("items-center"):
                self.picture = Picture("decoded", 260)
                self.picture.image.classes("decoded")
                with ui.row():
                    ui.button("the mean", on_click=lambda: self._put(self.start)).props("flat dense")
                    ui.button("the image", on_click=self.choice.on_change).props("flat dense")
            with ui.column().classes("w-80 gap-1"):
                self._sliders(mean, std)
        self.command = CommandLine()
        self.plane.show(await beside(self._background))
        await self._put(mean)

    def _sliders(self, mean: Float[Tensor, " d"], std: Float[Tensor, " d"]) -> None:
        """One for each of the dimensions that differ most, and one for each attribute."""
        heading("dimensions that differ most")
        self.dimensions = {}
        for d in std.argsort(descending=True)[:NUM_SLIDERS].tolist():
            low, high = float(mean[d] - 3 * std[d]), float(mean[d] + 3 * std[d])
            step = max((high - low) / 100, 1e-6)
            self.dimensions[d] = slider(f"z[{d}]", low, high, step, float(mean[d]), partial(self._pulled, d))
            self.dimensions[d].classes(f"dimension-{d}")
        self.strengths = {}
        if self.vectors:
            heading("attributes, by strength")
        for name in self.vectors:
            self.strengths[name] = slider(name, -2.0, 2.0, 0.1, 0.0, partial(self._strengthened, name))
        self.added = dict.fromkeys(self.vectors, 0.0)

    def _points(self) -> LatentPoints:
        points = latent_points(self.trained, SHOWN, seed=0)
        return LatentPoints(points.z.cpu(), None if points.label is None else points.label.cpu())

    def _vectors(self) -> dict[str, Tensor]:
        if not self.names:
            return {}
        found = attribute_vectors(self.trained, self.names, FROM_TRAINING)
        return {name: vector.cpu() for name, vector in found.items()}

    def _background(self) -> Float[Tensor, "3 H W"]:
        """The images of a grid over the plane, where it has two dimensions; the points by label."""
        picture = torch.ones(3, SIDE, SIDE)
        if len(self.z) == 2:
            side = 15
            steps = (torch.arange(side) + 0.5) / side * 2 - 1
            images = decoded_plane(self.trained.latent, (steps * self.view.reach).expand(2, -1)).cpu()
            tiled = figures.grid(images.expand(-1, 3, -1, -1), columns=side, padding=0)
            picture = torch.nn.functional.interpolate(tiled[None], size=(SIDE, SIDE), mode="nearest")[0] * 0.6
        return scattered(picture, self.view.pixel(self.points.z), self.points.label)

    def _make(self, z: Float[Tensor, " d"]) -> Float[Tensor, "c h w"]:
        return self.trained.latent.decode(z[None].to(self.trained.device))[0]

    def _show(self, image: Float[Tensor, "c h w"]) -> None:
        self.picture.show(image)
        x, y = self.view.pixel(self.z).tolist()
        style = "fill:#fff; stroke:#111; stroke-width:2.5"
        self.plane.mark(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" style="{style}"/>')
        self.command.show(self.opened.command("latents", points=[self.z.tolist()]))

    async def _put(self, z: Float[Tensor, " d"], added: bool = False) -> None:
        """Go to a vector; the sliders follow. Strengths begin at 0 again, unless one of them led here."""
        self.z = z.clone()
        for d, control in self.dimensions.items():
            control.set_value(float(z[d]))
        for name, control in () if added else self.strengths.items():
            control.set_value(0.0)
            self.added[name] = 0.0
        await self.refresh.ask()

    async def _pulled(self, d: int) -> None:
        if (value := float(self.dimensions[d].value)) != float(self.z[d]):  # pulled by the visitor
            self.z[d] = value
            await self.refresh.ask()

    async def _strengthened(self, name: str) -> None:
        if (strength := float(self.strengths[name].value)) != self.added[name]:
            more, self.added[name] = strength - self.added[name], strength
            await self._put(self.z + more * self.vectors[name], added=True)

    async def _point(self, event: MouseEventArguments) -> None:
        if event.type == "mousedown" or (event.type == "mousemove" and event.buttons):
            await self._put(self.view.moved(self.z, event.image_x, event.image_y))

    async def _from_image(self) -> None:
        await self._put(await beside(lambda: self.trained.latent.encode(self.choice.batch().x)[0].cpu()))


def scattered(
    picture: Float[Tensor, "3 H W"], pixels: Float[Tensor, "n 2"], label: Int[Tensor, " n"] | None
) -> Float[Tensor, "3 H W"]:
    """Points of 3x3 pixels over a picture, by label in colours."""
    colours = figures.code_colours(int(label.max()) + 1)[label] * 2 - 1 if label is not None else None
    for right in (-1, 0, 1):
        for down in (-1, 0, 1):
            x, y = (pixels.round().long() + torch.tensor([right, down])).T
            inside = (x >= 0) & (x < picture.shape[2]) & (y >= 0) & (y < picture.shape[1])
            colour = colours[inside].T if colours is not None else torch.full((3, 1), -0.4)
            picture[:, y[inside], x[inside]] = colour
    return picture

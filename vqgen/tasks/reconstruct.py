"""Images through the latents and back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vqgen.pictures import figures
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.images import chosen
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, code_arrays, lacks_autoencoder, not_empty, sheet


@dataclass
class Reconstruct(Task):
    """Originals, reconstructions, error maps and, of each level, code maps, one under the other.

    The error map shows the absolute error averaged over channels: black where exact, white from 1 on (of the 2 that
    there are from black to white).

    Args:
        num_samples: the first so many images of the test split.
        images: others instead: test images by number, or image files.
    """

    num_samples: int = 16
    images: Sequence[int | str] | None = None
    lacks = staticmethod(lacks_autoencoder)

    def __post_init__(self) -> None:
        at_least(1, num_samples=self.num_samples)
        not_empty(images=self.images)

    def make(self, trained: TrainedRun) -> Outcome:
        """The pictures, and the arrays they were made of."""
        x = (trained.first(self.num_samples) if self.images is None else chosen(trained, self.images)).x
        rows = figures.reconstruction_rows(trained.autoencoder, x)
        both = {"x": x, "x_hat": rows["reconstruction"]}
        arrays = {f"reconstructions/{name}": images.cpu().numpy() for name, images in both.items()}
        codes = trained.coder.encode(x) if trained.levels else []
        outcome = sheet("reconstructions", rows, trained.title(), note=figures.ERROR_SCALE)
        return replace(outcome, arrays=arrays | code_arrays(trained, codes))

"""Images through the latents and back."""

from dataclasses import replace

from vqgen.pictures import figures
from vqgen.protocols import Autoencoder
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, sheet


class Reconstruct(Task):
    """Originals, reconstructions, error maps and, of each level, code maps, one under the other.

    The error map shows the absolute error averaged over channels: black where exact, white from 1 on (of the 2 that
    there are from black to white).

    Args:
        num_samples: how many images of the test split.
    """

    def __init__(self, num_samples: int = 16) -> None:
        at_least(1, num_samples=num_samples)
        self.num_samples = num_samples

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """An autoencoder."""
        return "" if isinstance(trained.autoencoder, Autoencoder) else "an autoencoder"

    def make(self, trained: TrainedRun) -> Outcome:
        """The pictures, and the arrays they were made of."""
        x = trained.first(self.num_samples).x
        rows = figures.reconstruction_rows(trained.autoencoder, x)
        arrays = {"reconstructions/x": x, "reconstructions/x_hat": rows["reconstruction"]}
        if trained.levels:
            codes = trained.coder.encode(x)
            arrays |= {f"codes/{name}": c for name, c in zip(trained.levels, codes, strict=True)}
        outcome = sheet("reconstructions", rows, trained.title(), note=figures.ERROR_SCALE)
        return replace(outcome, arrays={name: array.cpu().numpy() for name, array in arrays.items()})

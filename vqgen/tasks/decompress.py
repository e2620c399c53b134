"""A file of task=compress back to its image."""

from pathlib import Path

from vqgen.errors import UserError
from vqgen.measure.sources import lacks_priors
from vqgen.pictures import figures
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.coding import decompressed
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task


class Decompress(Task):
    """The codes that task=compress put into a file, bit for bit, and the image they decode to, at the size it had.

    The codes are the same everywhere; what the decoder makes of them, in float32, may be a grey level off elsewhere.

    Args:
        file: what task=compress wrote, with the same run.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """A prior of every level."""
        return lacks_priors(trained)

    def make(self, trained: TrainedRun) -> Outcome:
        """The image as a picture, and the codes as arrays."""
        try:
            contents = self.file.read_bytes()
        except OSError as error:
            raise UserError(f"file={self.file} cannot be read: {error.strerror}") from None
        try:
            codes, border = decompressed(trained, contents)
        except UserError as error:
            raise UserError(f"file={self.file}: {error}") from None
        arrays = {f"codes/{name}": c.cpu().numpy() for name, c in zip(trained.levels, codes, strict=True)}
        image = trained.autoencoder.decode(codes)[0].expand(3, -1, -1)
        if border:
            image = image[:, *trained.images().inside]
        return Outcome({self.file.stem: image}, arrays | {"samples": figures.to_uint8(image).cpu().numpy()})

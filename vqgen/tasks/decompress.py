"""A file of task=compress back to its image."""

from dataclasses import dataclass
from pathlib import Path

from vqgen.batch import to_bytes
from vqgen.errors import UserError
from vqgen.measure.sources import lacks_order
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.coding import decompressed
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, code_arrays


@dataclass
class Decompress(Task):
    """The codes that task=compress put into a file, bit for bit, and the image they decode to, at the size it had.

    The codes are the same everywhere; what the decoder makes of them, in float32, may be a grey level off elsewhere.

    Args:
        file: what task=compress wrote, with the same run.
    """

    file: str
    lacks = staticmethod(lacks_order)

    def make(self, trained: TrainedRun) -> Outcome:
        """The image as a picture, and the codes as arrays."""
        try:
            contents = Path(self.file).read_bytes()
        except OSError as error:
            raise UserError(f"file={self.file} cannot be read: {error.strerror}") from None
        try:
            codes, border = decompressed(trained, contents)
        except UserError as error:
            raise UserError(f"file={self.file}: {error}") from None
        arrays = code_arrays(trained, codes)
        image = trained.autoencoder.decode(codes)[0].expand(3, -1, -1)
        if border:
            image = image[:, *trained.images().inside]
        return Outcome({Path(self.file).stem: image}, arrays | {"samples": to_bytes(image).cpu().numpy()})

"""A file of task=compress back to its image."""

from dataclasses import dataclass
from pathlib import Path

from numpy import ndarray
from torch import Tensor
from tqdm import tqdm

from vqgen.batch import to_bytes
from vqgen.errors import UserError
from vqgen.measure.sources import lacks_order
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.coding import at_a_time, decompressed
from vqgen.tasks.header import SUFFIX
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, code_arrays


@dataclass
class Decompress(Task):
    """The codes that task=compress put into a file, bit for bit, and the image they decode to, at the size it had.

    The codes are the same everywhere; what the decoder makes of them, in float32, may be a grey level off elsewhere.

    Args:
        file: what task=compress wrote, with the same run; or a folder, of which all such files are read.
    """

    file: str
    lacks = staticmethod(lacks_order)

    def make(self, trained: TrainedRun) -> Outcome:
        """The images as pictures, and their codes as arrays: of several images as arrays of each."""
        files, size = self._files(), at_a_time(trained)
        pictures: dict[str, Tensor] = {}
        all_arrays: dict[str, ndarray] = {}
        for some in tqdm([files[i : i + size] for i in range(0, len(files), size)], desc="decompressing", leave=False):
            images = decompressed(trained, {str(file): _contents(file) for file in some})
            for file, (codes, border) in zip(some, images, strict=True):
                image = trained.autoencoder.decode(codes)[0].expand(3, -1, -1)
                if border:
                    image = image[:, *trained.images().inside]
                arrays = code_arrays(trained, codes) | {"samples": to_bytes(image).cpu().numpy()}
                if len(files) > 1:
                    arrays = {f"{name.replace('/', '_')}/{file.stem}": array for name, array in arrays.items()}
                pictures[file.stem] = image
                all_arrays |= arrays
        return Outcome(pictures, all_arrays)

    def _files(self) -> list[Path]:
        """The files that are asked for, in the order of their names."""
        path = Path(self.file)
        if not path.is_dir():
            return [path]
        files = sorted(path.glob(f"*{SUFFIX}"))
        if not files:
            raise UserError(f"file={self.file}: this folder has no {SUFFIX} file, which task=compress writes")
        return files


def _contents(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"file={file} cannot be read: {error.strerror}") from None

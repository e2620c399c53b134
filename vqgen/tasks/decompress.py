"""A file of task=compress back to its image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from numpy import ndarray
from torch import Tensor
from tqdm import tqdm

from vqgen.batch import to_bytes
from vqgen.errors import UserError
from vqgen.measure.sources import lacks_order
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.coding import NamedBlock, at_a_time, blocks_of, decompressed
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
        read = blocks_of(trained, {str(file): _contents(file) for file in self._files()})
        names = _names(read)
        pictures: dict[str, Tensor] = {}
        all_arrays: dict[str, ndarray] = {}
        for some in tqdm([*_groups(read, at_a_time(trained))], desc="decompressing", leave=False):
            for codes, border in decompressed(trained, some):
                image, name = trained.autoencoder.decode(codes)[0].expand(3, -1, -1), names[len(pictures)]
                if border:
                    image = image[:, *trained.images().inside]
                arrays = code_arrays(trained, codes) | {"samples": to_bytes(image).cpu().numpy()}
                if len(names) > 1:
                    arrays = {f"{key.replace('/', '_')}/{name}": array for key, array in arrays.items()}
                pictures[name] = image
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


def _names(read: Sequence[NamedBlock]) -> list[str]:
    """The name of each image: that of its file, with a number where it is one of several."""
    names: list[str] = []
    for name, images in groupby(read, lambda each: each.name):
        blocks = [block for _, block in images]
        numbers = range(sum(len(block.words) for block in blocks))
        several = blocks[0].header.several
        names += [f"{Path(name).stem}_{i}" if several else Path(name).stem for i in numbers]
    return names


def _groups(read: Sequence[NamedBlock], most: int) -> Iterator[list[NamedBlock]]:
    """Blocks that are decoded together: of so many images, or one block of more."""
    group: list[NamedBlock] = []
    size = 0
    for each in read:
        if group and size + len(each.block.words) > most:
            yield group
            group, size = [], 0
        group.append(each)
        size += len(each.block.words)
    yield group

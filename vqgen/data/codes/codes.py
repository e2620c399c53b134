"""The codes of a tokenizer as data for a prior."""

from collections.abc import Sequence
from functools import partial

import torch
from numpy import ndarray
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from vqgen.batch import SPLITS, CodeBatch
from vqgen.data.codes.code_store import CodeSplit, CodeStore
from vqgen.data.codes.coded_parts import Encode
from vqgen.data.error import folder_of, require
from vqgen.data.images import Images
from vqgen.data.loading.batches import chosen
from vqgen.data.loading.loader import DataModule, Fetch
from vqgen.data.reading import Reading
from vqgen.errors import DataError


def code_batch(split: CodeSplit, level: int, index: ndarray, epoch: int) -> CodeBatch:
    """The codes of levels 0 to `level` of these rows, as they are stored; `index` of the batch is the image's."""
    codes = [torch.from_numpy(codes[index]) for codes in split.codes[: level + 1]]
    return CodeBatch(codes, chosen(split.given, index), torch.from_numpy(index % split.num_images))


class Codes(DataModule):
    """Code maps of a source's images, made by the tokenizer once and kept in a store.

    Args:
        images: the source that the tokenizer learned from (filled in from its run).
        encode: the tokenizer's method, from images in [-1, 1] to the codes of every level, top first.
        fingerprint: of the tokenizer; names the store.
        num_embeddings: codebook size of each level, top first.
        level: which level the prior is for; batches hold this one and those above it.
        cache: folder of all code stores.
        batch_size: code maps a step on each device.
        seed: decides the order of the training codes.
    """

    def __init__(
        self,
        images: Images,
        encode: Encode,
        fingerprint: str,
        num_embeddings: list[int],
        level: int,
        cache: str,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        if not 0 <= level < len(num_embeddings):
            raise DataError(f"level={level}: the tokenizer has levels 0 to {len(num_embeddings) - 1}.")
        require(batch_size >= 1, "batch_size", batch_size, "a batch holds at least 1 code map")
        self.images, self.encode, self.level = images, encode, level
        self.store = CodeStore(images, fingerprint, num_embeddings, folder_of("cache", cache))
        self.batch_size, self.seed = batch_size, seed
        self._splits: dict[str, CodeSplit] = {}
        self._told = False

    def prepare_data(self) -> None:
        """Extract the codes of all splits that are not in the store; of several processes, all do in `setup`."""
        if self.trainer is None or self.trainer.world_size == 1:
            self._extract()

    def setup(self, stage: str | None = None) -> None:
        """Extract what is not in the store, together with the other processes."""
        self._extract()
        self.tell()
        super().setup(stage)

    def _extract(self) -> None:
        for name in SPLITS:
            self.store.extract(name, self.encode)

    def tell(self) -> None:
        """Log once, in one line on rank 0, what codes there are."""
        if not self._told:
            self._told = True
            splits = {name: self.split(name) for name in SPLITS}
            counts = {name: self.count(name) for name in SPLITS}
            grids = [f"{h}x{w}" for _, h, w in (codes.shape for codes in splits["train"].codes)]
            how = f"codes of {' and '.join(grids)} positions, one map an image"
            if counts["train"] > splits["train"].num_images:
                how += ", a second one of each training image mirrored"
            place = str(self.store.folder("train").parent)
            rank_zero_info(Reading(place, counts, self.images.class_names, how).line())

    def split(self, name: str) -> CodeSplit:
        """The codes of all levels and the labels of "train", "val" or "test"."""
        if name not in self._splits:
            self._splits[name] = self.store.read(name)
        return self._splits[name]

    def count(self, split: str) -> int:
        """The number of code maps of a split: its rows."""
        return len(self.split(split).codes[0])

    def fetch(self, split: str, training: bool = False) -> Fetch:
        """Batches of code maps, in the type they are stored in."""
        return partial(code_batch, self.split(split), self.level)

    def names(self, split: str, index: Sequence[int]) -> list[str]:
        """Names of the images of these codes, for messages."""
        return self.images.names(split, index)

    def on_after_batch_transfer(self, batch: CodeBatch, dataloader_idx: int) -> CodeBatch:
        """Codes to int64, on the device."""
        return batch._replace(codes=[codes.long() for codes in batch.codes])

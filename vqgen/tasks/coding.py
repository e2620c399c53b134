"""Code maps to bytes and back, by an arithmetic coder that takes its weights from priors.

Both directions ask the priors one code after another, and must come to the same weights. Floating-point sums come out
differently, in their last bits, with another number of threads, another processor or library. So the priors compute in
float64 on the CPU, whatever device they are on, and what they say is rounded to steps of 1/1024 nat, from which all
that follows is done in integers. Where the steps begin is chosen for each file, and said in it: of 16 places the one
that keeps every log-probability farthest from where it would be rounded to another step.
"""

import copy
import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int, Int64
from numpy import ndarray
from torch import Tensor, nn

from vqgen.batch import Condition
from vqgen.errors import UserError
from vqgen.protocols import AutoregressivePrior, Prior
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.arithmetic import STEPS, ArithmeticDecoder, ArithmeticEncoder, resolved, weights
from vqgen.tasks.header import HEADER_SIZE, Header, Writer

MEMORY, MOST_IMAGES = 2**28, 128
"""Bytes, and images, that are coded together at most."""

PLACES = (np.arange(16) + 0.5) / 16
"""Where steps may begin; never near 0, where the likeliest code is."""


class CompressedImage(NamedTuple):
    """A file's contents.

    `nll` is the negative log-likelihood of its codes in nats, given the label if there is one; `margin` is how much
    another machine's log-probabilities may differ, in nats, for the file to be read there.
    """

    contents: bytes
    nll: float
    margin: float


class DecompressedImage(NamedTuple):
    """`codes` of a file, top level first, and whether its image got a `border` before it was compressed."""

    codes: list[Int[Tensor, "1 _ _"]]
    border: bool


def compressed(
    trained: TrainedRun, codes: Sequence[Int[Tensor, "b _ _"]], labels: Sequence[int | None], border: bool = False
) -> list[CompressedImage]:
    """The codes of each image, top level first, as the contents of a file.

    After the header of 8 bytes come the label, in as many bytes as it needs (none where there are no classes), a
    checksum of all this and the codes (2 bytes), and the bytes of the arithmetic coder.

    Args:
        trained: the run, with the priors of all levels.
        codes: of images that are computed together (see `at_a_time`).
        labels: class of each image, None for no class.
        border: whether the images got a border, which is to be taken off again.
    """
    symbols = torch.cat([c.flatten(1) for c in codes], 1).T.cpu().numpy()
    nats: list[Float64[ndarray, "b k"]] = []

    def code(below: Float64[ndarray, "b k"]) -> Int64[ndarray, " b"]:
        nats.append(below)
        return symbols[len(nats) - 1]

    code_by_code(trained, labels, code)
    mark, writer, images = _mark(trained), Writer.here(), []
    for i, label in enumerate(labels):
        own = np.stack([below[i] for below in nats])
        nll = float((np.log(np.exp(-own).sum(1)) + own[np.arange(len(own)), symbols[:, i]]).sum())
        place, margin = _widest(own)
        encoder = ArithmeticEncoder()
        for symbol, below in zip(symbols[:, i], own, strict=True):
            encoder.encode(int(symbol), _rounded(below, place))
        start = Header(mark, writer, border, place).pack() + _label_bytes(trained, label)
        contents = start + _checksum(start, [c[i : i + 1] for c in codes]) + encoder.contents()
        images.append(CompressedImage(contents, nll, margin))
    return images


def decompressed(trained: TrainedRun, files: Mapping[str, bytes]) -> list[DecompressedImage]:
    """The contents of files, by their names, decoded together.

    UserError for a file of another format or of other models, one whose codes come out wrong, or with other bytes than
    its codes have.
    """
    mark = _mark(trained)
    read = [_read(trained, mark, name, contents) for name, contents in files.items()]
    decoders, encoders = [ArithmeticDecoder(file.words) for file in read], [ArithmeticEncoder() for _ in read]

    def code(below: Float64[ndarray, "b k"]) -> Int64[ndarray, " b"]:
        symbols = np.empty(len(read), np.int64)
        for i, (file, nats) in enumerate(zip(read, below, strict=True)):
            shares = _rounded(nats, file.header.place)
            symbols[i] = decoders[i].decode(shares)
            encoders[i].encode(int(symbols[i]), shares)
        return symbols

    codes, images = code_by_code(trained, [file.label for file in read], code), []
    for i, (name, file, encoder) in enumerate(zip(files, read, encoders, strict=True)):
        own = [c[i : i + 1] for c in codes]
        if _checksum(file.start, own) != file.checksum:
            raise UserError(
                f"file={name}: the codes came out wrong: the file is damaged, or its priors compute otherwise where it "
                f"was written ({file.header.writer}) than here ({Writer.here()}): "
                f"read it with {file.header.writer.settings}"
            )
        if file.words != encoder.contents():
            raise UserError(f"file={name}: the file is damaged: it has bytes that its codes do not have")
        images.append(DecompressedImage(own, file.header.border))
    return images


class _File(NamedTuple):
    """The parts of a file."""

    header: Header
    label: int | None
    start: bytes
    checksum: bytes
    words: bytes


def _read(trained: TrainedRun, mark: bytes, name: str, contents: bytes) -> _File:
    """A file as far as it is not coded."""
    try:
        header = Header.unpack(contents)
    except UserError as error:
        raise UserError(f"file={name}: {error}") from None
    if header.mark != mark:
        models = f"'{trained.folder}' and its tokenizer"
        raise UserError(f"file={name}: this file was compressed with other models than {models} ({header.writer})")
    size = HEADER_SIZE + len(_label_bytes(trained, None))
    start, checksum, words = contents[:size], contents[size : size + 2], contents[size + 2 :]
    classes, label = trained.num_classes, int.from_bytes(start[HEADER_SIZE:], "big")
    if label > classes:
        raise UserError(f"file={name}: the file is damaged: it says class {label}, and there are {classes}")
    return _File(header, None if label == classes else label, start, checksum, words)


def at_a_time(trained: TrainedRun) -> int:
    """How many images are coded together: the log-probabilities of all their positions are kept."""
    numbers = sum(prior.grid[0] * prior.grid[1] * prior.num_embeddings for prior in trained.priors)
    return min(max(MEMORY // (8 * numbers), 1), MOST_IMAGES)


@torch.no_grad()
def code_by_code(
    trained: TrainedRun,
    labels: Sequence[int | None],
    code: Callable[[Float64[ndarray, "b k"]], Int64[ndarray, " b"]],
) -> list[Int[Tensor, "b h w"]]:
    """Code maps of images on the device of the run, each code being what `code` returns.

    `code` is called for each position, top level first, in raster order, with the nats by which each code is less
    likely than the likeliest. `trained` has the priors of all levels, which stay as they are; a label is None for no
    class. UserError where a prior's logits are not finite.
    """
    numbers = [trained.num_classes if label is None else label for label in labels]
    given = {} if all(label is None for label in labels) else {"label": torch.tensor(numbers)}
    codes: list[Tensor] = []
    for prior in trained.priors:
        state = _in_float64(prior).begin(len(labels), Condition(codes, given))
        symbols = torch.empty(prior.grid[0] * prior.grid[1], len(labels), dtype=torch.long)
        for position in symbols:
            logits = state.logits().numpy()
            if not np.isfinite(logits).all():
                raise UserError(f"the prior of '{trained.folder}' gives no probabilities: its logits are NaN")
            position.copy_(torch.from_numpy(code(logits.max(1, keepdims=True) - logits)))
            state.push(position)
        codes.append(symbols.T.reshape(len(labels), *prior.grid))
    return [c.to(trained.device) for c in codes]


def _in_float64(prior: Prior) -> AutoregressivePrior:
    """A copy that computes in float64 on the CPU."""
    copied = copy.deepcopy(prior)
    assert isinstance(copied, nn.Module)
    copied.to("cpu", torch.float64)
    assert isinstance(copied, AutoregressivePrior)
    return copied


def _rounded(below: Float64[ndarray, " k"], place: int) -> Int64[ndarray, " k"]:
    """The weights of codes that are so many nats less likely than the likeliest."""
    return weights(np.floor(resolved(below) + PLACES[place]).astype(np.int64))


def _widest(nats: Float64[ndarray, "n k"]) -> tuple[int, float]:
    """The place for steps to begin that has all nats farthest from the ends of their steps, and how far in nats."""
    margins = np.full(len(PLACES), 0.5)
    for below in nats:
        within = (resolved(below)[:, None] + PLACES) % 1
        margins = np.minimum(margins, np.minimum(within, 1 - within).min(0))
    place = int(margins.argmax())
    return place, float(margins[place]) / STEPS


def _label_bytes(trained: TrainedRun, label: int | None) -> bytes:
    """The label, no class being the one after the last."""
    classes = trained.num_classes
    return (classes if label is None else label).to_bytes(-(-classes.bit_length() // 8), "big")


def _checksum(start: bytes, codes: Sequence[Int[Tensor, "1 _ _"]]) -> bytes:
    numbers = b"".join(c.cpu().numpy().astype("<u4").tobytes() for c in codes)
    return (zlib.crc32(start + numbers) & 0xFFFF).to_bytes(2, "big")


def _mark(trained: TrainedRun) -> bytes:
    """A digest of the weights of tokenizer and priors, in two bytes."""
    digest = hashlib.sha256()
    for model in trained.modules:
        for name, tensor in sorted(model.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.digest()[:2]

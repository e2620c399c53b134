"""Code maps to bytes and back, by an arithmetic coder that takes its weights from priors.

Both directions ask the priors one code after another, and must come to the same weights. Floating-point sums come out
differently, in their last bits, with another number of threads, another processor or library. So the priors compute in
float64 on the CPU, whatever device they are on, and what they say is rounded to steps of 1/1024 nat, from which all
that follows is done in integers. Where the steps begin is chosen for each file or block, and said in it: of 16 places
the one that keeps every log-probability farthest from where it would be rounded to another step.
"""

import copy
import hashlib
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
from vqgen.tasks.block import Block, blocks
from vqgen.tasks.header import Header, Writer

MEMORY, MOST_IMAGES = 2**28, 128
"""Bytes, and images, that are coded together at most."""

PLACES = (np.arange(16) + 0.5) / 16
"""Where steps may begin; never near 0, where the likeliest code is."""


class Compressed(NamedTuple):
    """A file's contents, or those of a block in it.

    `nll` is the negative log-likelihood of the codes in nats, given the label if there is one; `margin` is how much
    another machine's log-probabilities may differ, in nats, for the file to be read there.
    """

    contents: bytes
    nll: float
    margin: float


class DecompressedImage(NamedTuple):
    """`codes` of an image, top level first, and whether it got a `border` before it was compressed."""

    codes: list[Int[Tensor, "1 _ _"]]
    border: bool


def compressed(
    trained: TrainedRun,
    codes: Sequence[Int[Tensor, "b _ _"]],
    labels: Sequence[int | None],
    border: bool = False,
    together: bool = False,
) -> list[Compressed]:
    """The codes of each image, top level first, as the contents of a file, or those of all as one `Block`.

    Args:
        trained: the run, with the priors of all levels.
        codes: of images that are computed together (see `at_a_time`).
        labels: class of each image, None for no class.
        border: whether the images got a border, which is to be taken off again.
        together: all images in one block, which saves headers.
    """
    return packed(trained, codes, labels, nats_below(trained, codes, labels), border, together)


def nats_below(
    trained: TrainedRun, codes: Sequence[Int[Tensor, "b _ _"]], labels: Sequence[int | None]
) -> list[Float64[ndarray, "b k"]]:
    """At each position, top level first, the nats by which each code is less likely than the likeliest."""
    symbols, nats = _symbols(codes), []

    def code(below: Float64[ndarray, "b k"]) -> Int64[ndarray, " b"]:
        nats.append(below)
        return symbols[len(nats) - 1]

    code_by_code(trained, labels, code)
    return nats


def packed(
    trained: TrainedRun,
    codes: Sequence[Int[Tensor, "b _ _"]],
    labels: Sequence[int | None],
    nats: Sequence[Float64[ndarray, "b k"]],
    border: bool = False,
    together: bool = False,
) -> list[Compressed]:
    """What `compressed` returns, from what the priors have said (`nats_below`)."""
    symbols = _symbols(codes)
    mark, writer = _mark(trained), Writer.here()
    size = len(labels) if together else 1
    coded = []
    for some in (slice(i, i + size) for i in range(0, len(labels), size)):
        place, margin = _widest(nats, some)
        header = Header(mark, writer, border, place, several=together)
        nll, words = 0.0, []
        for i in range(*some.indices(len(labels))):
            encoder, own = ArithmeticEncoder(), np.stack([below[i] for below in nats])
            nll += float((np.log(np.exp(-own).sum(1)) + own[np.arange(len(own)), symbols[:, i]]).sum())
            for symbol, below in zip(symbols[:, i], own, strict=True):
                encoder.encode(int(symbol), _rounded(below, place))
            words.append(encoder.contents())
        block = Block(header, list(labels[some]), words, b"")
        block = block.with_checksum([c[some] for c in codes], trained.num_classes)
        coded.append(Compressed(block.pack(trained.num_classes), nll, margin))
    return coded


class NamedBlock(NamedTuple):
    """A block, and the name of its file."""

    name: str
    block: Block


def blocks_of(trained: TrainedRun, files: Mapping[str, bytes]) -> list[NamedBlock]:
    """The blocks of files, by their names. UserError for a file of another format or of other models."""
    mark = _mark(trained)
    read: list[NamedBlock] = []
    for name, contents in files.items():
        try:
            header = Header.unpack(contents)
            if header.mark != mark:
                models = f"'{trained.folder}' and its tokenizer"
                raise UserError(f"this file was compressed with other models than {models} ({header.writer})")
            read += [NamedBlock(name, block) for block in blocks(contents, trained.num_classes)]
        except UserError as error:
            raise UserError(f"file={name}: {error}") from None
    return read


def decompressed(trained: TrainedRun, read: Sequence[NamedBlock]) -> list[DecompressedImage]:
    """The images of blocks, decoded together.

    UserError for a block whose codes come out wrong, or that has other bytes than its codes have.
    """
    images = [(block.header, label, words) for _, block in read for label, words in zip(*block[1:3], strict=True)]
    decoders, encoders = [ArithmeticDecoder(words) for *_, words in images], [ArithmeticEncoder() for _ in images]

    def code(below: Float64[ndarray, "b k"]) -> Int64[ndarray, " b"]:
        symbols = np.empty(len(images), np.int64)
        for i, ((header, *_), nats) in enumerate(zip(images, below, strict=True)):
            shares = _rounded(nats, header.place)
            symbols[i] = decoders[i].decode(shares)
            encoders[i].encode(int(symbols[i]), shares)
        return symbols

    codes = code_by_code(trained, [label for _, label, _ in images], code)
    first = 0
    for name, block in read:
        end = first + len(block.words)
        if block.with_checksum([c[first:end] for c in codes], trained.num_classes).checksum != block.checksum:
            writer = block.header.writer
            raise UserError(
                f"file={name}: the codes came out wrong: the file is damaged, or its priors compute otherwise where it "
                f"was written ({writer}) than here ({Writer.here()}): read it with {writer.settings}"
            )
        if any(words != encoder.contents() for words, encoder in zip(block.words, encoders[first:end], strict=True)):
            raise UserError(f"file={name}: the file is damaged: it has bytes that its codes do not have")
        first = end
    return [DecompressedImage([c[i : i + 1] for c in codes], header.border) for i, (header, *_) in enumerate(images)]


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


def _symbols(codes: Sequence[Int[Tensor, "b _ _"]]) -> Int64[ndarray, "n b"]:
    """The codes position by position, top level first."""
    return torch.cat([c.flatten(1) for c in codes], 1).T.cpu().numpy()


def _rounded(below: Float64[ndarray, " k"], place: int) -> Int64[ndarray, " k"]:
    """The weights of codes that are so many nats less likely than the likeliest."""
    return weights(np.floor(resolved(below) + PLACES[place]).astype(np.int64))


def _widest(nats: Sequence[Float64[ndarray, "b k"]], some: slice) -> tuple[int, float]:
    """The place for steps to begin that has all nats of some images farthest from their steps' ends, and how far."""
    margins = np.full(len(PLACES), 0.5)
    for below in nats:
        ends = len(PLACES) * (1 - resolved(below[some]).ravel() % 1)  # the step would end here, from its beginning
        nearest = np.minimum(ends.astype(np.int64), len(PLACES) - 1)
        np.minimum.at(margins, nearest, np.abs(ends - nearest - 0.5))
    margins /= len(PLACES)
    place = int(margins.argmax())
    return place, float(margins[place]) / STEPS


def _mark(trained: TrainedRun) -> bytes:
    """A digest of the weights of tokenizer and priors, in two bytes."""
    digest = hashlib.sha256()
    for model in trained.modules:
        for name, tensor in sorted(model.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.digest()[:2]

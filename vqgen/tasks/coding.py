"""Code maps to bytes and back, by a range coder that takes its probabilities from priors.

Both directions ask the priors one code after another, by the same operations in the same order, so that the
probabilities are the same to the last bit. This holds on one device with one version of torch; a checksum tells where
it does not.
"""

import hashlib
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int
from numpy import ndarray
from torch import Tensor

from vqgen.errors import UserError
from vqgen.tasks.trained import Trained

FORMAT = 1
NO_LABEL = 0xFFFF
WRONG = (
    "the codes came out wrong: the file is damaged, or was compressed on another device or version of torch, "
    "where the probabilities differ in their last bits"
)


class Coded(NamedTuple):
    """A file's contents, and the negative log-likelihood of its codes in nats, from the same probabilities."""

    contents: bytes
    nll: float


def compressed(trained: Trained, codes: Sequence[Int[Tensor, "1 _ _"]], label: int | None) -> Coded:
    """The codes of an image as the contents of a file.

    The header is the format (1 byte), a mark of the models and a checksum of the codes (2 bytes each) and, with labels,
    the label (2 bytes); then come the bytes of the range coder.

    Args:
        trained: a run with the priors of all levels.
        codes: code maps of one image, top level first.
        label: class of the image; None for none.
    """
    encoder, total = coder().stream.queue.RangeEncoder(), 0.0

    def code(level: int, position: int, p: Float64[ndarray, " k"]) -> int:
        nonlocal total
        symbol = int(codes[level].flatten()[position])
        encoder.encode(symbol, coder().stream.model.Categorical(p, perfect=False))
        total -= float(np.log(p[symbol]))
        return symbol

    visited(trained, label, code)
    return Coded(_header(trained, label) + _checksum(codes) + _bytes_of(encoder), total)


def decompressed(trained: Trained, contents: bytes) -> list[Int[Tensor, "1 h w"]]:
    """The codes that a file holds, top level first.

    Raises:
        UserError: a file of another format or of other models, one whose codes come out wrong, or with other bytes
            than its codes have.
    """
    size = len(_header(trained, None))
    if len(contents) < size + 2 or contents[0] != FORMAT:
        raise UserError("this is no file of task=compress")
    if contents[1:3] != _mark(trained):
        raise UserError(f"this file was compressed with other models than '{trained.folder}' and its tokenizer")
    words = contents[size + 2 :]
    padded = words + bytes(8 + -len(words) % 4)
    decoder = coder().stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))
    encoder = coder().stream.queue.RangeEncoder()
    label = int.from_bytes(contents[3:size], "big") if size > 3 else NO_LABEL
    if label != NO_LABEL and label >= trained.model.num_classes:
        raise UserError(f"the file is damaged: it says class {label}, and there are {trained.model.num_classes}")

    def code(level: int, position: int, p: Float64[ndarray, " k"]) -> int:
        of_p = coder().stream.model.Categorical(p, perfect=False)
        try:
            symbol = int(decoder.decode(of_p))
        except AssertionError:   # so the coder tells bits that no codes have
            raise UserError(WRONG) from None
        encoder.encode(symbol, of_p)
        return symbol

    codes = visited(trained, None if label == NO_LABEL else label, code)
    if _checksum(codes) != contents[size : size + 2]:
        raise UserError(WRONG)
    if words != _bytes_of(encoder):
        raise UserError("the file is damaged: it has bytes that its codes do not have")
    return codes


def _bytes_of(encoder: Any) -> bytes:
    """What the coder has written, less the zeros that the decoder assumes."""
    return encoder.get_compressed().astype(">u4").tobytes().rstrip(b"\0")


def visited(
    trained: Trained, label: int | None, code: Callable[[int, int, Float64[ndarray, " k"]], int]
) -> list[Int[Tensor, "1 h w"]]:
    """Code maps of one image, each code being what `code` gives for its level, position and probabilities.

    Args:
        trained: a run with the priors of all levels.
        label: class of the image; None for none.
        code: asked for each code in turn, top level first, in raster order.
    """
    device = trained.model.device
    classes = None if label is None else torch.tensor([label], device=device)
    codes: list[Tensor] = []
    for level, prior in enumerate(trained.priors):
        state = prior.start(1, codes, classes)
        symbols = torch.empty(prior.grid[0] * prior.grid[1], dtype=torch.long, device=device)
        for position in range(len(symbols)):
            p = state.logits()[0].cpu().double().softmax(0).numpy()
            symbols[position] = code(level, position, p)
            state.push(symbols[position : position + 1])
        codes.append(symbols.view(1, *prior.grid))
    return codes


def coder() -> Any:
    """The package constriction.

    Raises:
        UserError: it is not installed.
    """
    try:
        import constriction
    except ImportError:
        raise UserError("compressing needs the package constriction: pip install 'vqgen[compress]'") from None
    return constriction


def _header(trained: Trained, label: int | None) -> bytes:
    start = bytes([FORMAT]) + _mark(trained)
    if not trained.model.num_classes:
        return start
    return start + (NO_LABEL if label is None else label).to_bytes(2, "big")


def _checksum(codes: Sequence[Int[Tensor, "1 _ _"]]) -> bytes:
    numbers = b"".join(c.cpu().numpy().astype("<u4").tobytes() for c in codes)
    return (zlib.crc32(numbers) & 0xFFFF).to_bytes(2, "big")


def _mark(trained: Trained) -> bytes:
    """Two bytes that tell the tokenizer's and the priors' weights from others."""
    digest = hashlib.sha256()
    for model in (trained.tokenizer, *trained.priors):
        assert model is not None
        for name, tensor in sorted(model.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.digest()[:2]

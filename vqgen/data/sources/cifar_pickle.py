"""CIFAR-10's Python version: pickles read without running anything in them."""

import io
import pickle

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vqgen.errors import DataError

_SIZE = 3 * 32 * 32


def read_batch(content: bytes, where: str) -> UInt8[ndarray, "n 3073"]:
    """The rows of a batch as in the binary version: the label, and the image channel by channel.

    Args:
        content: of a file such as data_batch_1.
        where: it is, for messages.

    Raises:
        DataError: the pickle holds something else than arrays, lists and text, or is not whole.
    """
    try:
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
        # Python 2 has written keys of bytes, Python 3 text
        data, labels = (np.asarray(batch[k] if k in batch else batch[k.decode()]) for k in (b"data", b"labels"))
        if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _SIZE or labels.shape != data.shape[:1]:
            raise ValueError(f"data of {data.dtype} {list(data.shape)} and labels of {list(labels.shape)}")
        if not np.isin(labels, np.arange(10)).all():
            raise ValueError("a label is none of 0 to 9")
        return np.hstack([labels.astype(np.uint8)[:, None], data])
    except pickle.UnpicklingError as error:
        raise DataError(f"{where} cannot be read: {error}. Put a whole copy there.") from error
    except Exception as error:   # a damaged pickle raises nearly anything
        reason = str(error).replace("\n", " ") or type(error).__name__
        raise DataError(f"{where} is not whole ({reason}). Put a whole copy there.") from error


class _NumberArray(ndarray):
    """An array that takes no contents but numbers."""

    def __setstate__(self, state: tuple) -> None:
        if len(state) != 5 or np.dtype(state[2]).hasobject:
            raise pickle.UnpicklingError("an array in it holds objects")
        super().__setstate__(state)


_ALLOWED = {   # what makes an array
    ("numpy.core.multiarray", "_reconstruct"): lambda kind, shape, code: np.empty(0, np.uint8).view(_NumberArray),
    ("numpy.core.multiarray", "scalar"): lambda kind, content: int(np.frombuffer(content, kind)[0]),
    ("numpy", "ndarray"): _NumberArray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),   # how Python 3 writes bytes for Python 2
}


class _ArrayUnpickler(pickle.Unpickler):
    """Makes arrays of plain types and text, and nothing else."""

    def find_class(self, module: str, name: str) -> object:
        """What is needed to make an array; the names are those of numpy 1 and 2."""
        module = module.replace("numpy._core.", "numpy.core.")
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, as no batch of CIFAR-10 does; nothing was run")
        return _ALLOWED[module, name]

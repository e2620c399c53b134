"""The codes of a tokenizer as data: their store, and the data module that a prior learns from."""

from vqgen.data.codes.codes import Codes

__all__ = ["Codes"]

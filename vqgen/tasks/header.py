"""What stands at the beginning of a compressed file: its format, its models, and what computed their priors."""

import struct
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import torch

from vqgen.errors import UserError

ONE, SEVERAL = 2, 3
"""Formats: of one image, and of a block of several."""

SUFFIX = ".vqc"
CAPABILITIES = ["?", "DEFAULT", "NO AVX", "AVX2", "AVX512", "SVE", "SVE256", "VSX", "Z VECTOR", "LASX"]
"""What torch calls the instructions that a processor has, as numbers in the file; the first stands for others."""

_HEADER = struct.Struct(">B2sBBBBB")  # format, mark, vqgen, torch (2), border and threads, capability and place
HEADER_SIZE = _HEADER.size
_OLD = (
    "this file is of format 1, of which every probability must be the same to the last bit: decompress it with the "
    "version of vqgen and torch, the device, processor and number of threads that wrote it, or compress the image again"
)


class Writer(NamedTuple):
    """What computes the priors of a file: versions as (major, minor), threads and the processor's instructions."""

    vqgen: tuple[int, int]
    torch: tuple[int, int]
    threads: int
    capability: str

    @classmethod
    def here(cls) -> "Writer":
        """This process."""
        capability = torch.backends.cpu.get_cpu_capability()
        known = capability if capability in CAPABILITIES else CAPABILITIES[0]
        return cls(_version("vqgen", 15), _version("torch", 255), min(torch.get_num_threads(), 127), known)

    def __str__(self) -> str:
        ours, torchs = (".".join(map(str, number)) for number in (self.vqgen, self.torch))
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"vqgen {ours}, torch {torchs} in float64, {threads}, {self.capability}"

    @property
    def settings(self) -> str:
        """The environment in which a process computes as this one did, on a processor that can."""
        capability = {"NO AVX": "default", "?": "default"}.get(self.capability, self.capability.lower())
        return f"OMP_NUM_THREADS={self.threads} ATEN_CPU_CAPABILITY={capability}"


class Header(NamedTuple):
    """What stands before the codes: who wrote them, whether the images got a border, and where steps begin.

    `mark` is of the models, and `several` says whether it is a block of several images, or one.
    """

    mark: bytes
    writer: Writer
    border: bool
    place: int
    several: bool = False

    def pack(self) -> bytes:
        """The header's bytes."""
        ours, capability = self.writer.vqgen, CAPABILITIES.index(self.writer.capability)
        threads = self.border << 7 | self.writer.threads
        version = (ours[0] << 4 | ours[1], *self.writer.torch)
        return _HEADER.pack(
            SEVERAL if self.several else ONE, self.mark, *version, threads, capability << 4 | self.place
        )

    @classmethod
    def unpack(cls, contents: bytes) -> "Header":
        """The header of a file. Raises UserError where there is none of this format."""
        if contents[:1] == b"\1":
            raise UserError(_OLD)
        if len(contents) < _HEADER.size or contents[0] not in (ONE, SEVERAL):
            raise UserError("this is no file of task=compress")
        form, mark, ours, *torchs, threads, capability = _HEADER.unpack_from(contents)
        name = CAPABILITIES[capability >> 4] if capability >> 4 < len(CAPABILITIES) else CAPABILITIES[0]
        writer = Writer((ours >> 4, ours & 15), (torchs[0], torchs[1]), threads & 127, name)
        return cls(mark, writer, bool(threads >> 7), capability & 15, form == SEVERAL)


def _version(package: str, most: int) -> tuple[int, int]:
    """Major and minor version of a package, each `most` at the most; (0, 0) where it is not installed."""
    try:
        major, minor, *_ = version(package).split(".")
    except PackageNotFoundError:
        return 0, 0
    return min(int(major), most), min(int(minor), most)

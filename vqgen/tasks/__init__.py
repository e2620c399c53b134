"""The tasks of sample.py: one file each."""

from vqgen.tasks.attribute import Attribute
from vqgen.tasks.codebook import Codebook
from vqgen.tasks.complete import Complete
from vqgen.tasks.compress import Compress
from vqgen.tasks.decompress import Decompress
from vqgen.tasks.evaluate import Evaluate
from vqgen.tasks.explore import Explore
from vqgen.tasks.export import Export
from vqgen.tasks.interpolate import Interpolate
from vqgen.tasks.latents import Latents
from vqgen.tasks.levels import Levels
from vqgen.tasks.morph import Morph
from vqgen.tasks.nll import NLL
from vqgen.tasks.publish import Publish
from vqgen.tasks.reconstruct import Reconstruct
from vqgen.tasks.reject import Reject
from vqgen.tasks.report import Report
from vqgen.tasks.sample import Sample
from vqgen.tasks.traverse import Traverse

__all__ = [
    "NLL",
    "Attribute",
    "Codebook",
    "Complete",
    "Compress",
    "Decompress",
    "Evaluate",
    "Explore",
    "Export",
    "Interpolate",
    "Latents",
    "Levels",
    "Morph",
    "Publish",
    "Reconstruct",
    "Reject",
    "Report",
    "Sample",
    "Traverse",
]

"""What happens beside the training step: records, checkpoints, pictures, measurements, warnings."""

from vqgen.callbacks.averaged_weights import AveragedWeights
from vqgen.callbacks.divergence import Diverged, Divergence
from vqgen.callbacks.evaluation import Evaluation
from vqgen.callbacks.last import Last
from vqgen.callbacks.measures import CodeHistograms, GradientNorm, Throughput
from vqgen.callbacks.pictures import LatentSamples, Reconstructions, Samples
from vqgen.callbacks.record import Record
from vqgen.callbacks.warnings import CollapsedCodesWarning, CollapseWarning, OverfittingWarning

__all__ = [
    "AveragedWeights", "CodeHistograms", "CollapseWarning", "CollapsedCodesWarning", "Diverged", "Divergence",
    "Evaluation", "GradientNorm", "Last", "LatentSamples", "OverfittingWarning", "Reconstructions", "Record",
    "Samples", "Throughput",
]  # fmt: skip

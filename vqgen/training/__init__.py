"""Beside the training step: its data, checkpoints, pictures, measurements, warnings, searches."""

from vqgen.training.averaged_weights import AveragedWeights
from vqgen.training.divergence import Divergence, DivergenceError
from vqgen.training.evaluation import Evaluation
from vqgen.training.last import Last
from vqgen.training.monitors import CodeHistograms, GradientNorm, Throughput
from vqgen.training.pictures import LatentSamples, Reconstructions, Samples
from vqgen.training.record import Record
from vqgen.training.searches import BatchSize, LearningRate
from vqgen.training.warnings import CollapsedCodesWarning, CollapseWarning, OverfittingWarning

__all__ = [
    "AveragedWeights",
    "BatchSize",
    "CodeHistograms",
    "CollapseWarning",
    "CollapsedCodesWarning",
    "Divergence",
    "DivergenceError",
    "Evaluation",
    "GradientNorm",
    "Last",
    "LatentSamples",
    "LearningRate",
    "OverfittingWarning",
    "Reconstructions",
    "Record",
    "Samples",
    "Throughput",
]

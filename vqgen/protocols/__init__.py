"""What tasks, measures and callbacks may ask of models and data.

A model is of a kind when it has the kind's methods, whatever its class. What a kind has beside its methods are plain
values, not modules, so that `isinstance` can tell.
"""

from vqgen.protocols.autoencoders import Autoencoder, Bound, Identified, LatentAutoencoder, Tokenizer, Variational
from vqgen.protocols.data import Attributes, Images, RecordedImages, Split
from vqgen.protocols.features import Classifier, FeatureNetwork, Features
from vqgen.protocols.priors import AutoregressivePrior, Prior, PriorOfLevels, priors_of, usual_prior

__all__ = [
    "Attributes",
    "Autoencoder",
    "AutoregressivePrior",
    "Bound",
    "Classifier",
    "FeatureNetwork",
    "Features",
    "Identified",
    "Images",
    "LatentAutoencoder",
    "Prior",
    "PriorOfLevels",
    "RecordedImages",
    "Split",
    "Tokenizer",
    "Variational",
    "priors_of",
    "usual_prior",
]

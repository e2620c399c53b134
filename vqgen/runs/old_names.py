"""What classes were called by older versions, in whose configs and checkpoints those names stand.

A class is named by the face of its package, so that its file may move. Where a face changes, the old name is added
here, and every run that was ever trained can still be opened.
"""

from collections.abc import Mapping

from vqgen.plain import Plain

_MOVED = {  # package whose face has the classes now: the package that had them, and its modules
    "vqgen.data.sources": ("vqgen.data", "celeba cifar10 fashion_mnist ffhq folder imagenet mnist shapes"),
    "vqgen.logging": ("vqgen", "loggers"),
    "vqgen.models": ("vqgen.models", "ae classifier prior vae vqvae vqvae2"),
    "vqgen.nn": ("vqgen.nn", "resnet"),
    "vqgen.nn.autoencoders": ("vqgen.nn", "conv flat mlp residual"),
    "vqgen.nn.likelihoods": ("vqgen.nn", "discretized_logistic reconstruction"),
    "vqgen.nn.posteriors": ("vqgen.nn", "posterior"),
    "vqgen.nn.priors": ("vqgen.nn", "conditioner gated_pixelcnn pixelcnn pixelsnail"),
    "vqgen.nn.quantize": ("vqgen.nn.quantize", "cosine ema fsq gradient rotation"),
    "vqgen.optim": ("vqgen", "schedules"),
    "vqgen.runs": ("vqgen", "leaderboard"),
    "vqgen.tasks": ("vqgen.tasks", "evaluate"),
    "vqgen.training": ("vqgen", "callbacks tuning"),
}
_RENAMED = {"vqgen.models.Classifier": "vqgen.models.ImageClassifier", "vqgen.models.Prior": "vqgen.models.RasterPrior"}
_PACKAGE = {f"{had}.{module}": now for now, (had, modules) in _MOVED.items() for module in modules.split()}


def current_name(name: str) -> str:
    """What a class is called now: `vqgen.models.vqvae.VQVAE` is `vqgen.models.VQVAE`."""
    module, _, of_class = name.rpartition(".")
    moved = f"{_PACKAGE.get(module, module)}.{of_class}"
    return _RENAMED.get(moved, moved) if module else name


def with_current_names(node: Plain) -> Plain:
    """A config, or a part of one, in which every `_target_` has its name of now."""
    if isinstance(node, Mapping):
        named = {key: with_current_names(value) for key, value in node.items()}
        target = named.get("_target_")
        return named | {"_target_": current_name(target)} if isinstance(target, str) else named
    if isinstance(node, list | tuple):
        return [with_current_names(value) for value in node]
    return node

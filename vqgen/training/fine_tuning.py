"""A run that starts from another's weights, and parts of a model that stay as they are."""

from collections.abc import Mapping, Sequence

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from vqgen.errors import ConfigError, near_miss
from vqgen.runs.checkpoint import Run

_MOST = 8  # names that are told one by one


def start_from(model: nn.Module, run: Run, strict: bool = True) -> None:
    """Give a model the weights of a run, and say what it does not get from there.

    A module of which one tensor does not fit starts with all of its own anew: a codebook without its counts is none.

    Args:
        model: newly built.
        run: of a model with parts of the same names.
        strict: refuse a run that has not all weights of the model, in their sizes, or others beside.

    Raises:
        ConfigError: it does not fit, or has nothing in common with the model.
    """
    saved: Mapping[str, Tensor] = run.contents["state_dict"]
    built = model.state_dict()
    unlike = {name for name, now in built.items() if name not in saved or saved[name].shape != now.shape}
    anew = {_owner(name) for name in unlike}
    fitting = {name: saved[name] for name in built if _owner(name) not in anew}
    told = _listed("missing there", built.keys() - saved.keys())
    told += _listed("not in this model", saved.keys() - built.keys())
    sizes = [f"{name} ({_size(saved[name])} there, {_size(built[name])} here)" for name in unlike & saved.keys()]
    told += _listed("of another size", sizes)
    if not fitting:
        raise ConfigError(f"weights={run.folder}: it has no weight of this model ({type(model).__name__})")
    if told and strict:
        raise ConfigError(
            f"weights={run.folder}: {'; '.join(told)}; weights_strict=false takes the {len(fitting)} that fit"
        )
    model.load_state_dict(fitting, strict=False)
    rest = f"; as they start: {'; '.join(told)}" if told else ""
    rank_zero_info(f"Weights of {run.folder}: {len(fitting)} of {len(built)}{rest}")


def freeze(model: nn.Module, parts: Sequence[str]) -> None:
    """Leave parts of a model out of training.

    Args:
        model: newly built.
        parts: names of its modules, such as `encoder` or `decoder.blocks`.

    Raises:
        ConfigError: there is no such part, or nothing is left to train.
    """
    known = [name for name, _ in model.named_modules() if name]
    for part in parts:
        if part not in known:
            children = [name for name, child in model.named_children() if any(True for _ in child.parameters())]
            raise ConfigError(f"freeze={list(parts)}: there is no part {part}{near_miss(part, children)}")
        model.get_submodule(part).requires_grad_(False)
    if parts and not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(f"freeze={list(parts)}: nothing is left to train")


class Frozen(pl.Callback):
    """Keeps parts of a model in evaluation mode: a codebook of averages does not move, and nothing is dropped there.

    Args:
        parts: see `freeze`.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self.parts = parts

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Whatever the mode of the whole is."""
        for part in self.parts:
            pl_module.get_submodule(part).eval()


def _owner(name: str) -> str:
    """The module that a tensor is of."""
    return name.rpartition(".")[0]


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _listed(what: str, names: Sequence[str] | set[str]) -> list[str]:
    """Names after what they are, the first few of many."""
    several = sorted(names)
    more = f" and {len(several) - _MOST} more" if len(several) > _MOST else ""
    return [f"{what}: {', '.join(several[:_MOST])}{more}"] if several else []

"""What a checkpoint holds and how it is read: plain data only, and nothing that it names is run unless it is ours.

Beside Lightning's own entries a checkpoint has one under `vqgen`: the resolved config as plain containers, and, for
a prior, the path and fingerprint of its tokenizer. With these it rebuilds its model alone. What the run has read is
kept there too, to know it again.
"""

import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn
from torch import nn

from vqgen.devices import device_of
from vqgen.environment.faults import explained, is_told
from vqgen.environment.hydra_versions import allowing
from vqgen.errors import CheckpointError, ConfigError, UserError, first_line
from vqgen.plain import Plain, PlainDict
from vqgen.protocols import RecordedImages
from vqgen.runs.allow_list import may_be_built, refuse_foreign
from vqgen.runs.atomic import replacing
from vqgen.runs.fingerprint import fingerprint, fingerprint_without_rules, old_fingerprint
from vqgen.runs.folders import COMPOSED, find_run, located
from vqgen.runs.old_names import with_current_names
from vqgen.runs.provenance import well_formed
from vqgen.runs.published import WEIGHTS, is_published, read_published
from vqgen.runs.run import TOKENIZER, Run

PREPARED = "data/prepared"  # as in conf/data
_HOLDS: PlainDict = {  # what a checkpoint does, of what kind
    "vqgen.config.model._target_": str,
    "vqgen.config.data._target_": str,
    "vqgen.config.facts": Mapping,
    "vqgen.config.seed": int,
    "vqgen.config.logger": Mapping | None,
    "vqgen.tokenizer": Mapping | None,
    "state_dict": Mapping,
    "global_step": int,
}


def load(run: str | Path, which: str = "best", device: str | torch.device = "cpu") -> nn.Module:
    """The trained module of a run folder or checkpoint file, in evaluation mode.

    Args:
        run: a run folder, one of its checkpoint files, a published folder or `hf://USER/NAME`.
        which: `best` or `last`, for a folder.
        device: where it computes: `cpu`, `cuda`, `cuda:1`, `mps`, or `auto`, which is a GPU where there is one.

    Raises:
        CheckpointError: not a checkpoint of vqgen, or one that holds or names code.
        ConfigError: there is no such device.
    """
    return module_of(open_run(run, which)).to(device_of(device))


def open_run(run: str | Path, which: str = "best") -> Run:
    """Read a run's checkpoint without building its model; arguments and errors as `load`."""
    place = located(run)
    folder = find_run(place)
    file = place if place.is_file() else _checkpoint_file(folder, which)
    contents = _read(file)
    return Run(folder, file, with_current_names(contents["vqgen"]["config"]), contents)


def open_last(run: str | Path) -> Run:
    """The newest checkpoint of a run that can be read, with a word where it is not `last.ckpt`.

    A run that was killed before it wrote one has its config alone, and no `state_dict`.

    Args:
        run: a run folder, or the checkpoint file to take.

    Raises:
        CheckpointError: there are checkpoints, and none can be read.
    """
    if Path(run).is_file():
        return open_run(run)
    folder = Path(run)
    files = [folder / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous", "best")]
    failures = []
    for file in filter(Path.exists, files):
        try:
            opened = open_run(file)
        except CheckpointError as error:
            failures.append(error)
            continue
        if file.name != "last.ckpt":
            reason = f"{failures[0]}; " if failures else ""
            rank_zero_warn(f"{reason}going on from '{file}', step {opened.contents['global_step']}")
        return opened
    if failures:
        raise failures[0]
    config = with_current_names(OmegaConf.to_container(OmegaConf.load(folder / COMPOSED), resolve=False))
    rank_zero_warn(f"'{folder}' has no checkpoint yet: it begins anew, with its own config")
    return Run(folder, folder / COMPOSED, config, {"global_step": 0})


def module_of(run: Run) -> nn.Module:
    """Build the model that a checkpoint describes and give it its weights."""
    module = _rebuilt(run, "model")
    if not isinstance(module, nn.Module):
        raise CheckpointError(f"'{run.file}' names model._target_={run.config['model']['_target_']}, which is no model")
    try:
        module.load_state_dict(run.contents["state_dict"])
    except RuntimeError as error:
        raise CheckpointError(f"'{run.file}' does not fit its own config: {str(error).splitlines()[-1]}") from None
    return module.eval().requires_grad_(False)


def build(node: PlainDict, at: str = "", /, **runtime: object) -> Any:
    """The object that a config node describes; an argument it cannot take is told as one line.

    Args:
        node: a node with `_target_`.
        at: its key path in the config, for messages; empty names its class.
        runtime: further arguments, objects that no yaml can hold.
    """
    try:
        with allowing(may_be_built()):
            return instantiate(node, **runtime, _convert_="all")
    except Exception as error:
        wrapped = isinstance(error, InstantiationException)  # by Hydra 1.3
        cause = error.__cause__ if wrapped else error
        if isinstance(cause, UserError):
            raise cause from None
        if cause is None or not is_told(cause):
            raise error if wrapped else InstantiationException(f"{type(error).__name__}: {error}") from cause
        raise explained(cause, at or node["_target_"].rpartition(".")[2], node) from error


def open_tokenizer(run: Run, path: str | Path | None = None) -> tuple[Run, nn.Module]:
    """The run of the tokenizer that a prior was trained on, and its module.

    Args:
        run: the prior's run.
        path: where to look instead of the place noted in the run.

    Raises:
        CheckpointError: it is not there, or is not the one that the prior knows (both fingerprints are named).
    """
    if run.tokenizer is None:
        raise CheckpointError(f"'{run.folder}' is not a prior: it has no tokenizer")
    found = located(path) if path else run.tokenizer_path()
    if not found.exists():
        raise CheckpointError(f"the tokenizer of '{run.folder}' is not at '{found}'; say where it is: tokenizer=RUN")
    opened = open_run(found)
    module = module_of(opened)
    actual, known = fingerprint(module), run.tokenizer["fingerprint"]
    earlier = [old_fingerprint(module, opened.contents["vqgen"]["config"]["model"])]
    if not opened.config.get("weights"):  # of tensors that another kind has not learnt
        earlier.append(fingerprint_without_rules(module))
    if known not in (actual, *earlier):
        raise CheckpointError(
            f"'{run.folder}' was trained on the codes of tokenizer {known}, "
            f"but '{found}' is {actual}: its codes mean something else"
        )
    return opened, module


@rank_zero_only
def keep_tokenizer(run: Run, folder: Path) -> None:
    """Copy a prior's tokenizer into the prior's run folder: the codes mean nothing without it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_essence(run, folder / TOKENIZER)


def save_essence(run: Run, file: Path) -> None:
    """Write what rebuilds the model of a run, without what only its training needs (a third of the size with Adam)."""
    ours = {"config": run.config, "tokenizer": run.tokenizer, "data": run.data, "words": run.words}
    contents = {"state_dict": run.contents["state_dict"], "global_step": run.contents["global_step"], "vqgen": ours}
    with replacing(file) as part:
        torch.save(contents, part)


def _checkpoint_file(folder: Path, which: str) -> Path:
    files = [folder / "checkpoints" / f"{name}.ckpt" for name in (which, "last", "best")]
    for file in files:
        if file.exists():
            if file.stem != which:
                rank_zero_warn(f"'{folder}' has no {which}.ckpt: {file.name} is taken")
            return file
    if is_published(folder):
        if which != "best":
            rank_zero_warn(f"'{folder}' is published with one set of weights: these are taken, and no {which}.ckpt")
        return folder / WEIGHTS
    names = ", ".join(sorted(file.name for file in (folder / "checkpoints").glob("*.ckpt")))
    raise CheckpointError(f"'{folder}' has neither best.ckpt nor last.ckpt; give one of its files: {names}")


def _read(file: Path) -> PlainDict:
    """The contents of a checkpoint of vqgen, or what a published run has of them."""
    published = file.suffix == Path(WEIGHTS).suffix
    contents = read_published(file.parent, file) if published else _unpickled(file)
    for path, kind in _HOLDS.items():
        node: Plain = contents
        for name in path.split("."):
            node = node.get(name, ...) if isinstance(node, Mapping) else ...
        if not isinstance(node, kind):
            raise CheckpointError(f"'{file}' is not a checkpoint of vqgen: it holds no {path}, or not as it should")
    if not all(isinstance(told, str) for told in (contents["vqgen"]["tokenizer"] or {}).values()):
        raise CheckpointError(f"'{file}' is not a checkpoint of vqgen: its vqgen.tokenizer is not as it should be")
    if not well_formed(contents["vqgen"].get("data") or {}):
        raise CheckpointError(f"'{file}' is not a checkpoint of vqgen: its vqgen.data are not as they should")
    return contents


def _unpickled(file: Path) -> Plain:
    try:
        contents = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named is None:
            raise CheckpointError(f"'{file}' cannot be read, it is no checkpoint") from None
        raise CheckpointError(f"'{file}' holds more than plain data ({named[1]}) and was not loaded") from None
    except (RuntimeError, EOFError, OSError) as error:
        reason = first_line(error)
        raise CheckpointError(f"'{file}' cannot be read, it is cut short or no checkpoint: {reason}") from None
    return contents


def relative_to(folder: Path, path: Path) -> str:
    """`path` as seen from `folder`, so that both can be moved together."""
    return os.path.relpath(path.resolve(), folder.resolve())


def images_of(run: Run, root: str | None = None) -> RecordedImages:
    """The data module of the images that a run was trained on.

    Args:
        run: an autoencoder's.
        root: folder where the images are now, if they have moved; what is prepared of them is then kept in
            `PREPARED`, unless the folder that it was kept in is there.

    Raises:
        CheckpointError: the images come from no folder.
    """
    if root is None:
        return _rebuilt(run, "data")
    section = dict(run.config["data"])
    if "root" not in section:
        raise CheckpointError(f"data_root={root}: the images of '{run.folder}' come from no folder")
    if not Path(section.get("cache", ".")).exists():
        section["cache"] = PREPARED
    return _rebuilt(run._replace(config=run.config | {"data": section | {"root": root}}), "data")


def _rebuilt(run: Run, section: str) -> Any:
    """What a section of a checkpoint's config describes, if it is ours and as our classes are now."""
    refuse_foreign(run.config[section], run.file, section)
    try:
        return build(run.config[section])
    except (InstantiationException, ConfigError) as error:
        reason = first_line(error.__cause__ or error)
        raise CheckpointError(
            f"'{run.file}' names a {section} that this version of vqgen does not build: {reason}"
        ) from error

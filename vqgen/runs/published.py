"""A run as other programs read it: weights in safetensors, a config in JSON, in the layout of a repository of the Hub.

    config.json  model.safetensors                       a model
    config.json  model.safetensors  tokenizer/           a prior, with the model whose codes it learned in a folder
    top/  bottom/  tokenizer/                            the priors of several levels, each a folder with both files

README.md, the model card, lies beside them. What tells of the machine that trained stays there: of the config only
those sections are kept that say what the model is and how it learned, and of a path its last name.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vqgen.errors import CheckpointError, UserError, first_line
from vqgen.plain import Plain, PlainDict
from vqgen.runs.allow_list import leads_away, leaves
from vqgen.runs.run import Run

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
TOKENIZER_FOLDER = "tokenizer"
FORMAT = 1
_SECTIONS = ("model", "data", "optim", "schedule", "parameter_groups", "trainer", "hardware", "facts", "seed", "level")
_NO_PATHS = ("facts",)  # names of classes
_LARGEST_CONFIG = 2**24  # bytes


def is_published(folder: Path) -> bool:
    """Whether a folder holds the two files of a model."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def published_levels(folder: Path) -> list[Path]:
    """The folders of the priors of several levels; empty where the folder is no such repository."""
    places = [file.parent for file in sorted(folder.glob(f"*/{WEIGHTS}")) if is_published(file.parent)]
    return [] if is_published(folder) else [place for place in places if place.name != TOKENIZER_FOLDER]


def repository(parts: Mapping[str, tuple[Run, Mapping[str, Any], str]], lineage: str | None) -> dict[str, bytes]:
    """The files of a repository by their paths in it.

    Args:
        parts: by folder (empty for that of the repository itself) a run, its weights by name and its fingerprint.
        lineage: fingerprint of the tokenizer, for priors; the tokenizer is one of the parts.

    Raises:
        UserError: safetensors is not there, or a config that JSON cannot hold.
    """
    files = {}
    for folder, (run, weights, mark) in parts.items():
        prefix = f"{folder}/" if folder else ""
        files[f"{prefix}{CONFIG}"] = _config_of(run, mark, lineage if run.tokenizer else None)
        files[f"{prefix}{WEIGHTS}"] = _weights_of(weights, mark)
    return files


def _config_of(run: Run, mark: str, lineage: str | None) -> bytes:
    config = public(run.config)
    contents = {
        "library": "vqgen",
        "format": FORMAT,
        "code_version": run.contents["vqgen"].get("code_version"),
        "step": run.contents["global_step"],
        "fingerprint": mark,
        "tokenizer": lineage,
        "data": run.data,
        "config": config,
    }
    try:
        text = json.dumps(contents, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"the config of '{run.file}' cannot be written as JSON: {first_line(error)}") from None
    if json.loads(text)["config"] != config:
        raise UserError(f"the config of '{run.file}' cannot be written as JSON: a key of it is no text")
    return f"{text}\n".encode()


def _weights_of(weights: Mapping[str, Any], mark: str) -> bytes:
    """Every tensor under its name; one that has two names is written twice, so that no reader need know of it."""
    metadata = {"format": "pt", "library": "vqgen", "fingerprint": mark}
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    return _safetensors().save(tensors, metadata)


def public(config: PlainDict) -> PlainDict:
    """What of a run's config goes into a repository: `data.root=/home/me/faces` becomes `data/faces`."""
    kept = {name: config[name] for name in _SECTIONS if name in config}
    return {name: node if name in _NO_PATHS else _placeless(node) for name, node in kept.items()}


def _placeless(node: Plain) -> Plain:
    if isinstance(node, Mapping):
        return {key: _placeless(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_placeless(value) for value in node]
    if not (isinstance(node, str) and leads_away(node)):
        return node
    path = Path(node).expanduser()
    is_home = path == Path.home() or path.parent.name in ("home", "Users")
    return str(Path("data", "" if is_home or path.name == ".." else path.name))


def read_config(folder: Path) -> PlainDict:
    """The contents of a published config, by name, without its weights.

    Raises:
        CheckpointError: it is no JSON, not of vqgen, of a newer version, or names files outside of its folder.
    """
    file = folder / CONFIG
    try:
        if file.stat().st_size > _LARGEST_CONFIG:
            raise CheckpointError(f"'{file}' has {file.stat().st_size:,} bytes: that is no config of vqgen")
        contents = json.loads(file.read_bytes())
    except CheckpointError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"'{file}' cannot be read: {first_line(error)}") from None
    if not isinstance(contents, dict) or contents.get("library") != "vqgen":
        raise CheckpointError(f"'{file}' is not of vqgen: its repository holds a model of another library")
    if contents.get("format") != FORMAT:
        raise CheckpointError(
            f"'{file}' has format {contents.get('format')}, and this version of vqgen reads {FORMAT}: take a newer one"
        )
    if not isinstance(contents.get("config"), dict):
        raise CheckpointError(f"'{file}' holds no config")
    contents["config"] = {name: node for name, node in contents["config"].items() if name in _SECTIONS}
    for path, value in leaves({name: node for name, node in contents["config"].items() if name not in _NO_PATHS}, ""):
        if isinstance(value, str) and leads_away(value):
            raise CheckpointError(f"'{file}' names {path[1:]}={value}, a path out of the working folder: refused")
    return contents


def read_published(folder: Path, weights: Path) -> PlainDict:
    """What a checkpoint would hold of a published model; the tokenizer is looked for in the repository alone.

    Args:
        folder: with the config.
        weights: the safetensors file.

    Raises:
        CheckpointError: one of the two cannot be read.
    """
    found = read_config(folder)
    mark = found.get("tokenizer")
    path = TOKENIZER_FOLDER if is_published(folder / TOKENIZER_FOLDER) else f"../{TOKENIZER_FOLDER}"
    return {
        "state_dict": _read_weights(weights),
        "global_step": found.get("step"),
        "vqgen": {
            "config": found["config"] | {"logger": None},
            "tokenizer": None if mark is None else {"path": path, "fingerprint": mark},
            "data": found.get("data"),
            "code_version": found.get("code_version"),
        },
    }


def _read_weights(file: Path) -> PlainDict:
    safetensors = _safetensors()
    try:
        return safetensors.load_file(file)
    except Exception as error:  # its own class, which is no public name; of the system; of torch
        raise CheckpointError(
            f"'{file}' cannot be read, it is cut short or no safetensors: {first_line(error)}"
        ) from None


def _safetensors() -> Any:
    """The module safetensors.torch; UserError where it is missing."""
    try:
        import safetensors.torch
    except ImportError as error:
        raise UserError(f"published runs need the package {error.name}: pip install safetensors") from None
    return safetensors.torch

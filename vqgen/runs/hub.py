"""Runs of the Hugging Face Hub, `hf://USER/NAME`, by the package huggingface_hub."""

import functools
import re
from pathlib import Path
from typing import Any

from vqgen.errors import CheckpointError, ConfigError, UserError, first_line
from vqgen.runs.published import CONFIG, WEIGHTS, is_published, published_levels, read_config

REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_ADDRESS = re.compile(rf"hf://({REPOSITORY.pattern})(?:@(refs/pr/\d+|[\w.-]+))?((?:/[\w-][\w.-]*)*)/?", re.ASCII)
_CACHED = re.compile(r"models--(.+)")  # the folder of a repository in the Hub's cache


def is_address(path: object) -> bool:
    """Whether this is the address of a run of the Hub."""
    return isinstance(path, str) and path.startswith("hf://")


def repository_of(address: str) -> str:
    """`USER/NAME` of an address; empty where it is none."""
    parsed = _ADDRESS.fullmatch(address)
    return parsed[1] if parsed else ""


@functools.cache
def snapshot(address: str) -> Path:
    """The folder of a run of the Hub in the Hub's cache, downloaded where it is not there.

    Args:
        address: `hf://USER/NAME`, or `hf://USER/NAME@REVISION`, with the path of a folder in it behind where one of
            several levels is meant.

    Raises:
        ConfigError: no such repository, no way to it, or the package huggingface_hub is not installed.
        CheckpointError: the repository holds no run of vqgen.
    """
    parsed = _ADDRESS.fullmatch(address)
    if parsed is None:
        raise ConfigError(f"'{address}' is no address of the Hub: expected hf://USER/NAME or hf://USER/NAME@REVISION")
    name, revision, inside = parsed.groups()
    folder = _download(address, name, revision, CONFIG) / inside.lstrip("/")
    configs = [folder / CONFIG] if (folder / CONFIG).exists() else sorted(folder.glob(f"*/{CONFIG}"))
    if not configs:
        raise CheckpointError(f"'{address}' holds no run of vqgen: there is no {CONFIG} in '{folder}'")
    for config in configs:  # before gigabytes of something else are downloaded
        read_config(config.parent)
    _download(address, name, revision, WEIGHTS)
    if not is_published(folder) and not published_levels(folder):
        raise CheckpointError(f"'{address}' holds no run of vqgen: there is no {WEIGHTS} in '{folder}'")
    return folder


def _download(address: str, name: str, revision: str | None, file: str) -> Path:
    """The snapshot with all files of this name."""
    hub = require_hub(address)
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=[file, f"*/{file}"]))
    except hub.errors.RevisionNotFoundError:
        raise ConfigError(f"'{address}': the repository {name} has no revision {revision}") from None
    except hub.errors.GatedRepoError:
        raise ConfigError(f"'{address}': the repository {name} asks for consent first: see its page") from None
    except hub.errors.RepositoryNotFoundError:
        raise ConfigError(
            f"'{address}': the Hub has no repository {name}, or it is private (then log in with: hf auth login)"
        ) from None
    except hub.errors.LocalEntryNotFoundError:
        offline = "HF_HUB_OFFLINE is set" if hub.constants.HF_HUB_OFFLINE else "the Hub cannot be reached"
        raise ConfigError(
            f"'{address}' is not in the Hub's cache, '{hub.constants.HF_HUB_CACHE}', and {offline}"
        ) from None
    except Exception as error:  # of the network, whose library is another with each version of huggingface_hub
        raise ConfigError(f"'{address}' cannot be had: {first_line(error)}") from None


def upload(folder: Path, name: str, private: bool, revision: str | None, message: str) -> str:
    """Make the repository if there is none, and its files those of a folder; the address of its page.

    Files of a model that the repository had and the folder has not are deleted, or they would be read with the others.

    Args:
        folder: all of it is uploaded.
        name: USER/NAME.
        private: for a repository that is made.
        revision: a branch, made where there is none; None for the main one.
        message: of the commit.

    Raises:
        UserError: the Hub refuses.
    """
    hub = require_hub(f"repo={name}")
    api, old = (
        hub.HfApi(library_name="vqgen"),
        [f"{prefix}{file}" for file in (CONFIG, WEIGHTS) for prefix in ("", "*/")],
    )
    try:
        page = api.create_repo(name, private=private or None, exist_ok=True)
        if private and not api.repo_info(name).private:
            raise UserError(
                f"repo={name}: this repository is there and everyone's; private=true is for one that is made"
            )
        if revision:
            api.create_branch(name, branch=revision, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=folder, revision=revision, commit_message=message, delete_patterns=old
        )
    except UserError:
        raise
    except Exception as error:  # as above
        status = getattr(getattr(error, "response", None), "status_code", None)
        login = (
            "; log in with: hf auth login"
            if status == 401 or isinstance(error, hub.errors.LocalTokenNotFoundError)
            else ""
        )
        raise UserError(f"repo={name}: the Hub did not take it: {first_line(error)}{login}") from None
    return str(page)


def require_hub(asked: str) -> Any:
    """The package huggingface_hub; ConfigError, naming the option that `asked` for it, where it is not installed."""
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise ConfigError(f"{asked} needs the package {error.name}: pip install 'vqgen[hub]'") from None
    return huggingface_hub


def cached_name(folder: Path) -> Path | None:
    """`USER/NAME`, and the folder in it, of a place in the Hub's cache; None for any other."""
    for place in (folder, *folder.parents):
        if place.parent.name == "snapshots" and (found := _CACHED.fullmatch(place.parents[1].name)):
            return Path(*found[1].split("--", 1), folder.relative_to(place))
    return None

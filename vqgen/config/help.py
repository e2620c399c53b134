"""The text of --help, gathered from the comments of the yaml files."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from vqgen.errors import ConfigError, command, near_miss

INCLUDED = "base"
"""Folder of what several yamls of a group include, and nobody chooses."""
_END = """
All options of the chosen groups, with their values: --cfg job

Your own configs: --config-dir=FOLDER adds a folder of yours, with groups as above, and --help beside it lists what is
in it too; export VQGEN_CONFIG_DIR=FOLDER stands for the flag. No folder is taken unasked, not even ./conf.
Your own classes: export VQGEN_PACKAGES=PACKAGE, of a package that is installed or lies in the working directory.
One group alone: model --help. What else Hydra offers (--info, --package, tab completion): --hydra-help"""


def help_text(folders: Sequence[Path], config_name: str, program: str, only: Sequence[str] = ()) -> str:
    """Every config group with its choices, and every option of the root, one line each.

    Args:
        folders: where configs are, ours first.
        config_name: the root, of the user or the program's own.
        program: train or sample.
        only: groups to be told of, and nothing else; none for all.

    Raises:
        ConfigError: there is no such group.
    """
    roots = [_text(folders, name) for name in dict.fromkeys([config_name, program])]
    groups = {name: _choices(folders, name) for name in _groups(folders, roots)}
    for name in only:
        if name not in groups:
            raise ConfigError(f"{name} --help: there is no such group{near_miss(name, groups)}")
    parts = [] if only else [_header(roots[0], program), "OPTIONS (KEY=VALUE)", *_rows(_options("\n".join(roots)))]
    for name in only or groups:
        parts += ["", f"{name}=NAME", *_rows((file.stem, first_comment(file)) for file in groups[name])]
    return "\n".join(parts if not only else parts[1:]) + ("" if only else f"\n{_END}")


def first_comment(path: Path) -> str:
    """What a yaml file is, in its own words: its first comment that is no package directive."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and "@package" not in line:
            return line[2:].strip()
    return ""


def _text(folders: Sequence[Path], root: str) -> str:
    """The file of a root config."""
    return next(p for f in folders if (p := f / f"{root}.yaml").is_file()).read_text(encoding="utf-8")


def _header(root: str, program: str) -> str:
    """The comment block that opens a root config, with the program as it was called."""
    lines = []
    for line in root.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[2:].replace(f"python {program}.py", command(program)))
    return "\n".join([*lines, ""])


def _options(root: str) -> Iterator[tuple[str, str]]:
    """Top-level keys with a value on the same line, and their comment; of a key that stands twice, the first."""
    told = {"defaults", "hydra"}
    for key, value, comment in re.findall(r"^(\w+): *([^#\n]*?) *(?:# *(.*))?$", root, flags=re.MULTILINE):
        if key not in told and comment:
            told.add(key)
            yield f"{key}={value}" if value else f"{key}.*", comment


def _groups(folders: Sequence[Path], roots: Sequence[str]) -> list[str]:
    """The groups of the roots, those that a choice of theirs brings along, and those of the user alone."""
    named = [name for root in roots for name in _named(root)]
    files = [file for name in named for file in _choices(folders, name)]
    brought = [name for file in files for name in _named(file.read_text(encoding="utf-8"))]
    ours = {place.name for place in folders[0].glob("*/")}
    own = sorted(file.parent.name for folder in folders[1:] for file in folder.glob("*/*.yaml"))
    found: dict[str, None] = {}
    for name in [*named, *brought, *(name for name in own if name not in {*ours, "hydra"})]:
        inside = {
            p.relative_to(f).as_posix() for f in folders for p in [*f.glob(f"{name}/*/"), *f.glob(f"{name}/*/*/")]
        }
        found |= dict.fromkeys(one for one in [name, *sorted(inside)] if INCLUDED not in one.split("/"))
    return [name for name in found if _choices(folders, name)]


def _choices(folders: Sequence[Path], group: str) -> list[Path]:
    """The files of a group, by their names; the first folder that has one counts."""
    files = {file.stem: file for folder in reversed(folders) for file in folder.joinpath(group).glob("*.yaml")}
    return [files[name] for name in sorted(files)]


def _named(yaml: str) -> list[str]:
    """The groups that a defaults list names."""
    return re.findall(r"^ +- (?:override |optional )?/?(\w+)(?:@\S+)?:", yaml, flags=re.MULTILINE)


def _rows(rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    for name, comment in rows:
        yield f"  {name:<24} {comment}"

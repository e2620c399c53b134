"""The text of --help, gathered from the comments of the yaml files."""

import re
from collections.abc import Iterator
from pathlib import Path

INCLUDED = "base"
"""Folder of what several yamls of a group include, and nobody chooses."""


def help_text(conf: Path, config_name: str) -> str:
    """Every config group with its choices, and every option of the root, one line each."""
    root = (conf / f"{config_name}.yaml").read_text(encoding="utf-8")
    parts = [_header(root), "OPTIONS (KEY=VALUE)", *_rows(_options(root))]
    for folder in _groups(conf, root):
        group = folder.relative_to(conf).as_posix()
        parts += ["", f"{group}=NAME", *_rows((p.stem, first_comment(p)) for p in sorted(folder.glob("*.yaml")))]
    parts += ["", "All options of the chosen groups, with their values: --cfg job"]
    return "\n".join(parts)


def first_comment(path: Path) -> str:
    """What a yaml file is, in its own words: its first comment that is no package directive."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and "@package" not in line:
            return line[2:].strip()
    return ""


def _header(root: str) -> str:
    """The comment block that opens a root config."""
    lines = []
    for line in root.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[2:])
    return "\n".join([*lines, ""])


def _options(root: str) -> Iterator[tuple[str, str]]:
    """Top-level keys with a value on the same line, and their comment."""
    for key, value, comment in re.findall(r"^(\w+): *([^#\n]*?) *(?:# *(.*))?$", root, flags=re.MULTILINE):
        if key not in ("defaults", "hydra") and comment:
            yield f"{key}={value}" if value else f"{key}.*", comment


def _groups(conf: Path, root: str) -> Iterator[Path]:
    """The groups of the root, and those that a choice of theirs brings along."""
    named = _named(root)
    files = [file for group in named for file in sorted((conf / group).glob("*.yaml"))]
    brought = [name for file in files for name in _named(file.read_text(encoding="utf-8"))]
    for name in dict.fromkeys([*named, *brought]):
        if (conf / name).is_dir() and name != INCLUDED:
            yield conf / name
            inside = sorted(p for p in (conf / name).rglob("*") if p.is_dir() and p.name != INCLUDED)
            yield from (folder for folder in inside if any(folder.glob("*.yaml")))


def _named(yaml: str) -> list[str]:
    """The groups that a defaults list names."""
    return re.findall(r"^ +- (?:override |optional )?/?(\w+)(?:@\S+)?:", yaml, flags=re.MULTILINE)


def _rows(rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    for name, comment in rows:
        yield f"  {name:<24} {comment}"

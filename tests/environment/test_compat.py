"""No private name of a library is used outside of vqgen/environment/compat.py."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import vqgen

HERE = Path(vqgen.__file__).parent
NAMED_TUPLE = {"_replace", "_asdict", "_fields", "_make"}  # public, by the documentation of Python
FOR_NOW = {"nn/batch_norm.py", "measure/metrics/inception.py"}  # of torch and torchmetrics
FILES = [file for file in sorted(HERE.rglob("*.py")) if file.relative_to(HERE).as_posix() not in FOR_NOW]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def own_names(tree: ast.AST) -> set[str]:
    """What a module defines, or sets itself."""
    names = set(NAMED_TUPLE)
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                names.add(name)
    return names


def foreign_names(tree: ast.AST) -> Iterator[str]:
    """Private names in use that the module did not make."""
    own = own_names(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if is_private(name) and name not in own:
                yield ast.unparse(node)
            case ast.Import(names=aliases):
                yield from (alias.name for alias in aliases if any(map(is_private, alias.name.split("."))))
            case ast.ImportFrom(module=module, names=aliases):
                parts = [*(module or "").split("."), *(alias.name for alias in aliases)]
                yield from filter(is_private, parts)
            case ast.Call(func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[_, ast.Constant(value=name), *_]):
                yield from [str(name)] if is_private(str(name)) and name not in own else []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(HERE).as_posix())
def test_private_names_of_others_are_in_one_file(file: Path):
    found = list(foreign_names(ast.parse(file.read_text(encoding="utf-8"))))
    assert not found or file.name == "compat.py", found


def test_the_walk_finds_private_names():
    assert set(foreign_names(ast.parse("import a._b\nfrom c._d import e\nx._f()\ngetattr(x, '_g')"))) == {
        "a._b",
        "_d",
        "x._f",
        "_g",
    }
    assert not set(foreign_names(ast.parse("def _f(): ...\nself._g = 1\nx._f(self._g)\ny.__class__\nt._replace()")))

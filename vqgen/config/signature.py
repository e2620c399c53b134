"""Constructor signatures, read from source text instead of by import and `inspect`.

A mistake is told in half a second so; importing torch and Lightning first takes four to five. And nothing that a
stranger's config names is imported to look at it.
"""

import ast
import functools
import importlib.util
from pathlib import Path
from typing import NamedTuple


class Parameter(NamedTuple):
    """One constructor argument: its annotation as an expression (None: not annotated), and whether it has a default."""

    annotation: ast.expr | None
    required: bool


class Signature(NamedTuple):
    """The named arguments of a class or function; `open_ended`: it takes keywords we cannot see."""

    parameters: dict[str, Parameter]
    open_ended: bool = False


class _Definition(NamedTuple):
    node: ast.ClassDef | ast.FunctionDef
    module: str


def signature(target: str) -> Signature:
    """Arguments that `_target_: target` accepts.

    A constructor's `**kwargs` is taken to pass on to its first base class, whose arguments are then included.

    Raises:
        LookupError: there is no such class or function.
    """
    module, _, name = target.rpartition(".")
    found = _find(module, name)
    if found is None:
        raise LookupError(target)
    if isinstance(found.node, ast.FunctionDef):
        return _of_function(found.node, drop_self=False)
    return _of_class(found)


def definitions(module: str) -> list[str]:
    """Names of the public classes and functions of a module, or of a package's face, for near misses."""
    tree = _parse(module)
    nodes = tree.body if tree else []
    own = [n.name for n in nodes if isinstance(n, ast.ClassDef | ast.FunctionDef)]
    faced = [a.name for n in nodes if isinstance(n, ast.ImportFrom) and _is_below(n.module, module) for a in n.names]
    return [name for name in own + faced if name[0] != "_"]


def _is_below(imported: str | None, package: str) -> bool:
    return f"{imported}".startswith(f"{package}.")


def _of_class(found: _Definition) -> Signature:
    assert isinstance(found.node, ast.ClassDef)
    own = next((n for n in found.node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if own is not None:
        result = _of_function(own, drop_self=True)
        return _with_base(result, found) if result.open_ended else result
    if fields := _dataclass_fields(found.node):
        return Signature(fields)
    return _with_base(Signature({}, open_ended=True), found)


def _with_base(own: Signature, found: _Definition) -> Signature:
    """`own` with the arguments that its keywords hand on to the first base class of known source."""
    assert isinstance(found.node, ast.ClassDef)
    for base in found.node.bases:
        name = ast.unparse(base).split("[")[0]
        definition = _find(found.module, name)
        if definition is not None and isinstance(definition.node, ast.ClassDef):
            inherited = _of_class(definition)
            handed_on = _left_open(found.node, inherited.parameters)
            return Signature(
                own.parameters | {k: p for k, p in handed_on.items() if k not in own.parameters}, inherited.open_ended
            )
    return Signature(own.parameters, open_ended=bool(found.node.bases))


def _left_open(node: ast.ClassDef, inherited: dict[str, Parameter]) -> dict[str, Parameter]:
    """The base's arguments that the call of `super().__init__` does not fill in itself."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
            named = {keyword.arg for keyword in call.keywords}
            rest = list(inherited.items())[len(call.args) :]
            return {name: parameter for name, parameter in rest if name not in named}
    return inherited


def _of_function(node: ast.FunctionDef, drop_self: bool) -> Signature:
    positional = node.args.posonlyargs + node.args.args
    first_default = len(positional) - len(node.args.defaults)
    parameters = {a.arg: Parameter(a.annotation, i < first_default) for i, a in enumerate(positional)}
    if drop_self:
        parameters.pop(positional[0].arg)
    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        parameters[argument.arg] = Parameter(argument.annotation, default is None)
    return Signature(parameters, open_ended=node.args.kwarg is not None)


def _dataclass_fields(node: ast.ClassDef) -> dict[str, Parameter]:
    if not any("dataclass" in ast.unparse(d) for d in node.decorator_list):
        return {}
    fields = [n for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    return {n.target.id: Parameter(n.annotation, n.value is None) for n in fields if isinstance(n.target, ast.Name)}


def _find(module: str, name: str, depth: int = 8) -> _Definition | None:
    """Definition of `name` as seen in `module`, followed through `from x import name` and `import x`."""
    head, _, rest = name.partition(".")
    tree = _parse(module)
    if tree is None or depth == 0:
        return None
    for node in _statements(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return _Definition(node, module)
        if isinstance(node, ast.ImportFrom | ast.Import):
            for alias in node.names:
                if (alias.asname or alias.name.split(".")[0]) == head:
                    return _follow(node, alias, module, rest, depth - 1)
    return None


def _follow(
    node: ast.ImportFrom | ast.Import, alias: ast.alias, module: str, rest: str, depth: int
) -> _Definition | None:
    if isinstance(node, ast.Import):
        origin = alias.name if alias.asname else alias.name.split(".")[0]
    else:
        origin = _absolute(node, module)
        if not rest:
            return _find(origin, alias.name, depth)
        origin = f"{origin}.{alias.name}"
    inner, _, name = rest.rpartition(".")
    return _find(f"{origin}.{inner}" if inner else origin, name, depth)


def _absolute(node: ast.ImportFrom, module: str) -> str:
    """Absolute name of the module that a (possibly relative) import names."""
    if not node.level:
        return node.module or ""
    path = _source(module)
    package = module.split(".") if path and path.name == "__init__.py" else module.split(".")[:-1]
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, node.module] if node.module else package)


def _statements(tree: ast.Module) -> list[ast.stmt]:
    """Top-level statements, those under a top-level `if` or `try` included."""
    flat: list[ast.stmt] = []
    for node in tree.body:
        flat += node.body if isinstance(node, ast.If | ast.Try) else [node]
    return flat


@functools.cache
def _parse(module: str) -> ast.Module | None:
    path = _source(module)
    return ast.parse(path.read_text(encoding="utf-8")) if path else None


def _source(module: str) -> Path | None:
    """The file of a module, found without importing its parents."""
    root, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not spec.submodule_search_locations:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") and not rest else None
    path = Path(spec.submodule_search_locations[0], *rest)
    candidates = [path / "__init__.py", path.with_suffix(".py")]
    return next((c for c in candidates if c.is_file()), None)

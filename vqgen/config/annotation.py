"""Whether a value from a yaml file may be an argument of a given annotation, without importing anything."""

import ast

_SCALARS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}
_LISTS = {"list", "List", "Sequence", "Iterable", "tuple", "Tuple"}
_MAPPINGS = {"dict", "Dict", "Mapping"}


def fits(value: object, annotation: ast.expr) -> bool:
    """Whether a plain value may be an argument annotated so; annotations that say nothing of it accept it."""
    match annotation:
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str() as quoted):
            return fits(value, ast.parse(quoted, mode="eval").body)
        case ast.BinOp(left=left, right=right):
            return fits(value, left) or fits(value, right)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return _fits_name(value, name, [])
        case ast.Subscript(value=generic, slice=inner):
            name = ast.unparse(generic).rpartition(".")[2]
            return _fits_name(value, name, inner.elts if isinstance(inner, ast.Tuple) else [inner])
    return True


def _fits_name(value: object, name: str, inner: list[ast.expr]) -> bool:
    if name in _SCALARS:
        return isinstance(value, _SCALARS[name]) and (name == "bool" or not isinstance(value, bool))
    if name == "Optional":
        return value is None or fits(value, inner[0])
    if name == "Union":
        return any(fits(value, kind) for kind in inner)
    if name == "Literal":
        return value in [ast.literal_eval(kind) for kind in inner]
    if name in _LISTS:
        fixed = name in ("tuple", "Tuple") and inner and ast.unparse(inner[-1]) != "..."
        return isinstance(value, list) and (
            len(value) == len(inner) and all(map(fits, value, inner)) if fixed
            else not inner or all(fits(item, inner[0]) for item in value)
        )
    if name in _MAPPINGS:
        return isinstance(value, dict)
    # Any other class: built from a nested _target_, or not ours to judge (an alias, a TypeVar).
    return name[0] == "_" or isinstance(value, dict) or name == "Any" or (name == "Path" and isinstance(value, str))

"""What models and data are asked for by what they can do."""

import ast

from tests.conftest import ROOT


def test_a_protocol_that_extends_another_is_runtime_checkable_itself():
    """From Python 3.12 on, what has None for a member is not told by the decorator of the other one."""
    lacking = [
        node.name
        for path in (ROOT / "vqgen").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and len(node.bases) > 1
        and any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)
        and not any(isinstance(one, ast.Name) and one.id == "runtime_checkable" for one in node.decorator_list)
    ]
    assert not lacking

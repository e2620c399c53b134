"""What a package names in `__all__` is what it says."""

import importlib
import inspect
import pkgutil

import pytest

import vqgen

PACKAGES = [found.name for found in pkgutil.walk_packages(vqgen.__path__, "vqgen.") if found.ispkg]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_name_of_a_face_is_hidden_by_a_module(package: str):
    face = importlib.import_module(package)
    hidden = [name for name in getattr(face, "__all__", []) if inspect.ismodule(getattr(face, name))]
    assert not hidden

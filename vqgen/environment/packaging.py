"""How a wheel is built: conf/, which stands at the top of the repository, goes into it as `vqgen/conf`."""

from pathlib import Path
from typing import NamedTuple

from setuptools.command.build_py import build_py


class Files(NamedTuple):
    """Files of a package that are no modules: relative to the folder where they are, and to the one where they go."""

    package: str
    source: str
    target: str
    names: list[str]


class BuildWithConf(build_py):
    """The step of setuptools that gathers packages and their data, for wheels and source archives."""

    def get_data_files_without_manifest(self) -> list[tuple[str, str, str, list[str]]]:
        """What a source archive holds beside the modules."""
        return [*super().get_data_files_without_manifest(), self._conf()]

    def _get_data_files(self) -> list[tuple[str, str, str, list[str]]]:
        """What a wheel holds beside the modules."""
        return [*super()._get_data_files(), self._conf()]

    def _conf(self) -> Files:
        names = [path.relative_to("conf").as_posix() for path in sorted(Path("conf").rglob("*.yaml"))]
        return Files("vqgen", "conf", str(Path(self.build_lib, "vqgen", "conf")), names)

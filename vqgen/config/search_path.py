"""Where configs are found: in the conf/ of vqgen, and in the folders that the user adds by Hydra's means.

Whatever has to know which choices there are asks here: the check of the words, near misses, --help, composition.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata, resources
from pathlib import Path
from typing import ClassVar

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException, MissingConfigException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from vqgen.config import resolvers  # noqa: F401  (conf/ calls them)
from vqgen.config.words import overrides_of, parse, value_of
from vqgen.environment.hydra_versions import VERSION_BASE
from vqgen.errors import ConfigError, near_miss

_PACKAGE = Path(__file__).resolve().parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"  # of a wheel, or of a checkout
NOT_GLOBAL = "what it says is about the whole config: its first line must be `# @package _global_`"
_NOT_OVERRIDDEN = re.compile(r"^In '((\w+)[^']*)': .*(?:override|Default for) '(\w[\w/]*)(?:@(\w+))?", re.DOTALL)
FOLDER = "VQGEN_CONFIG_DIR"  # variable of the environment: the --config-dir of command lines that give none


class SearchPath:
    """The folders in which Hydra looks for a config, of which the first that has it counts.

    Args:
        program: train or sample, whose root config conf/ has.
        words: ordered words of the command line, of which --config-dir, --config-name and hydra.searchpath count.

    Attributes:
        root: name of the root config.
        folders: conf/, and those of the user.

    Raises:
        ConfigError: a folder is not there, or has a config that would never be read.
    """

    def __init__(self, program: str, words: Sequence[str] = ()) -> None:
        self.program = program
        self.root = (value_of(words, "--config-name") or program).removesuffix(".yaml")
        own = value_of(words, "--config-dir")
        self._own = None if own is None else _folder("--config-dir", own)
        self._overrides = [word for word in overrides_of(words) if word.startswith("hydra.searchpath=")]
        self.folders = [CONF, *filter(None, [self._own])]
        self.folders += self._further()
        self._refuse_shadowed()

    @contextmanager
    def opened(self) -> Iterator["SearchPath"]:
        """Hydra with this search path, for `compose` and `choices`."""
        _OwnFolder.folder = self._own
        Plugins.instance().register(_OwnFolder)
        try:
            with initialize_config_dir(str(CONF), **VERSION_BASE):
                yield self
        finally:
            _OwnFolder.folder = None

    def compose(self, overrides: Sequence[str], with_hydra: bool = False) -> DictConfig:
        """The config that overrides make of the root, between `opened`.

        Raises:
            ConfigError: a file is not there or is no YAML.
            ConfigCompositionException: what they say does not go together.
        """
        further = [word for word in self._overrides if word not in overrides]
        try:
            return compose(self.root, [*further, *overrides], return_hydra_config=with_hydra)
        except MissingConfigException as error:
            raise self._missing(error) from None
        except ConfigCompositionException as error:
            raise self._not_overridden(error) or error from None
        except yaml.MarkedYAMLError as error:
            raise _of_yaml(error) from None
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self._not_utf8()}: this is no text in UTF-8 ({error.reason})") from None

    def choices(self, group: str) -> list[str]:
        """What can be chosen from a group, also from one of Hydra's own, between `opened`."""
        loader = GlobalHydra.instance().config_loader()
        return loader.get_group_options(group, config_name=self.root, overrides=list(self._overrides))

    def is_group(self, name: str) -> bool:
        """Whether there is a group of this name."""
        return any((folder / name).is_dir() for folder in self.folders) or name.startswith("hydra/")

    def roots(self) -> Mapping[str, Path]:
        """The root configs, by their names."""
        return {file.stem: file for folder in reversed(self.folders) for file in folder.glob("*.yaml")}

    def hint(self, group: str, name: str) -> str:
        """What to do where a choice is not found, but is in ./conf, or comes with a package that is not installed."""
        if any((folder / group / f"{name}.yml").is_file() for folder in self.folders):
            return f"; a config is a file in .yaml, and {name}.yml is not read"
        file = Path("conf", group, f"{name}.yaml")
        if self._own is None and file.is_file():
            return "; there is one in ./conf: --config-dir=conf"
        return plugin_hint(group, name) if group.startswith("hydra/") else ""

    def _further(self) -> list[Path]:
        """The folders of hydra.searchpath: of the command line, or else of the root config."""
        given: object = None
        if self._overrides:
            given = parse(self._overrides)[0].value()
        elif (root := self.roots().get(self.root)) is not None:
            given = OmegaConf.select(_loaded(root), "hydra.searchpath")
        if given is None:
            return []
        if not isinstance(given, Sequence) or isinstance(given, str) or not all(isinstance(one, str) for one in given):
            raise ConfigError(f"hydra.searchpath={given}: expected a list of folders: hydra.searchpath=[FOLDER]")
        return [_place(str(one)) for one in given]

    def _refuse_shadowed(self) -> None:
        """Raise ConfigError where a file of the user's has the name of one of ours, which is the one that is read."""
        if len(self.folders) == 1:
            return
        for ours in CONF.rglob("*.yaml"):
            name = ours.relative_to(CONF)
            for folder in self.folders[1:]:
                own = folder / name
                if own.is_file() and not own.samefile(ours) and own.read_bytes() != ours.read_bytes():
                    what = f"{name.parent}={name.stem}" if name.parent.name else name.stem
                    raise ConfigError(
                        f"'{own}' would never be read, as {what} of vqgen comes first: give it another name, "
                        "and take what is ours by its defaults list"
                    )

    def _not_overridden(self, error: ConfigCompositionException) -> ConfigError | None:
        """What is wrong with an `override` of a defaults list, where that is what the error is about."""
        if (found := _NOT_OVERRIDDEN.search(str(error))) is None:
            return None
        file, group, name, place = found.groups()
        if place == group:
            return ConfigError(f"{file}: {NOT_GLOBAL}")
        groups = {place.name for folder in self.folders for place in folder.glob("*/") if "/" not in name}
        return ConfigError(
            f"{file}: it overrides {name}, which no defaults list before it has{near_miss(name, groups)}"
        )

    def _not_utf8(self) -> str:
        """The first file of the user's that is no text."""
        for file in (file for folder in self.folders[1:] for file in sorted(folder.rglob("*.yaml"))):
            try:
                file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                return f"'{file}'"
        return "a config"

    def _missing(self, error: MissingConfigException) -> ConfigError:
        """Which config is not there, with the near miss."""
        missing = str(error.missing_cfg_file or "")
        if missing == self.root:
            return ConfigError(f"--config-name={missing}: there is no such config{near_miss(missing, self.roots())}")
        group, _, name = missing.rpartition("/")
        entry = f"{group}: {name}" if group else name
        return ConfigError(f"a defaults list has {entry}, which there is not{near_miss(name, error.options or ())}")


class _OwnFolder(SearchPathPlugin):
    """Puts the folder of --config-dir where Hydra puts it for a program, which `initialize_config_dir` cannot."""

    folder: ClassVar[Path | None] = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if self.folder is not None:
            search_path.append("command-line", f"file://{self.folder}")


def plugin_hint(group: str, name: str) -> str:
    """The extra that brings a launcher or sweeper of Hydra; nothing where it is installed, or none does."""
    plugin = f"hydra-{name.partition('_')[0]}-{group.rpartition('/')[2]}"
    ours = (line for one in metadata.distributions(name="vqgen") for line in one.requires or ())  # of a checkout: none
    needed = next((line for line in ours if line.startswith(plugin)), None)
    if needed is None or any(metadata.distributions(name=plugin)):
        return ""
    extra = needed.rpartition("extra == ")[2].strip("\"' ")
    return f"; pip install 'vqgen[{extra}]' brings it"


def with_own_folder(words: list[str]) -> list[str]:
    """Ordered words, with the --config-dir that the environment gives where they give none."""
    folder = os.environ.get(FOLDER)
    if not folder or value_of(words, "--config-dir") is not None:
        return words
    _folder(FOLDER, folder)
    return [f"--config-dir={folder}", *words]


def _folder(key: str, value: str) -> Path:
    """An absolute path of a folder that is there."""
    place = Path(value).resolve()
    if place.is_dir():
        return place
    siblings = [path.name for path in place.parent.glob("*/")] if place.parent.is_dir() else []
    what = "is no folder" if place.exists() else "is not there"
    raise ConfigError(f"{key}={value}: '{place}' {what}{near_miss(place.name, siblings) if not place.exists() else ''}")


def _place(entry: str) -> Path:
    """The folder that an entry of hydra.searchpath stands for."""
    scheme, separator, path = entry.rpartition("://")
    if scheme == "pkg":
        module = path.replace("/", ".").rstrip(".")
        try:
            return Path(str(resources.files(module)))
        except (ImportError, TypeError, ValueError):
            raise ConfigError(f"hydra.searchpath: {entry}: there is no package {module}") from None
    if separator and scheme != "file":
        raise ConfigError(f"hydra.searchpath: {entry}: expected FOLDER, file://FOLDER or pkg://PACKAGE")
    return _folder("hydra.searchpath", path)


def _loaded(file: Path) -> DictConfig:
    """A root config by itself."""
    try:
        config = OmegaConf.load(file)
    except yaml.MarkedYAMLError as error:
        raise _of_yaml(error) from None
    if not isinstance(config, DictConfig):
        raise ConfigError(f"'{file}': expected options by their names")
    return config


def _of_yaml(error: yaml.MarkedYAMLError) -> ConfigError:
    """Which file is no YAML, and where."""
    mark = error.problem_mark or error.context_mark
    place = f"'{mark.name}', line {mark.line + 1}, column {mark.column + 1}" if mark else "a config"
    return ConfigError(f"{place}: this is no YAML: {error.problem or error.context}")

"""The user's own configs: found by Hydra's means, listed, checked, and told of in one line where they are wrong."""

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins
from omegaconf import DictConfig

from tests.conftest import ROOT, TINY, Command
from vqgen.config.check import check
from vqgen.config.help import help_text
from vqgen.config.overrides import preflight
from vqgen.config.search_path import CONF, FOLDER, SearchPath, with_own_folder
from vqgen.config.words import completed, ordered
from vqgen.errors import ConfigError

GLOBAL = "# @package _global_\n"
FILES = {
    "model/narrow.yaml": "# a narrow VQ-VAE\ndefaults:\n  - vqvae\n  - _self_\nquantizer:\n  num_embeddings: 16\n",
    "experiment/mine.yaml": f"{GLOBAL}# my experiment\ndefaults:\n  - override /model: narrow\noptim:\n  lr: 0.5\n",
    "experiment/deep/er.yaml": f"{GLOBAL}# further down\nseed: 7\n",
    "hydra/launcher/mine.yaml": "# my launcher\n_target_: hydra._internal.core_plugins.basic_launcher.BasicLauncher\n",
    "mine.yaml": "# my root\ndefaults:\n  - train\n  - override model: narrow\n  - _self_\n\nseed: 5   # my seed\n",
}


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of configs, with a space in its name, seen from the folder beside it."""
    monkeypatch.delenv(FOLDER, raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return written(tmp_path / "my configs", FILES)


def composed(*words: str) -> DictConfig:
    """What the words make, after all checks of them."""
    typed = ordered(words)
    found: list[DictConfig] = []
    preflight(SearchPath("train", typed), typed, lambda cfg: (check(cfg), found.append(cfg))[0])
    return found[0]


@pytest.mark.parametrize(
    "way",
    [
        ["--config-dir=../my configs"],
        ["-cd", "../my configs"],
        ["hydra.searchpath=['../my configs']"],
        ["hydra.searchpath=['file://../my configs']"],
    ],
)
def test_own_configs_are_found_by_every_way(own: Path, way: list[str]):
    cfg = composed(*way, "experiment=mine")
    assert (cfg.model.quantizer.num_embeddings, cfg.optim.lr) == (16, 0.5)
    assert composed(*way, "experiment=deep/er").seed == 7
    with pytest.raises(ConfigError, match=r"experiment=mne: there is no such choice \(did you mean mine\?\)"):
        composed(*way, "experiment=mne")
    with pytest.raises(ConfigError, match=r"hydra/launcher=min: there is no such choice \(did you mean mine\?\)"):
        composed(*way, "hydra/launcher=min")


def test_a_package_holds_configs_too(own: Path, monkeypatch: pytest.MonkeyPatch):
    written(own.parent / "here", {"ownconfigs/__init__.py": "", "ownconfigs/conf/__init__.py": ""})
    written(own.parent / "here" / "ownconfigs" / "conf", FILES)
    monkeypatch.syspath_prepend(str(own.parent / "here"))
    assert composed("hydra.searchpath=[pkg://ownconfigs.conf]", "model=narrow").model.quantizer.num_embeddings == 16
    with pytest.raises(ConfigError, match=r"pkg://nowhere\.conf: there is no package nowhere\.conf"):
        composed("hydra.searchpath=[pkg://nowhere.conf]")


def test_a_root_of_ones_own_is_composed_and_says_where_to_look_further(own: Path):
    cfg = composed("--config-dir=../my configs", "--config-name=mine")
    assert (cfg.seed, cfg.model.quantizer.num_embeddings) == (5, 16)
    written(own.parent / "further", {"model/wide.yaml": "defaults:\n  - vqvae\n  - _self_\nshape: [3, 64, 64]\n"})
    written(own, {"more.yaml": "defaults:\n  - mine\n  - _self_\nhydra:\n  searchpath: [../further]\n"})
    assert composed("--config-dir=../my configs", "--config-name=more", "model=wide").model.shape == [3, 64, 64]
    with pytest.raises(ConfigError, match=r"model=wid: there is no such choice \(did you mean wide\?\)"):
        composed("--config-dir=../my configs", "--config-name=more", "model=wid")
    with pytest.raises(ConfigError, match=r"--config-name=mne: there is no such config \(did you mean mine\?\)"):
        composed("--config-dir=../my configs", "--config-name=mne")


def test_the_environment_stands_for_the_flag(own: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(FOLDER, str(own))
    assert with_own_folder(["seed=1"]) == [f"--config-dir={own}", "seed=1"]
    assert with_own_folder(["--config-dir=x"]) == ["--config-dir=x"]
    monkeypatch.setenv(FOLDER, "nowhere")
    with pytest.raises(ConfigError, match=rf"{FOLDER}=nowhere: '.*/here/nowhere' is not there"):
        with_own_folder([])


def test_no_folder_is_taken_unasked_but_named(own: Path):
    written(Path("conf"), FILES)
    with pytest.raises(ConfigError, match=r"experiment=mine: .*; there is one in \./conf: --config-dir=conf$"):
        composed("experiment=mine")


WRONG = {
    "mine.yaml": ("seed: 3\n", r"experiment=NAME: .* first line must be `# @package _global_`"),
    "here.yaml": ("defaults:\n  - override /model: vae\n", r"experiment/here: .* must be `# @package _global_`"),
    "key.yaml": (f"{GLOBAL}model:\n  quantizer:\n    epsilom: 3\n", r"did you mean epsilon\?"),
    "top.yaml": (f"{GLOBAL}optm:\n  lr: 3\n", r"optm=.*did you mean optim\?"),
    "yaml.yaml": (
        f"{GLOBAL}seed: [1\nfoo: 3\n",
        r"my configs/experiment/yaml\.yaml', line 3, column .*: this is no YAML",
    ),
    "bytes.yaml": ("\udcff", r"'.*/my configs/experiment/bytes\.yaml': this is no text in UTF-8"),
    "choice.yaml": (f"{GLOBAL}defaults:\n  - override /model: vqave\n", r"has model: vqave, .*did you mean vqvae\?"),
    "group.yaml": (
        f"{GLOBAL}defaults:\n  - override /modl: vae\n",
        r"experiment/group: it overrides modl, .*mean model\?",
    ),
    "chdir.yaml": (f"{GLOBAL}hydra:\n  job:\n    chdir: true\n", r"hydra\.job\.chdir=true: .* does not leave"),
    "class.yaml": (f"{GLOBAL}model:\n  _target_: nowhere.Model\n", r"model\._target_=nowhere\.Model: there is no such"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_in_a_file_is_named(own: Path, name: str):
    text, message = WRONG[name]
    file = own / "experiment" / name
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=message):
        composed("--config-dir=../my configs", f"experiment={file.stem}")


def test_a_file_that_would_never_be_read_is_refused_and_a_copy_is_not(own: Path):
    written(own, {"model/vqvae.yaml": (CONF / "model" / "vqvae.yaml").read_text()})
    composed("--config-dir=../my configs", "model=vqvae")
    written(own, {"model/vqvae.yaml": "# other\n"})
    with pytest.raises(ConfigError, match=r"my configs/model/vqvae\.yaml' would never be read, as model=vqvae"):
        composed("--config-dir=../my configs")


REFUSED = {
    "--config-dir=../my confgs": r"'.*/my confgs' is not there \(did you mean my configs\?\)",
    "hydra.searchpath=[nowhere]": r"hydra\.searchpath=nowhere: '.*/here/nowhere' is not there",
    "hydra.searchpath=nowhere": r"expected a list of folders: hydra\.searchpath=\[FOLDER\]",
    "--config-path=x": r"--config-dir=FOLDER adds yours",
    "--experimental-rerun=x": r"resume=RUN",
    "--confg-dir=x": r"--confg-dir=x: there is no such flag \(did you mean --config-dir\?\)",
    "--cfg=jb": r"--cfg=jb: there is no such choice \(did you mean job\?\)",
    "--config-dir=": r"--config-dir=VALUE is needed",
    "--cfg=": r"--cfg=VALUE is needed \(there are: all, hydra, job\)",
    "--cfg": r"--cfg=VALUE is needed \(there are: all, hydra, job\)",
    "--resolve": r"--resolve: only beside --cfg",
    "--multirun=3": r"--multirun takes no value",
    "hydra.job.chdir=true": r"hydra\.job\.chdir=true: .* does not leave it",
    "hydra.run.dri=x": r"hydra\.run\.dri=x: there is no option hydra\.run\.dri \(did you mean hydra\.run\.dir\?\)",
    "hydra/sweeper=basc": r"hydra/sweeper=basc: there is no such choice \(did you mean basic\?\)",
}


@pytest.mark.parametrize(("word", "message"), REFUSED.items())
def test_what_hydra_is_told_wrongly_is_one_line(own: Path, word: str, message: str):
    with pytest.raises(ConfigError, match=message):
        composed(word)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["seed=1", "-c", "job"], ["--cfg=job", "seed=1"]),
        (["-i", "seed=1"], ["--info=all", "seed=1"]),
        (["--info", "searchpath"], ["--info=searchpath"]),
        (["a=1", "-m", "b=2"], ["--multirun", "a=1", "b=2"]),
        (["--info", "~model", "seed=1"], ["--info=all", "~model", "seed=1"]),
        (["-cn", "x", "-cd=a b"], ["--config-name=x", "--config-dir=a b"]),
    ],
)
def test_flags_come_first_in_one_form(words: list[str], expected: list[str]):
    assert ordered(words) == expected


def test_flags_that_contradict_are_one_line():
    with pytest.raises(ConfigError, match=r"--config-dir=a --config-dir=b: give only one of these"):
        ordered(["--config-dir=a", "-cd", "b"])
    with pytest.raises(ConfigError, match=r"--info=plugin: there is no such choice \(did you mean plugins\?\)"):
        ordered(["--info", "plugin"])
    with pytest.raises(ConfigError, match=r"--multirun --info: give only one of these"):
        ordered(["-m", "--info"])


def test_a_plugin_that_is_not_installed_is_named_with_what_brings_it(own: Path, monkeypatch: pytest.MonkeyPatch):
    known = Plugins.instance().class_name_to_class
    monkeypatch.setattr(Plugins.instance(), "class_name_to_class", {k: v for k, v in known.items() if "ray" not in k})
    installed = metadata.distributions
    monkeypatch.setattr(metadata, "distributions", lambda name: installed(name=name) if name == "vqgen" else [])
    Path("conf").symlink_to(CONF)  # as in a checkout
    with pytest.raises(ConfigError, match=r"hydra/launcher=ray_cluster: .*; pip install 'vqgen\[ray\]' brings it$"):
        composed("hydra/launcher=ray_cluster")
    written(own, {"hydra/sweeper/far.yaml": "_target_: nowhere.Sweeper\n"})
    with pytest.raises(ConfigError, match=r"^hydra/sweeper=far: Hydra has no plugin nowhere\.Sweeper; is it installed"):
        composed("--config-dir=../my configs", "hydra/sweeper=far")
    monkeypatch.setattr(metadata, "distributions", lambda name: [])  # vqgen itself is a checkout alone
    with pytest.raises(ConfigError, match=r"hydra/launcher=joblb: there is no such choice \("):
        composed("hydra/launcher=joblb")


def test_help_lists_what_is_the_users(own: Path):
    search_path = SearchPath("train", ["--config-dir=../my configs", "--config-name=mine"])
    text = help_text(search_path.folders, search_path.root, "train")
    assert text.startswith("my root\n")
    for name, comment in {"narrow": "a narrow VQ-VAE", "mine": "my experiment", "seed=5": "my seed"}.items():
        assert f"  {name:<24} {comment}\n" in text
    assert text.count("seed=") == 1
    only = help_text(search_path.folders, "train", "train", ["model"])
    assert only.startswith("model=NAME\n")
    assert "experiment=NAME" not in only
    with pytest.raises(ConfigError, match=r"modl --help: there is no such group \(did you mean model\?\)"):
        help_text(search_path.folders, "train", "train", ["modl"])


def test_a_question_for_completion_knows_the_folder_of_the_line(own: Path, monkeypatch: pytest.MonkeyPatch):
    asked = ["-sc", "query=bash"]
    for line, expected in {
        f"vqgen-train --config-dir={own.parent} experiment=m": [f"--config-dir={own.parent}"],
        f"vqgen-train -cd {own.parent} ": [f"--config-dir={own.parent}"],
        "vqgen-train --config-dir=nowhere experiment=m": [],
        f"vqgen-train --config-dir={own.parent}": [],  # still being typed
    }.items():
        monkeypatch.setenv("COMP_LINE", line)
        assert completed(asked) == [*asked, *expected]
        assert completed(["seed=1"]) == ["seed=1"]


def completion(program: Sequence[str], line: str, cwd: Path) -> list[str]:
    """What bash offers for a line by Hydra's own function."""
    script = f"""
eval "$({" ".join(program)} -sc install=bash)"
COMP_LINE={line!r}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); COMP_POINT=${{#COMP_LINE}}
hydra_bash_completion; echo "${{COMPREPLY[@]}}"
"""
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], cwd=cwd, env=env, capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout.split()


def test_the_tab_key_completes_the_users_choices(tmp_path: Path):
    (tmp_path / "train.py").symlink_to(ROOT / "train.py")  # Hydra looks for it in the current folder
    own = written(tmp_path / "own", FILES)
    python = ("python", "train.py")
    assert completion(python, f"python train.py --config-dir={own} experiment=mi", tmp_path) == ["experiment=mine"]
    assert completion(python, "python train.py model=pixels", tmp_path) == ["model=pixels", "model=pixelsnail"]


@pytest.mark.slow
def test_a_run_of_own_configs_goes_on_without_them_and_shows_its_own(command: Command, own: Path, tmp_path: Path):
    words = [f"--config-dir={own}", "experiment=mine", "logger=csv", "trainer.max_epochs=1"]
    done = command("train.py", *TINY[:-3], "hardware=cpu", *words, "run_dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = command("train.py", "resume=run", "--cfg=job", cwd=tmp_path).stdout
    assert "lr: 0.5" in shown
    done = command("train.py", "resume=run", "trainer.max_epochs=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = command("train.py", "resume=run", "--info", cwd=tmp_path)
    assert (
        done.stderr
        == "error: --info=all: beside resume=RUN there is --cfg=job alone, which shows the config of the run\n"
    )

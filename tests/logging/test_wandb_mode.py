"""Whether W&B sends a run is what its client finds: wherever credentials are kept, and never by a question."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from vqgen.errors import ConfigError
from vqgen.logging.of_run import name_run
from vqgen.logging.wandb_mode import wandb_mode

KEY = 40 * "a"
EMPTY = ("API_KEY", "BASE_URL", "RUN_ID", "SILENT", "DISABLED", "PROJECT", "RESUME")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own, and no word of W&B in the environment or in the process."""
    import wandb
    from wandb.sdk.lib.wbauth import unauthenticate_session

    def forget() -> None:
        wandb.teardown()
        unauthenticate_session(update_settings=False)

    for name in [*filter(lambda name: name.startswith("WANDB_"), os.environ), "NETRC"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    forget()
    yield tmp_path
    forget()


def logged_in(file: Path, host: str, mode: int = 0o600) -> None:
    file.write_text(f"machine {host}\n  login user\n  password {KEY}\n")
    file.chmod(mode)


def default_host() -> str:
    import wandb

    mode, reason = wandb_mode()
    found = re.fullmatch(r"no credentials for https://(.*): `wandb login` or WANDB_API_KEY has it sent", str(reason))
    assert mode == "offline"
    assert found
    wandb.teardown()
    return found[1]


def test_what_wandb_login_has_written_is_found(home: Path):
    """Under whatever host the client writes it, and with the rights that many such files have."""
    logged_in(home / ".netrc", default_host(), 0o644)
    assert wandb_mode() == ("online", None)


def test_a_key_of_the_older_host_is_found(home: Path):
    logged_in(home / ".netrc", "api.wandb.ai")
    assert wandb_mode() == ("online", None)


def test_netrc_names_the_file(home: Path, monkeypatch: pytest.MonkeyPatch):
    logged_in(home / "mine", "api.wandb.ai")
    assert wandb_mode().mode == "offline"
    monkeypatch.setenv("NETRC", str(home / "mine"))
    assert wandb_mode() == ("online", None)


def test_a_server_of_ones_own_needs_its_own_key(home: Path):
    """As `wandb login --host` leaves it."""
    (home / ".config" / "wandb").mkdir(parents=True)
    (home / ".config" / "wandb" / "settings").write_text("[default]\nbase_url = https://wandb.example.org\n")
    logged_in(home / ".netrc", "api.wandb.ai")
    mode, reason = wandb_mode()
    assert mode == "offline"
    assert "no credentials for https://wandb.example.org:" in str(reason)
    logged_in(home / ".netrc", "wandb.example.org")
    assert wandb_mode() == ("online", None)


@pytest.mark.parametrize(
    ("name", "value", "mode", "reason"),
    [
        ("WANDB_API_KEY", KEY, "online", None),
        ("WANDB_API_KEY", "short", "offline", "its credentials cannot be used: WANDB_API_KEY invalid: API key must"),
        ("WANDB_MODE", "offline", "offline", "WANDB_MODE=offline"),
        ("WANDB_MODE", "dryrun", "dryrun", "WANDB_MODE=dryrun"),
        ("WANDB_MODE", "disabled", "disabled", "WANDB_MODE=disabled"),
        ("WANDB_MODE", "online", "offline", "no credentials for "),  # instead of a question
        ("WANDB_MODE", "", "offline", "no credentials for "),
        ("WANDB_DISABLED", "true", "disabled", "WANDB_DISABLED=true"),
        ("WANDB_DISABLED", "false", "offline", "no credentials for "),
        *[(f"WANDB_{name}", "", "offline", "no credentials for ") for name in EMPTY],
    ],
)
def test_a_variable_decides(name: str, value: str, mode: str, reason: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, value)
    found = wandb_mode()
    assert found.mode == mode
    assert found.reason is None if reason is None else str(found.reason).startswith(reason)


def test_wandb_offline_is_heeded(home: Path):
    (home / ".config" / "wandb").mkdir(parents=True)
    (home / ".config" / "wandb" / "settings").write_text("[default]\nmode = offline\n")
    logged_in(home / ".netrc", "api.wandb.ai")
    assert wandb_mode() == ("offline", "`wandb offline`")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("WANDB_MODE", "onlin", "W&B: WANDB_MODE=onlin: Input should be 'online', 'offline'"),
        ("WANDB_BASE_URL", "foo", "W&B: WANDB_BASE_URL=foo: Input should be a valid URL"),
        ("WANDB_SILENT", "maybe", "W&B: WANDB_SILENT=maybe: Input should be a valid boolean"),
        ("WANDB_RUN_ID", "a/b", "W&B: WANDB_RUN_ID: Run ID cannot contain"),
        ("WANDB_API_KEY", f" {KEY}", "W&B: WANDB_API_KEY: API key cannot start or end with whitespace"),
        ("WANDB_DISABLED", "maybe", "W&B: WANDB_DISABLED=maybe: take true or false"),
    ],
)
def test_a_wrong_variable_is_told_before_anything_is_read(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=rf"^{told}"):
        name_run(OmegaConf.create({"logger": {"w": {"_target_": "vqgen.logging.Wandb"}}, "project": "p"}))


def test_a_run_id_names_one_run_and_a_name_with_the_job_all_of_a_sweep(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_RUN_ID", "mine")

    def named(in_sweep: bool) -> tuple[str, str]:
        node = {"_target_": "vqgen.logging.Wandb", "id": None, "name": "${oc.env:WANDB_NAME}"}
        cfg = OmegaConf.create({"logger": {"w": node}, "project": "p", "run_dir": "multirun/x/3"})
        name_run(cfg, in_sweep)
        plain = OmegaConf.to_container(cfg, resolve=False)
        assert isinstance(plain, dict)
        return plain["logger"]["w"]["id"], plain["logger"]["w"]["name"]

    monkeypatch.setenv("WANDB_NAME", "night")
    assert named(False) == ("mine", "night")  # plain words, which a run that goes on finds again
    (one, name), (two, _) = named(True), named(True)
    assert name == "night-3"
    assert len({one, two, "mine"}) == 3

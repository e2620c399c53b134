"""The dashboard for W&B shows figures that runs do log."""

import csv
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, TINY_PRIOR, Command

SCRIPT = ROOT / "docs" / "wandb_dashboard.py"
SHORT = [
    "data.size=16",
    "data.num_train=32",
    "data.num_val=16",
    "data.num_test=16",
    "data.batch_size=16",
    "hardware=cpu",
    "trainer.max_epochs=1",
    "trainer.log_every_n_steps=1",
    "logger=csv",
    "trainer.enable_progress_bar=false",
]
MODELS = {
    "vae": ["model=vae", "model.encoder.hidden_channels=[8,8]", "model.decoder.hidden_channels=[8,8]", "optim=adamw"],
    "vqvae": [],
    "gradient": ["model/quantizer=gradient"],
    "levels": ["model=vqvae2_3level", "data.size=32", "model.hidden_channels=8", "model.residual_channels=8"],
}


def panels() -> list[dict[str, Any]]:
    pytest.importorskip("wandb_workspaces")
    workspace = runpy.run_path(str(SCRIPT))["dashboard"]("entity", "project")
    sent = workspace._to_model().model_dump(by_alias=True)  # without an account, as it would be sent
    return [
        panel["config"]
        for section in sent["spec"]["section"]["panelBankConfig"]["sections"]
        for panel in section["panels"]
    ]


def keys(panel: dict[str, Any]) -> list[str]:
    return (panel.get("metrics") or []) + (panel.get("mediaKeys") or [])


def test_every_panel_shows_something():
    assert len(panels()) >= 12
    for panel in panels():
        assert keys(panel), panel


@pytest.mark.long
@pytest.mark.slow
def test_every_figure_of_the_dashboard_is_logged_by_a_run(command: Command, vqvae_run: Path, tmp_path: Path):
    runs = {name: [*SHORT, *words] for name, words in MODELS.items()}
    runs["prior"] = [
        "model=gated_pixelcnn",
        f"tokenizer={vqvae_run}",
        *TINY_PRIOR,
        "trainer.log_every_n_steps=1",
        "trainer.max_epochs=1",
        "logger=csv",
    ]
    logged = set()
    for name, words in runs.items():
        done = command("train.py", *words, f"run_dir={tmp_path / name}")
        assert done.returncode == 0, done.stderr
        with (tmp_path / name / "metrics.csv").open(newline="") as lines:
            logged |= set(csv.DictReader(lines).fieldnames or [])
        logged |= {f"val/{picture.stem.rpartition('_')[0]}" for picture in (tmp_path / name / "images").iterdir()}
    shown = {key for panel in panels() for key in keys(panel)}
    assert shown <= logged, shown - logged


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["project"], "error: a dashboard needs a W&B account"),
        ([], "usage: "),
    ],
)
def test_without_an_account_or_project_one_line_says_so(words: list[str], message: str, tmp_path: Path):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")} | {"HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        env=clean | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1

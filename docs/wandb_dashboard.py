"""Build a dashboard for a project in W&B: python docs/wandb_dashboard.py PROJECT, or ENTITY/PROJECT.

Needs `pip install vqgen[dashboard]` and a W&B account (WANDB_API_KEY, or wandb login). Panels whose figures a run does
not have stay empty, so that one dashboard serves tokenizers, VAEs and priors.
"""

import sys
from typing import Any

from vqgen.logging.wandb_mode import wandb_mode

STEP = "trainer/global_step"
LEVELS = ("", "_top", "_middle", "_bottom")
LINES = {  # section, title of a panel, and what it shows
    "Losses": {
        "Loss": ["train/loss", "val/loss"],
        "Reconstruction": ["train/recon_loss", "val/recon_loss"],
        "Commitment of each level": [f"val/commitment_loss{level}" for level in LEVELS],
        "Codebook (of a gradient quantizer)": ["train/codebook_loss", "val/codebook_loss"],
        "KL in nats": ["train/kl", "val/kl"],
        "Prior: nats a code": ["val/nats_per_code", "val/code_entropy"],
        "Prior: accuracy": ["train/accuracy", "val/accuracy"],
        "PSNR in dB": ["val/psnr"],
    },
    "Codebooks": {
        "Perplexity of each level": [f"val/perplexity{level}" for level in LEVELS],
        "Part of the codebook in use": [f"val/codebook_usage{level}" for level in LEVELS],
    },
    "Training": {
        "Learning rate": ["lr-Adam", "lr-AdamW/rest"],
        "Gradient norm": ["train/grad_norm"],
        "Images a second": ["train/images_per_second"],
    },
}
PICTURES = ["val/reconstructions", "val/samples", "val/latentsamples"]


def dashboard(entity: str, project: str) -> Any:
    """The definition: sections of panels over the optimiser's steps; W&B adds panels of all else that is logged."""
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    sections = [
        ws.Section(name, [wr.LinePlot(title=title, x=STEP, y=list(keys)) for title, keys in panels.items()], True)
        for name, panels in LINES.items()
    ]
    pictures = [wr.MediaBrowser(title=key.removeprefix("val/"), media_keys=[key]) for key in PICTURES]
    sections.insert(1, ws.Section("Pictures", pictures, True))
    return ws.Workspace(entity=entity, project=project, name="vqgen", sections=sections, auto_generate_panels=True)


def main() -> None:
    """Save the dashboard in the project, and say where it is."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python docs/wandb_dashboard.py PROJECT (or ENTITY/PROJECT)")
    if wandb_mode().mode != "online":
        sys.exit("error: a dashboard needs a W&B account: set WANDB_API_KEY, or run `wandb login`")
    entity, _, project = sys.argv[1].rpartition("/")
    try:
        import wandb

        print(dashboard(entity or wandb.Api().default_entity, project).save().url)
    except ImportError:
        sys.exit("error: a dashboard needs wandb-workspaces: pip install vqgen[dashboard]")
    except Exception as error:
        sys.exit(f"error: W&B did not take the dashboard: {(str(error) or type(error).__name__).splitlines()[0]}")


if __name__ == "__main__":
    main()

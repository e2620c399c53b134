"""Serve the page of a tiny run, for a browser: python -m tests.tasks.served vqvae2|vae PORT."""

import sys

from tests.tasks import tiny
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.explore.page import Page
from vqgen.tasks.explore.server import serve
from vqgen.tasks.words import Opened

STRANGE = "<script>document.title=7</script>"
"""The name of a class of a run that is not to be trusted."""


def run(kind: str) -> TrainedRun:
    found = tiny.trained(tiny.latent_model()) if kind == "vae" else tiny.trained(tiny.vqvae2(), tiny.priors(6))
    return found._replace(class_names=[STRANGE, *found.class_names[1:]])


if __name__ == "__main__":
    serve(Page(run(sys.argv[1]), Opened("runs/x")).build, "x", int(sys.argv[2]), browser=False)

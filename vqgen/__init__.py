"""vqgen: autoencoders and discrete-latent image models on PyTorch Lightning and Hydra.

from vqgen import load
model = load("runs/my_run")
x_hat = model.reconstruct(x)

from vqgen import open_trained
from vqgen.tasks.sample import Sample
Sample(num_samples=4)(open_trained("runs/my_prior")).plots["samples_labelled"]
"""

import logging
from typing import Any

logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)  # torch 2.14 tells all that there is no Triton

__all__ = ["load", "open_trained"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: the command line checks its config before torch is loaded.
    if name == "load":
        from vqgen.runs.checkpoint import load

        return load
    if name == "open_trained":
        from vqgen.runs.opening import open_trained

        return open_trained
    raise AttributeError(f"module 'vqgen' has no attribute {name!r}")

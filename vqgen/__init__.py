"""vqgen: autoencoders and discrete-latent image models on PyTorch Lightning and Hydra.

from vqgen import load
model = load("runs/my_run")
x_hat = model.reconstruct(x)
"""

from typing import Any

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: the command line checks its config before torch is loaded.
    if name == "load":
        from vqgen.checkpoint import load

        return load
    raise AttributeError(f"module 'vqgen' has no attribute {name!r}")

"""Where figures and pictures of a run go: CSV, W&B, TensorBoard."""

from vqgen.logging.loggers import CSV, TensorBoard, Wandb

__all__ = [
    "CSV",
    "TensorBoard",
    "Wandb",
]

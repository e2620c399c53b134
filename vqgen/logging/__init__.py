"""Where figures and pictures of a run go: CSV, W&B, TensorBoard, MLflow, Trackio."""

from vqgen.logging.loggers import CSV, TensorBoard, Wandb
from vqgen.logging.mlflow import MLflow
from vqgen.logging.trackio import Trackio

__all__ = [
    "CSV",
    "MLflow",
    "TensorBoard",
    "Trackio",
    "Wandb",
]

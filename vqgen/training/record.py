"""The record that a checkpoint holds beside Lightning's own entries, and the random numbers of each rank."""

import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from vqgen.devices import rng_state, set_rng_state
from vqgen.logging.protocols import RowCounter
from vqgen.nn.distributed import of_all_ranks
from vqgen.plain import PlainDict
from vqgen.runs.version import code_version
from vqgen.training.last import between_steps, ends_an_epoch


class Record(pl.Callback):
    """Puts into every checkpoint what Lightning leaves out: the config, the tokenizer, the data, the random state.

    Every rank builds its weights from the run's seed, and from the first step on draws its own noise, dropout and label
    dropout (rank 0: those of a single process).

    Args:
        config: the resolved config as plain containers.
        tokenizer: path and fingerprint of a prior's tokenizer.
        data: what the run has read (vqgen.runs.provenance).
        words: the options that the run was started with.
    """

    def __init__(
        self, config: PlainDict, tokenizer: dict[str, str] | None, data: PlainDict, words: Sequence[str] = ()
    ) -> None:
        self.config, self.tokenizer, self.data, self.words = config, tokenizer, data, list(words)
        self._random_states: list[PlainDict] = []  # of a resumed run, by rank
        self._places: list[dict[str, int]] = []
        self._between_epochs = False

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: PlainDict) -> None:
        """Add the entry `vqgen`."""
        between_steps(checkpoint)
        rows = {
            type(logger).__name__: logger.rows_before(trainer.global_step)
            for logger in trainer.loggers
            if isinstance(logger, RowCounter)
        }
        checkpoint["vqgen"] = {
            "config": self.config,
            "tokenizer": self.tokenizer,
            "data": self.data,
            "words": self.words,
            "random_states": of_all_ranks(_random_state(pl_module.device)),
            "logged_rows": rows,
            "code_version": code_version(),
        }

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: PlainDict) -> None:
        """Keep the random states until training starts, as setting up draws numbers too, and the place in the epoch.

        Lightning knows the best checkpoint by its absolute path, which follows the run folder.
        """
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and (state := checkpoint["callbacks"].get(callback.state_key)):
                checkpoint["callbacks"][callback.state_key] = moved(state, str(callback.dirpath))
        self._between_epochs = ends_an_epoch(checkpoint)
        self._places = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader", [])
        self._random_states = checkpoint["vqgen"]["random_states"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set the batch and the random state of the interrupted run, or seed this rank's own random numbers.

        Lightning gives the loader its place only if nothing asked for the loader before, as a schedule does; and where
        `max_steps` is given, it would take the batches of an epoch that is over for batches of the next.
        """
        if self._between_epochs:
            trainer.fit_loop.epoch_loop.restarting = False
        for place in self._places:
            assert trainer.train_dataloader is not None
            trainer.train_dataloader.load_state_dict(place)
        rank, states = trainer.global_rank, self._random_states
        if states and len(states) != trainer.world_size:
            rank_zero_warn(
                f"the run had {len(states)} process{'es' * (len(states) > 1)} and goes on with {trainer.world_size}: "
                "its noise and dropout are from here on not those of a run that was not interrupted"
            )
        if rank > 0 or states:  # a device of another kind than the saved one's has no state to go on with
            _seed(self.config["seed"], rank, trainer.global_step)
        if rank < len(states) and not (rank > 0 and torch.equal(states[rank]["torch"], states[0]["torch"])):
            _set_random_state(states[rank], pl_module.device)  # older runs saved one state for all ranks


def moved(state: PlainDict, folder: str) -> PlainDict:
    """The state of a ModelCheckpoint with its files in `folder`, whatever folder they were in."""

    def here(path: str) -> str:
        within = os.path.relpath(path or ".", state["dirpath"])
        return path and str(Path(folder, Path(path).name if ".." in Path(within).parts else within))

    paths = ("best_model_path", "kth_best_model_path", "last_model_path")
    best = {here(path): score for path, score in state["best_k_models"].items()}
    return state | {name: here(state[name]) for name in paths} | {"best_k_models": best, "dirpath": folder}


def _random_state(device: torch.device) -> PlainDict:
    of_device = rng_state(device)
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (kind, np.asarray(keys).tolist(), int(position), int(has_gauss), float(gauss)),
        "torch": torch.get_rng_state(),
        "cuda": [],
        **({} if of_device is None else {device.type: [of_device]}),
    }


def _seed(*key: int) -> None:
    """Seed all generators by a key of several numbers."""
    seeds = np.random.SeedSequence(key).generate_state(3)
    random.seed(int(seeds[0]))
    np.random.seed(seeds[1])
    torch.manual_seed(int(seeds[2]))


def _set_random_state(state: PlainDict, device: torch.device) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if states := state.get(device.type):  # one, or in an older run those of all GPUs
        set_rng_state(states[min(device.index or 0, len(states) - 1)], device)

"""Training in which each process keeps a part of every weight: fully sharded data parallelism (arXiv 2304.11277)."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer
from torch.optim.optimizer import StateDict

from vqgen.environment.compat import average_model, is_compiled
from vqgen.errors import ConfigError
from vqgen.nn.distributed import rank
from vqgen.nn.priors import Layered
from vqgen.optim.composite import Composite
from vqgen.training.averaged_weights import AveragedWeights

NAME = "fully_sharded"
"""What `hardware.strategy` calls it; `fsdp` is Lightning's own, which needs a GPU."""


class FullySharded(DDPStrategy):
    """Of every weight, its gradient and its moments, each of W processes keeps one W-th.

    The weights of a layer are whole, on every process, while it computes. A step is that of DDP, to rounding; a
    checkpoint is that of one device, and so is what draws and measures in training, on rank 0 (`on_rank_zero`).
    """

    _weightless: nn.Module  # the model as it was before its weights were divided, with none

    def connect(self, model: pl.LightningModule) -> None:
        """Take the model; ConfigError where it cannot be trained in parts."""
        check(model, str(self.precision_plugin.precision))
        super().connect(model)

    def setup(self, trainer: pl.Trainer) -> None:
        """Divide the weights, which are those of one device until now, also from a checkpoint, and then train them."""
        assert self.accelerator is not None
        assert self.lightning_module is not None
        self.accelerator.setup(trainer)
        if fitting := trainer.state.fn == TrainerFn.FITTING:
            self._weightless = without_weights(self.lightning_module)
            mesh = init_device_mesh(self.root_device.type, (self.world_size,))
            for model in (self.lightning_module, *_averages(trainer)):
                shard(model, mesh)
            _tell_share(self.lightning_module, self.world_size)
        self.model_to_device()
        if fitting:
            self.setup_optimizers(trainer)
            _tell_untried(self.optimizers)
        self.setup_precision_plugin()

    def teardown(self) -> None:
        """Leave the parts where they are: Lightning would take them to the CPU, and a test follows."""
        assert self.accelerator is not None
        assert self.cluster_environment is not None
        for part in (self.cluster_environment, self.precision_plugin, self.accelerator):
            part.teardown()

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Write what one device would."""
        super().save_checkpoint(gathered(checkpoint), filepath, storage_options)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Take whole weights, of which this process may keep its part."""
        assert self.lightning_module is not None
        options = StateDictOptions(full_state_dict=True, strict=strict)
        set_model_state_dict(self.lightning_module, dict(checkpoint["state_dict"]), options=options)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take this process's part of a whole state."""
        for optimizer in self.optimizers:
            optimizer.register_load_state_dict_pre_hook(divided)  # after parameters are found by their names
        super().load_optimizer_state_dict(checkpoint)

    def whole_model(self) -> pl.LightningModule | None:
        """The model with whole weights on rank 0, and None on the others, which must ask, too."""
        assert self.lightning_module is not None
        weights = gathered(self.lightning_module.state_dict())
        if not self.is_global_zero:
            return None
        whole = copy.deepcopy(self._weightless)
        whole.load_state_dict(weights, assign=True)
        assert isinstance(whole, pl.LightningModule)
        whole.trainer = self.lightning_module.trainer
        return whole.to(self.root_device).eval()


StrategyRegistry.register(NAME, FullySharded, override=True)  # this module may be loaded again


def check(model: nn.Module, precision: str) -> None:
    """Raise ConfigError for a model, or what is asked of it, that cannot be trained in parts."""
    if not isinstance(network := getattr(model, "network", model), Layered):
        raise ConfigError(
            f"hardware=fsdp: {type(network).__name__} is not trained in parts; priors that are transformers are "
            "(model=transformer, masked, next_scale, rq_transformer); take hardware=ddp"
        )
    if precision == "16-mixed":
        raise ConfigError(f"hardware.precision={precision}: with hardware=fsdp take bf16-mixed, or 32-true")
    if any(is_compiled(module) for module in model.modules()):
        raise ConfigError("hardware.compile=true: layers whose weights come and go are not compiled; take false")
    if not all(parameter.is_contiguous() for parameter in model.parameters()):
        raise ConfigError("hardware.channels_last=true: weights are divided by rows, which this mixes; take false")


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Leave each process of the mesh its rows of every weight: of each layer, and of what else a part has, together.

    Args:
        model: whose children are called as modules, and have all weights.
        mesh: of the processes.
    """
    warnings.filterwarnings("ignore", ".*returned a view tensor.*")  # none of ours is written to
    for part in model.children():
        for layer in part.separate_layers() if isinstance(part, Layered) else []:
            fully_shard(layer, mesh=mesh)
        if any(True for _ in part.parameters()):
            fully_shard(part, mesh=mesh, reshard_after_forward=True)


def _averages(trainer: pl.Trainer) -> list[nn.Module]:
    """The models that callbacks keep beside the one in training."""
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [average_model(one).get_submodule("module") for one in callbacks if isinstance(one, AveragedWeights)]


def num_own(model: nn.Module) -> int:
    """How many of a divided model's weights this process keeps."""
    return sum(parameter.to_local().numel() for parameter in model.parameters() if isinstance(parameter, DTensor))


def _tell_share(model: nn.Module, world_size: int) -> None:
    own, total = num_own(model), sum(parameter.numel() for parameter in model.parameters())
    rank_zero_info(f"Each of {world_size} processes keeps {own:,} of {total:,} weights, and what training adds to them")


def _tell_untried(optimizers: Sequence[Optimizer]) -> None:
    """Warn of an optimiser that may look at more of a weight than one number after another."""
    parts = [part for one in optimizers for part in (one.optimizers if isinstance(one, Composite) else [one])]
    for name in {type(part).__name__ for part in parts} - {"Adam", "AdamW", "SGD"}:
        rank_zero_warn(
            f"hardware=fsdp: {name} has not been tried on weights in parts; AdamW has, and Adam and SGD are alike"
        )


def without_weights(model: nn.Module) -> nn.Module:
    """A copy whose parameters have sizes and take no memory; its buffers are true copies."""
    empty = {id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in model.parameters()}
    return copy.deepcopy(model, empty)


def gathered(state: Any) -> Any:
    """The same containers with whole tensors on the CPU of rank 0, and None in their place on the others."""
    if isinstance(state, DTensor):
        whole = state.full_tensor()
        return whole.cpu() if rank() == 0 else None
    if isinstance(state, dict):
        same = copy.copy(state)  # an OrderedDict of weights has versions beside its items
        same.update((key, gathered(value)) for key, value in state.items())
        return same
    return type(state)(map(gathered, state)) if isinstance(state, list | tuple) else state


def divided(optimizer: Optimizer, saved: StateDict) -> StateDict:
    """A state whose tensors that are as large as their parameter lie as it does: each process has its rows."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def rows(value: Any, parameter: Tensor) -> Any:
        if not (isinstance(parameter, DTensor) and isinstance(value, Tensor) and value.shape == parameter.shape):
            return value
        return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)

    states = saved["state"].items()
    return saved | {"state": {i: {k: rows(v, parameters[i]) for k, v in state.items()} for i, state in states}}

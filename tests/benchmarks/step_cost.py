"""What a training step computes and holds, counted operation by operation: FLOPs, and bytes that live at once."""

import weakref
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make, as long as anything holds them."""

    def __init__(self, given: list[Any]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known = {tensor.untyped_storage()._cdata for tensor in given}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the operation and count what it makes."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


class Cost(NamedTuple):
    """Of a training step: `forward` and `step` in FLOPs, `memory` in bytes at its peak, without the optimiser's."""

    parameters: int
    forward: int
    step: int
    memory: int


def step_cost(model: Any, batch: Any) -> Cost:
    """The cost of forward and backward of `model.objective(batch)` in bfloat16 autocast, on the CPU or fake tensors.

    FLOPs are those of matrix products, convolutions and attention, two for a multiply-add; the second forward pass of
    activation checkpointing counts as well. The k-means from which codebooks start is no part of a step.
    """
    mark_started(model)
    parameters = [*model.parameters()]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)  # counted with the optimiser's averages
    given = [*parameters, *(p.grad for p in parameters), *model.buffers()]
    with torch.autocast("cpu", torch.bfloat16), FlopCounterMode(display=False) as flops:
        loss = model.objective(batch).loss
        forward = flops.get_total_flops()
        loss.backward()
    del loss
    with torch.autocast("cpu", torch.bfloat16), LiveBytes(given) as live:  # a step of its own: a counter holds tensors
        model.objective(batch).loss.backward()
    return Cost(sum(p.numel() for p in parameters), forward, flops.get_total_flops(), live.peak)


def mark_started(model: Any) -> None:
    """Let the codebooks of a model stay where they are, as those of a model in the course of its training."""
    for module in model.modules():
        if hasattr(module, "num_updates"):
            module.num_updates.fill_(1)

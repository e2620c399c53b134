"""Repeating a computation on a GPU without launching its operations one by one."""

import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

WARM_UPS = 3
"""Runs before the capture, in which libraries choose their algorithms and take their memory."""


def can_capture(device: torch.device) -> bool:
    """Whether computations on this device can be captured."""
    return device.type == "cuda"


class Graph:
    """A function of tensors, captured as a CUDA graph, to be run again with other values.

    Which operations it runs must not depend on the values, and all that changes must be in tensors that stay where
    they are. Before it is captured it is run some times, so that running it twice must do what running it once does.

    Args:
        compute: the function.
        inputs: the first values.

    Raises:
        RuntimeError: the computation does something that cannot be captured.
    """

    def __init__(self, compute: Callable[..., Tensor], *inputs: Tensor):
        self.inputs = [x.clone() for x in inputs]
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(inputs[0].device):
            aside, here = side_stream(inputs[0].device), torch.cuda.current_stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    compute(*self.inputs)
                # other threads, such as those that load data, go on with what they do
                with torch.cuda.graph(self.graph, stream=aside, capture_error_mode="thread_local"):
                    self.result = compute(*self.inputs)
            here.wait_stream(aside)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The result for other inputs."""
        for place, x in zip(self.inputs, inputs, strict=True):
            place.copy_(x)
        self.graph.replay()
        return self.result.clone()


@cache
def side_stream(device: torch.device) -> torch.cuda.Stream:
    """Where graphs are captured: always the same, as each stream keeps a workspace of cuBLAS for good."""
    return torch.cuda.Stream(device)


def captured(compute: Callable[..., Tensor], *inputs: Tensor) -> Callable[..., Tensor]:
    """The function as a `Graph`; the function itself, with a warning, where it cannot be captured."""
    try:
        return Graph(compute, *inputs)
    except RuntimeError as error:
        reason = str(error.__context__ or error).split("\n")[0]  # the end of a capture fails with what fails inside
        warnings.warn(f"drawing is not captured as a CUDA graph and takes longer: {reason}", stacklevel=2)
        return compute

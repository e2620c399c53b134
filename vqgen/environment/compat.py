"""Private names of the libraries below: every one that vqgen uses, and nowhere else (tests/environment/test_compat.py).

Each says what it stands for and why there is no public way. Tried with pytorch-lightning 2.6.6 and torch 2.13.0; the
upper bounds in pyproject.toml are there for this file.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter


def logged_step(trainer: Any) -> int:
    """The step that Lightning gives its loggers: how many training batches ended with a step of the optimiser.

    `fit_loop.epoch_loop._batches_that_stepped`. `trainer.global_step`, which is public, counts each of several
    optimisers, and on_train_batch_end sees it a step ahead: rows of a callback would not stand beside Lightning's own.
    """
    return trainer.fit_loop.epoch_loop._batches_that_stepped


def average_model(callback: Any) -> nn.Module:
    """The moving average that a WeightAveraging keeps while it trains.

    `_average_model`. Its averaging functions get one tensor after another, and no hook gets the module.
    """
    return callback._average_model


def is_compiled(module: nn.Module) -> bool:
    """Whether `module.compile()` has been called.

    `_compiled_call_impl`. The method returns nothing, and torch tells nowhere else.
    """
    return module._compiled_call_impl is not None


def end_workers(loader: DataLoader[object]) -> None:
    """End the processes of a DataLoader at once.

    `_iterator._shutdown_workers()`. They end by themselves when the iterator is collected as garbage, but slowly while
    a traceback holds it.
    """
    if isinstance(loader._iterator, _MultiProcessingDataLoaderIter):
        loader._iterator._shutdown_workers()


class WithWorkers:
    """A loader whose workers Lightning ends when a trainer is done, as those of a DataLoader.

    Lightning looks for `_iterator` in a loader, shuts its workers down and sets it to None; it calls no public method
    of a loader that is given up.
    """

    @property
    def loader(self) -> DataLoader[object] | None:
        """The DataLoader with the workers; None where there is none."""
        raise NotImplementedError

    @property
    def _iterator(self) -> object:
        return None if self.loader is None else self.loader._iterator

    @_iterator.setter
    def _iterator(self, iterator: None) -> None:
        if self.loader is not None:
            self.loader._iterator = iterator


def starts_processes(strategy: Any) -> str | None:
    """How a strategy starts its processes from this one: `fork` or `spawn`; None where each is a program of its own.

    `launcher._start_method`. The launcher's class is public, and tells no method.
    """
    return getattr(strategy.launcher, "_start_method", None)


def can_arrange(weight: Tensor) -> bool:
    """Whether oneDNN can arrange such weights once for all products, as the functions below do.

    `torch.ops.mkldnn._*` and `torch._C._nn.mkldnn_reorder_conv2d_weight` are what `torch.compile` calls for products
    with few vectors; there is no public way to them but through it.
    """
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def arrange_linear(weight: Tensor, num_vectors: int) -> Tensor:
    """A matrix for `multiply_arranged` with so many vectors at a time."""
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), num_vectors)


def multiply_arranged(x: Tensor, weight: Tensor) -> Tensor:
    """`F.linear` by an arranged matrix."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


def optuna_trial(study: Any, number: int) -> Any:
    """A trial of a study that another process has asked for, to report to.

    `FrozenTrial._trial_id`. The constructor of a Trial is public, and takes what only this tells.
    """
    from optuna.trial import Trial

    return Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


_GEOMETRY = ([0, 0], [1, 1], [1, 1], 1)  # padding, stride, dilation, groups


def arrange_conv2d(kernel: Tensor, shape: Sequence[int]) -> Tensor:
    """A kernel for `convolve_arranged` of inputs of this shape."""
    arrange: Callable[..., Tensor] = torch._C._nn.mkldnn_reorder_conv2d_weight
    return arrange(kernel.contiguous().to_mkldnn(), *_GEOMETRY, list(shape))


def convolve_arranged(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """`F.conv2d` without padding by an arranged kernel."""
    return torch.ops.mkldnn._convolution_pointwise(x, kernel, bias, *_GEOMETRY, "none", [], "")


def has_compiler() -> bool:
    """Whether `compile_package` finds a C++ compiler.

    `torch._inductor.cpp_builder.get_cpp_compiler`, which torch itself asks. Without one it ends, in the middle of the
    work, in one of several errors.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        return bool(get_cpp_compiler())
    except RuntimeError:
        return False


def compile_package(program: torch.export.ExportedProgram, file: Path) -> None:
    """Compile an exported program ahead of time into a package, FILE.pt2.

    `torch._inductor.aoti_compile_and_package`, which the documentation names; it has no public place yet.
    """
    from torch._inductor import aoti_compile_and_package

    aoti_compile_and_package(program, package_path=str(file))


RUN_PACKAGE = """
import sys
import torch
from torch._inductor import aoti_load_package
package, inputs, outputs = sys.argv[1:]
found = aoti_load_package(package)(*torch.load(inputs, weights_only=True))
torch.save([found] if isinstance(found, torch.Tensor) else list(found), outputs)
"""
"""A program that runs a package: its file, and those of a list of inputs and of a list of outputs, of torch.save."""

"""A device that is not there: tensors on it compute on the CPU, and one that meets a tensor of the CPU raises."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("xpu", 0)  # any kind that the project has no branch for
_CROSSES = {Tensor.copy_, Tensor.to, Tensor.cpu, torch._has_compatible_shallow_copy_type}
_INDEXED = {Tensor.__getitem__, Tensor.__setitem__}  # a tensor of any device, by numbers of the CPU
_MARK = "pretended"


def is_there(tensor: Any) -> bool:
    """Whether a tensor is on the pretended device."""
    return isinstance(tensor, Tensor) and getattr(tensor, _MARK, False)


class PretendedDevice(TorchFunctionMode):
    """While it is entered, what is made of tensors of the device is there too, and two devices never meet."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
        there = any(map(is_there, tensors))
        if func == Tensor.device.__get__:
            return DEVICE if there else func(*args)
        if func is torch._C._nn._parse_to:  # of module.to(device), which then asks each tensor
            return func(*args, **kwargs)
        if func == Tensor.data.__set__:
            setattr(args[0], _MARK, is_there(args[1]))
            return func(*args)
        if func == Tensor.numpy and there:
            raise RuntimeError("a tensor of the pretended device has no numpy array")
        wanted = [a for a in (*args, *kwargs.values()) if isinstance(a, torch.device | str) and _is_device(a)]
        if wanted:  # .to(device), or a tensor made on a device
            args, kwargs = tree_map(_on_cpu, args), tree_map(_on_cpu, kwargs)
            there = torch.device(wanted[0]) == DEVICE
        elif func == Tensor.cpu:
            there = False
        if func == Tensor.__deepcopy__:
            there, tensors = is_there(args[0]), []
        if func in _INDEXED and is_there(args[0]):
            tensors = [t for t in args[2:] if isinstance(t, Tensor)]
        if func not in _CROSSES and there and any(t.dim() > 0 and not is_there(t) for t in tensors):
            raise RuntimeError(f"two devices meet in {func}")
        result = func(*args, **kwargs)
        if func in (Tensor.to, Tensor.cpu) and is_there(args[0]) != there and result is args[0]:
            result = result.clone()
        for one in tree_flatten(result)[0]:
            if isinstance(one, Tensor):
                setattr(one, _MARK, there)
        return result


def _is_device(value: Any) -> bool:
    return isinstance(value, torch.device) or value in ("cpu", str(DEVICE))


def _on_cpu(value: Any) -> Any:
    return torch.device("cpu") if isinstance(value, torch.device | str) and _is_device(value) else value

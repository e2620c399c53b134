"""Sizes, and checks of them, whose errors name the argument, its value, and what fits."""

from collections.abc import Sequence

from torch import nn

_OF_TRAINING = ("critic.", "likelihood.")  # parts of a model that only its training needs


def num_parameters(module: nn.Module) -> int:
    """How many numbers a model has learnt, without those of its critic and of the network that its loss compares by."""
    return sum(p.numel() for name, p in module.named_parameters() if not name.startswith(_OF_TRAINING))


def check_at_least(least: int, **sizes: int | float) -> None:
    """Raise ValueError, naming it, where a size is below `least`."""
    for name, value in sizes.items():
        if value < least:
            raise ValueError(f"{name}={value} must be at least {least}")


def check_widths(hidden_channels: Sequence[int]) -> None:
    """Raise ValueError unless there is a layer at least, and each has channels."""
    if not hidden_channels or min(hidden_channels) < 1:
        raise ValueError(
            f"hidden_channels={list(hidden_channels)} must name the width of one layer at least, each at least 1,"
            " such as [32, 64]"
        )


def check_odd(**sizes: int) -> None:
    """Raise ValueError, naming it, where a window has no middle."""
    for name, value in sizes.items():
        if value < 1 or value % 2 == 0:
            raise ValueError(f"{name}={value} must be odd, such as 3 or 5: the window has a position in its middle")


def num_doublings(name: str, factor: int) -> int:
    """How often a side is doubled, or halved, to change by `factor`; ValueError, with its name, where none do."""
    if factor < 2 or factor & (factor - 1):
        raise ValueError(f"{name}={factor} must be a power of two: 2, 4, 8, 16, ...")
    return factor.bit_length() - 1


def check_share(**shares: float) -> None:
    """Raise ValueError, naming it, where a part that is left out is not in [0, 1)."""
    for name, value in shares.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value} must be in [0, 1): a share, 0 for none")


def check_divisible(sides: Sequence[int], stride: int) -> None:
    """Raise ValueError where height or width is no multiple of the stride, naming sizes that are."""
    height, width = sides
    if height % stride or width % stride:
        sizes = ([max(1, side // stride + up) * stride for side in (height, width)] for up in (0, 1))
        named = dict.fromkeys(f"{h}x{w}" for h, w in sizes)  # of a side below the stride both are the same
        raise ValueError(
            f"a size of {height}x{width} cannot be downsampled by {stride}: height and width must be"
            f" multiples of {stride}, such as {' or '.join(named)}"
        )

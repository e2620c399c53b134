"""Repeating a computation without the Python around it.

With small tensors, most of the time of a network goes to looking up its modules and calling them. What it calls in
the end is the same list of functions every time: `Tape` notes them down once and then only calls these.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode


class Tape(TorchFunctionMode):
    """A function of tensors, noted as the calls it makes, to be made again with other values.

    Which calls are made must not depend on the values, and all that depends on them must be a result of a function of
    torch or of `call`.

    Args:
        compute: the function; it is given this tape, for `call`, and then the inputs.
        inputs: the first values.

    Raises:
        TypeError: a function is given a tensor by a keyword, where the tape would not follow it.
    """

    def __init__(self, compute: Callable[..., Tensor], *inputs: Tensor):
        super().__init__()
        self.values: list[Any] = [*inputs]
        self.places = {id(x): i for i, x in enumerate(inputs)}
        self.calls: list[tuple[Callable[..., Any], list[int], int]] = []
        self.depth = 0
        with self:
            self.first = compute(self, *inputs)
        self.result = self._place(self.first)

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """The function's result; on the tape it is one call, whatever it does inside."""
        self.depth += 1
        result = function(*args, **options)
        self.depth -= 1
        if self.depth == 0:
            if any(isinstance(x, Tensor) for x in options.values()):
                raise TypeError(f"{function} is given a tensor by keyword on a tape: give it by position.")
            bound = partial(function, **options) if options else function
            self.calls.append((bound, [self._argument(x) for x in args], self._place(result)))
            self._take_apart(result)
        return result

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note a function of torch."""
        return self.call(func, *args, **(kwargs or {}))

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The result for other inputs."""
        values = self.values
        values[: len(inputs)] = inputs
        for function, places, result in self.calls:
            values[result] = function(*[values[i] for i in places])
        return values[self.result]

    def _place(self, value: Any) -> int:
        """Where a value stands; a new place if it has none."""
        if id(value) not in self.places:
            self.places[id(value)] = len(self.values)
            self.values.append(value)
        return self.places[id(value)]

    def _argument(self, value: Any) -> int:
        """Where an argument stands; a list of tensors is put together by a call of its own."""
        if isinstance(value, Sequence) and any(isinstance(x, Tensor) for x in value):
            self.calls.append((lambda *parts: parts, [self._place(x) for x in value], self._place(value)))
        return self._place(value)

    def _take_apart(self, result: Any) -> None:
        """Give each of several results its place."""
        if isinstance(result, tuple | list):
            for i, part in enumerate(result):
                self.calls.append((partial(_item, i), [self._place(result)], self._place(part)))


def _item(i: int, parts: Sequence[Any]) -> Any:
    return parts[i]

"""Signals that ask a run to stop: noted when they come, and obeyed between two steps."""

import atexit
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from vqgen.environment.launcher import is_first, slurm_job

HANGUP = getattr(signal, "SIGHUP", None)  # the terminal or the connection to it is gone; Windows has no such signal,
AGAIN = getattr(signal, "SIGUSR1", None)  # nor this, by which SLURM asks for a job that is queued again
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows ends a process by any
STOP = tuple(filter(None, (signal.SIGINT, signal.SIGTERM, HANGUP)))
_SAME = 1.0  # seconds within which a second signal is the first one again, sent to the group as well

_children: list[Callable[[int], object]] = []  # each sends a signal to the processes that this one has started
_handlers: dict[int, signal.Handlers | Callable[..., object] | int | None] = {}  # those of before
_asked: list[tuple[int, float]] = []  # the signal that came first, and when


def asked() -> int | None:
    """The signal that asked this process to stop."""
    return _asked[0][0] if _asked else None


@contextmanager
def listening() -> Iterator[None]:
    """Note SIGTERM, SIGINT and SIGHUP, and under SLURM SIGUSR1, as a wish to stop; a second one ends the run at once.

    Where one came, its handler stays to the end of the process, which is near.
    """
    _asked.clear()
    listen()
    try:
        yield
    finally:
        if not _asked:
            for number, handler in _handlers.items():
                signal.signal(number, handler)
        _handlers.clear()


def listen(children: Callable[[int], object] | None = None) -> None:
    """Set the handlers again, in the place of Lightning's, which would wait for other processes.

    Args:
        children: sends a signal to the processes that this one has started.
    """
    if children is not None:
        _children[:] = [children]
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (*STOP, *([AGAIN] if slurm_job() and AGAIN else [])):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup and the shell's & ask for
            before = signal.signal(number, _note)
            _handlers.setdefault(number, before)


def _note(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if number == HANGUP:
        _leave_terminal()
    if not _asked:
        _asked.append((number, now))
        _say(f"{signal.Signals(number).name}: the run stops after this step; once more stops it at once\n")
    elif now - _asked[0][1] > _SAME and number != AGAIN:
        for send in _children:
            send(KILL)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _leave_terminal() -> None:
    """Write nowhere where nobody reads any more: a closed terminal, or a pipe to a program that ended with it.

    Otherwise the next word of the progress bar would be an error, and the run would end unsaved.
    """
    waiting = select.poll()
    for file in (1, 2):
        waiting.register(file, 0)  # only errors are told
    for file, _ in waiting.poll(0):
        os.dup2(os.open(os.devnull, os.O_WRONLY), file)


def _say(message: str) -> None:
    """To the standard error, past Python's buffers: the signal may have come while they are in use."""
    if is_first():
        os.write(2, message.encode())


@atexit.register
def _end_undisturbed() -> None:
    """Ignore the signals that come while the interpreter closes: without its handlers, they would change the status.

    Registered when this module is loaded, it runs after what loggers register, which a second signal may still cut off.
    """
    for number in STOP if _asked else ():
        signal.signal(number, signal.SIG_IGN)

"""Training that is asked to end: the step at hand is finished, written down, and gone on from later.

SIGTERM is what `scancel`, a time limit and most systems send first; SIGUSR1 is what SLURM sends as long
before the limit as a job asks for (``--signal=USR1@300``).
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopRequest", "heeding_stops"]

_NAMES = ("SIGTERM", "SIGUSR1")


class StopRequest:
    """Whether this process was asked to end."""

    def __init__(self) -> None:
        self.number = 0
        """Of the signal; 0 if it was not asked."""

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """Take note of a signal; a second one does not wait for the step.

        Raises
        ------
        KeyboardInterrupt
            The second time, with the number of the signal.
        """
        if self.number:
            raise KeyboardInterrupt(number)
        self.number = number


@contextmanager
def heeding_stops() -> Iterator[StopRequest]:
    """Note the signals that ask for an end instead of ending, for the length of a block.

    Only the main thread of a process can; elsewhere signals do what they did.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.signal(number, request.hear) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

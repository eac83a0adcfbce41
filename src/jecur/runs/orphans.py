"""No child process outlives its parent, from the child's first moments on."""

import ctypes
import os
import signal
import sys
from contextlib import suppress

__all__ = ["BindingName", "end_with_parent"]

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Make this process end when its parent does, even by a signal that cannot be caught.

    The kernel's own way (Linux) also ends a child that is stopped or hangs in native code.

    Parameters
    ----------
    parent
        Process number of the parent, as the parent itself passed it on: if it has died before this is
        called, its children have another one by now, and this process ends here.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.name == "posix" and os.getppid() != parent:
        os._exit(1)


class BindingName(str):
    """Name of a process to be started by `multiprocessing`; where it arrives, it binds.

    A spawned child first reads what it needs to prepare itself, its name among that; only then does
    it import the caller's main module and whatever its work needs, which may take seconds. A parent
    that dies in these seconds must not leave it behind.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[object, tuple[int, str]]:
        """Bind the process that reads this to the one that writes it."""
        return _bound, (os.getpid(), str(self))


def _bound(parent: int, name: str) -> str:
    end_with_parent(parent)
    return name

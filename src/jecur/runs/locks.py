"""Locks on files that the kernel frees when their owner dies, however it dies."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["is_locked", "lock_now", "supports_locks"]

if sys.platform == "win32":

    def supports_locks(folder: Path) -> bool:  # noqa: ARG001 - leases are used there
        """Whether files in a folder can be locked; never here."""
        return False

    @contextmanager
    def lock_now(file: Path) -> Iterator[bool]:  # noqa: ARG001
        """Lock a file; False, as there are no such locks here."""
        yield False

    def is_locked(file: Path) -> bool:
        """Whether another process holds a lock on a file that `filelock` made."""
        from filelock import FileLock, Timeout  # noqa: PLC0415

        try:
            with FileLock(file, timeout=0):
                return False
        except Timeout:
            return True
        except OSError:
            return False

else:
    import fcntl

    def supports_locks(folder: Path) -> bool:
        """Whether files in a folder can be locked: some network disks are mounted without."""
        probe = folder / f".part-probe-{os.getpid()}-{os.urandom(3).hex()}"
        try:
            with lock_now(probe) as locked:
                return locked
        except OSError:
            return False
        finally:
            probe.unlink(missing_ok=True)

    @contextmanager
    def lock_now(file: Path) -> Iterator[bool]:
        """Lock a file for the length of a block; False if another process has it."""
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(handle)

    def is_locked(file: Path) -> bool:
        """Whether another process holds a lock on a file; a file alone says nothing."""
        try:
            # Network disks want a file open for writing even for a shared lock.
            handle = os.open(file, os.O_RDWR if os.access(file, os.W_OK) else os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # no right to lock: somebody else's run on a shared disk
            return False
        finally:
            os.close(handle)
        return False

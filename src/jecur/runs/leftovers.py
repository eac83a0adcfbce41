"""What processes that are gone left half written: known by its name, taken away by whoever comes next.

A file in the making is named after its writer: machine, process and when that began. No lock is held on it
while it is written: HDF5 locks the very same file, and would be refused.
"""

import hashlib
import os
import platform
import re
import shutil
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

__all__ = ["part_prefix", "sweep"]

_OTHER_MACHINE_S = 3600.0
"""A writer on another machine is taken for dead when its file has not grown for so long."""
_NAME = re.compile(r"\.part-(?P<where>[0-9a-f]{8})-(?P<pid>\d+)-(?P<began>\d+)-")


def part_prefix() -> str:
    """Beginning of the names of files and folders that this process is writing."""
    return _prefix(os.getpid())


def sweep(folder: Path, *, below: bool = True) -> None:
    """Take away what dead processes left half written; what a live one is writing stays.

    Parameters
    ----------
    folder
        Where to look; it need not be there.
    below
        In all folders in it as well.
    """
    pattern = ".part-*"
    for left in list(folder.rglob(pattern) if below else folder.glob(pattern)):
        with suppress(OSError):
            if _is_abandoned(left):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _is_abandoned(left: Path) -> bool:
    name = _NAME.match(left.name)
    if name is None and not left.is_dir():  # of an earlier version, which had its folder to itself
        return True
    if name is None or name["where"] != _here() or sys.platform == "win32":
        return time.time() - left.stat().st_mtime > _OTHER_MACHINE_S
    return _began(int(name["pid"])) != int(name["began"])


@cache
def _prefix(pid: int) -> str:
    return f".part-{_here()}-{pid}-{_began(pid) or 0}-"


@cache
def _here() -> str:
    """Machine and, where containers number their processes each in its own way, which of them."""
    space = ""
    with suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


def _began(pid: int) -> int | None:
    """When a process began, in ticks; 0 where the system does not say, None if it is gone."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else int(rest[18])  # field 22 of proc(5)
    except (OSError, ValueError, IndexError):
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:  # of another user
        return 0
    return 0

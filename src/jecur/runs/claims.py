"""Who has which piece of work, where any number of plain jobs work on one run folder.

A claim is a lock on a file, which the kernel frees when its owner dies, on whatever machine. Where the
file system has no locks it is a lease: a file whose time its owner moves on every few seconds, and whose
next number another may take once that has stopped for three minutes. A claim also counts the processes
that died over it.
"""

import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from jecur.runs.locks import is_locked, lock_now, supports_locks

__all__ = ["CLAIMS", "LEASE_S", "Claims", "Holder", "LeaseWatch", "crews_at_work", "live_claims"]

CLAIMS = ".claims"
LEASE_S = 180.0
"""A lease that was not renewed for so long has lost its owner; network disks tell times a minute late."""
_BEAT_S = 20.0
_LOCK, _LEASE = ".lock", ".lease-"


class Holder(msgspec.Struct, frozen=True):
    """Who has a piece of work, or had it last."""

    host: str
    pid: int
    crew: str
    """The job that the process belongs to."""
    since: str
    deaths: int = 0
    """Processes that died over this piece of work before."""
    open: bool = True
    """False once it was given back in order."""

    @property
    def place(self) -> str:
        """Machine and process, in words."""
        return f"{self.host} (process {self.pid})"


@dataclass(frozen=True, slots=True)
class Claims:
    """What one job claims of a run folder; crosses process borders.

    Parameters
    ----------
    root
        The run folder.
    crew
        Name of the job, other than that of every other.
    lease
        By leases, not locks; the same for all jobs on one folder.
    """

    root: Path
    crew: str
    lease: bool = False

    @classmethod
    def of_this_job(cls, root: Path, *, lease: bool = False) -> "Claims":
        """Claims of the job that this process is the head of; leases where there are no locks."""
        (root / CLAIMS).mkdir(parents=True, exist_ok=True)
        lease = lease or not supports_locks(root / CLAIMS)
        return cls(root, f"{platform.node()}-{os.getpid()}-{os.urandom(3).hex()}", lease)

    @contextmanager
    def presence(self) -> Iterator[None]:
        """Let everybody see, for the length of a block, that this job is at work."""
        path = self.root / CLAIMS / "crews" / self.crew
        with self._claim(path, 0):
            yield
        for left in path.parent.glob(f"{self.crew}.l*"):
            left.unlink(missing_ok=True)

    @contextmanager
    def work(self, name: str, *, expired: int = 0) -> Iterator[Holder | None]:
        """Claim a piece of work for the length of a block; None if another has it.

        Parameters
        ----------
        name
            Of the piece of work: a plain name.
        expired
            Number of the lease that a `LeaseWatch` found without an owner.
        """
        with self._claim(self.root / CLAIMS / "work" / name, expired) as holder:
            yield holder

    def give_back(self) -> None:
        """Say of claims whose processes this job ended itself that nobody died over them."""
        for path in (self.root / CLAIMS / "work").rglob("*"):
            holder = _read(path)
            if holder is not None and holder.open and holder.crew == self.crew:
                _write(path, msgspec.structs.replace(holder, open=False))

    @contextmanager
    def _claim(self, path: Path, expired: int) -> Iterator[Holder | None]:
        path.parent.mkdir(parents=True, exist_ok=True)
        way = self._leased(path, expired) if self.lease else self._locked(path)
        with way as holder:
            yield holder

    def _holder(self, before: Holder | None) -> Holder:
        deaths = before.deaths + before.open if before is not None else 0
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Holder(platform.node(), os.getpid(), self.crew, now, deaths)

    @contextmanager
    def _locked(self, path: Path) -> Iterator[Holder | None]:
        file = path.with_name(path.name + _LOCK)
        with lock_now(file) as mine:
            if not mine:
                yield None
                return
            holder = self._holder(_read(file))
            _write(file, holder)
            yield holder
            _write(file, msgspec.structs.replace(holder, open=False, deaths=0))

    @contextmanager
    def _leased(self, path: Path, expired: int) -> Iterator[Holder | None]:
        number, newest = _newest_lease(path)
        before = _read(newest) if newest else None
        file = path.with_name(f"{path.name}{_LEASE}{number + 1:06d}")
        free = newest is None or number == expired or (before is not None and not before.open)
        if not free or not _made_first(file):
            yield None
            return
        holder = self._holder(before)
        _write(file, holder)
        if newest is not None:
            newest.unlink(missing_ok=True)
        with _renewed(file):
            yield holder
        _write(file, msgspec.structs.replace(holder, open=False, deaths=0))


class LeaseWatch:
    """Watches leases by this machine's own clock: those of two machines need not agree."""

    def __init__(self, root: Path, *, after_s: float = LEASE_S) -> None:
        self._root, self._after_s = root, after_s
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}

    def expired(self, name: str) -> int:
        """Return the number of the lease if its owner has not renewed it for long; else 0."""
        number, newest = _newest_lease(self._root / CLAIMS / "work" / name)
        if newest is None:
            return 0
        with suppress(OSError):
            stamp = number, newest.stat().st_mtime_ns
            known, since = self._seen.get(name, (None, 0.0))
            if stamp != known:
                self._seen[name] = stamp, time.monotonic()
            elif time.monotonic() - since > self._after_s:
                return number
        return 0


def live_claims(root: Path, kind: str = "work") -> dict[str, Holder]:
    """Name -> holder of every claim whose owner is alive.

    Leases are judged by the clock of this machine against that of the disk.
    """
    folder, found = root / CLAIMS / kind, {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        name = path.relative_to(folder).as_posix()
        if name.endswith(_LOCK):
            alive, name = is_locked(path), name.removesuffix(_LOCK)
        elif _LEASE in name:
            alive, name = _is_fresh(path), name.rpartition(_LEASE)[0]
        else:
            continue
        holder = _read(path) if alive else None
        if holder is not None and holder.open:
            found[name] = holder
    return found


def crews_at_work(root: Path) -> tuple[Holder, ...]:
    """Jobs that are at work on a run folder now."""
    return tuple(live_claims(root, "crews").values())


def _newest_lease(path: Path) -> tuple[int, Path | None]:
    found = {}
    for file in path.parent.iterdir() if path.parent.is_dir() else ():
        name, _, number = file.name.rpartition(_LEASE)
        if name == path.name and number.isdecimal():
            found[int(number)] = file
    return max(found.items(), default=(0, None))


def _made_first(file: Path) -> bool:
    """Make a file that nobody has made before: one alone succeeds, also on a network disk."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    return True


@contextmanager
def _renewed(file: Path) -> Iterator[None]:
    """Move the time of a lease on while the block runs."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(_BEAT_S):
            with suppress(OSError):
                os.utime(file)

    thread = threading.Thread(target=beat, daemon=True, name="jecur-lease")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _is_fresh(path: Path) -> bool:
    try:
        return abs(time.time() - path.stat().st_mtime) < LEASE_S
    except OSError:
        return False


def _read(path: Path) -> Holder | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None


def _write(path: Path, holder: Holder) -> None:
    """Write in place: the lock is on this very file."""
    with path.open("r+b") as stream:
        stream.write(msgspec.json.encode(holder).ljust(512) + b"\n")
        stream.truncate()

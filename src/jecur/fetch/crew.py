"""Several files at once, each of its own fate: one that fails stops no other, a full disk stops all."""

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from jecur.errors import FetchError, JecurError
from jecur.fetch.patience import StoppedError
from jecur.fetch.record import Record, Row
from jecur.fetch.remote import PARTIAL, RemoteFile
from jecur.fetch.transfer import fetch_file, md5_file, refuse_links
from jecur.fetch.web import Web
from jecur.runs.files import refused_as_said

__all__ = ["AT_ONCE", "Watch", "bytes_here", "fetch_all", "proved"]

AT_ONCE = 4
_STOP_S = 2.0


class Watch(Protocol):
    """Whoever looks on; called by several threads."""

    def start(self, file: RemoteFile) -> None:
        """Begin a file."""

    def at(self, file: RemoteFile, length: int) -> None:
        """So many bytes of it are here."""

    def end(self, file: RemoteFile, error: JecurError | None) -> None:
        """End a file: whole, or failed."""

    def say(self, line: str) -> None:
        """Something to be told."""


def bytes_here(file: RemoteFile, out: Path) -> int:
    """Bytes of a file that lie here already, whole or not."""
    target = file.place(out)
    for path in (target, target.with_name(target.name + PARTIAL)):
        if path.is_file():
            return min(path.stat().st_size, file.size)
    return 0


def proved(path: Path, size: int, md5: str) -> bool:
    """Whether the file at a path has this size and, where one is known, this MD5."""
    with refused_as_said(path):
        return path.stat().st_size == size and (not md5 or md5_file(path) == md5)


def fetch_all(
    web: Web, files: Sequence[RemoteFile], out: Path, record: Record, watch: Watch
) -> None:
    """Fetch what is not here whole; every file ends in the record as whole or as failed, with the reason.

    Parameters
    ----------
    web
        Connections; its ``stop`` is set when this ends early.
    files
        Each once.
    out
        Output folder.
    record
        Written as files end.
    watch
        Looks on.

    Raises
    ------
    SystemRefusedError
        If the disk is full or the folder cannot be written.
    """
    record.put([Row.of(file, "waiting") for file in files if not record.is_whole(file)])
    crew = _Crew(web, files, out, record, watch)
    try:
        crew.work()
    finally:
        web.stop.set()
        record.save()


class _Crew:
    """Threads that take the next file as they get free, and the one that collects what came of it."""

    def __init__(
        self, web: Web, files: Sequence[RemoteFile], out: Path, record: Record, watch: Watch
    ) -> None:
        self.web, self.out, self.record, self.watch = web, out, record, watch
        self.known = frozenset(k for k, file in enumerate(files) if record.is_whole(file))
        self.files = tuple(files)
        self.waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[RemoteFile, BaseException | None]] = queue.SimpleQueue()
        for k in range(len(files)):
            self.waiting.put(k)

    def work(self) -> None:
        # Daemons: after Ctrl-C nobody waits for an answer that does not come.
        threads = [threading.Thread(target=self._run, daemon=True) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        try:
            for _ in self.files:
                self._collect(*self._next())
        finally:
            self.web.stop.set()
            for thread in threads:
                thread.join(_STOP_S / AT_ONCE)

    def _next(self) -> tuple[RemoteFile, BaseException | None]:
        while True:
            try:
                return self.done.get(timeout=0.5)  # wakes up for Ctrl-C
            except queue.Empty:
                continue

    def _collect(self, file: RemoteFile, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, FetchError):
            raise error
        self.record.put([Row.of(file, "failed" if error else "whole", error)])
        self.watch.end(file, error)

    def _run(self) -> None:
        while not self.web.stop.is_set():
            try:
                k = self.waiting.get_nowait()
            except queue.Empty:
                return
            file, error = self.files[k], None
            self.watch.start(file)
            try:
                self._hold_or_fetch(file, known=k in self.known)
            except StoppedError:
                return
            except BaseException as caught:  # noqa: BLE001 - raised again by whoever collects it
                error = caught
            self.done.put((file, error))

    def _hold_or_fetch(self, file: RemoteFile, *, known: bool) -> None:
        target = file.place(self.out)
        refuse_links(target, self.out)
        if target.is_file():
            trusted = known and target.stat().st_size == file.size
            if trusted or proved(target, file.size, file.md5):
                self.watch.at(file, file.size)
                return
            self.watch.say(
                f"{file.label}: expected the file of the list under this name, found other bytes; "
                "fetched anew"
            )
            with refused_as_said(target):
                target.unlink()
        fetch_file(self.web, file, self.out, lambda length: self.watch.at(file, length))

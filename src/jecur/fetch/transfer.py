"""One file from a server onto the disk, whole or not under its name at all.

Bytes go to ``name.partial``. A transfer goes on where an earlier one ended, but only behind a right
206 answer; size and MD5 are proved before the file gets its name.
"""

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import urllib3

from jecur.errors import FetchError
from jecur.fetch.answers import (
    md5_told,
    name_told,
    page_error,
    range_told,
    refuse_page,
    refuse_status,
)
from jecur.fetch.patience import Pace, StoppedError, TryAgainError
from jecur.fetch.remote import PARTIAL, RemoteFile, is_plain_name
from jecur.fetch.web import Web
from jecur.runs.files import refused_as_said

__all__ = ["fetch_file", "md5_file"]

_CHUNK = 1 << 18
_PAGE = re.compile(rb"\s*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)


def md5_file(path: Path, tell: Callable[[int], None] = lambda _n: None) -> str:
    """MD5 of a file's bytes, hexadecimal; ``tell`` gets the bytes as they are read."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
            tell(len(piece))
    return digest.hexdigest()


class _Draft:
    """The unfinished file: its bytes on the disk and their running MD5."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with refused_as_said(path):
            self._stream: BinaryIO = os.fdopen(os.open(path, flags, 0o644), "r+b", buffering=0)
        self.path, self.length = path, 0
        self.digest = hashlib.md5(usedforsecurity=False)
        with refused_as_said(path):
            while piece := self._stream.read(_CHUNK):
                self.digest.update(piece)
                self.length += len(piece)

    def append(self, piece: bytes) -> None:
        view = memoryview(piece)
        with refused_as_said(self.path):
            while view:
                view = view[self._stream.write(view) :]
        self.digest.update(piece)
        self.length += len(piece)

    def discard(self) -> None:
        """Begin anew."""
        with refused_as_said(self.path):
            self._stream.truncate(0)
            self._stream.seek(0)
        self.length, self.digest = 0, hashlib.md5(usedforsecurity=False)

    def finish(self, target: Path) -> None:
        """Give the file its name, once its bytes are on the disk."""
        with refused_as_said(target):
            os.fsync(self._stream.fileno())
            self._stream.close()
            self.path.replace(target)

    def close(self) -> None:
        with suppress(OSError):
            self._stream.close()


def fetch_file(web: Web, file: RemoteFile, out: Path, tell: Callable[[int], None]) -> None:
    """Fetch one file.

    Parameters
    ----------
    web
        Connections and patience.
    file
        What it must be.
    out
        Output folder.
    tell
        Gets the length of the unfinished file whenever it changes, bytes.

    Raises
    ------
    FetchError
        Why it was not fetched; what is good so far stays in ``name.partial``.
    SystemRefusedError
        If the disk is full or the folder cannot be written: no fault of this file.
    StoppedError
        If everything is to stop.
    """
    target = file.place(out)
    refuse_links(target, out)
    with refused_as_said(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    draft = _Draft(target.with_name(target.name + PARTIAL))
    try:
        transfer = _Transfer(web, file, draft, tell)
        web.patiently(transfer.attempt, gained=lambda: draft.length)
        draft.finish(target)
    finally:
        draft.close()


def refuse_links(target: Path, out: Path) -> None:
    """Refuse to write through a link that lies inside the output folder.

    Raises
    ------
    FetchError
        With code ``bad-name``.
    """
    inside = target.relative_to(out)
    steps = [out.joinpath(*inside.parts[: k + 1]) for k in range(len(inside.parts))]
    for step in (*steps, target.with_name(target.name + PARTIAL)):
        if step.is_symlink():
            raise FetchError(
                f"expected plain folders inside {out}, found that {step.relative_to(out)} is a link; "
                "remove it",
                code="bad-name",
            )


class _Transfer:
    """Tries at one file, and what they have shown of the server."""

    def __init__(
        self, web: Web, file: RemoteFile, draft: _Draft, tell: Callable[[int], None]
    ) -> None:
        self.web, self.file, self.draft, self.tell = web, file, draft, tell
        self.wrong: set[str] = set()
        """MD5 of whole files that were not the one asked for."""

    def attempt(self) -> None:
        if self.draft.length > self.file.size:
            self.draft.discard()
        if self.draft.length < self.file.size:
            self._receive()
        self._prove()

    def _receive(self) -> None:
        have = self.draft.length
        headers = {"Range": f"bytes={have}-"} if have else {}
        with self.web.answer(self.file.url, headers) as response:
            if response.status == 416:
                self.draft.discard()
                raise TryAgainError(
                    "expected the rest of the file, found none to be had (HTTP 416)"
                )
            refuse_status(response)
            refuse_page(response)
            self._refuse_other_file(response)
            start = self._start(response, have)
            self._refuse_length(response, start)
            self._read(response)

    def _start(self, response: urllib3.BaseHTTPResponse, have: int) -> int:
        """Where the body begins in the file: behind what is here, or at 0."""
        if response.status == 200:
            if have:  # the whole file in place of its rest: nothing of it may be appended
                self.draft.discard()
                self.tell(0)
            return 0
        asked = (have, self.file.size - 1, self.file.size)
        if have and range_told(response) == asked:
            return have
        self.draft.discard()  # the next try asks for the whole file
        raise TryAgainError(
            f"expected bytes {asked[0]}-{asked[1]}/{asked[2]}, found "
            f"{response.headers.get('Content-Range', 'no Content-Range')!r}",
            code="wrong-range",
        )

    def _refuse_length(self, response: urllib3.BaseHTTPResponse, start: int) -> None:
        told = response.headers.get("Content-Length", "")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise TryAgainError("expected plain bytes, found them packed", code="wrong-answer")
        if told and told != str(self.file.size - start):
            raise TryAgainError(
                f"expected {self.file.size - start} bytes to come, found {told[:20]}",
                code="wrong-length",
            )

    def _refuse_other_file(self, response: urllib3.BaseHTTPResponse) -> None:
        name = name_told(response.headers.get("Content-Disposition", ""))
        if name and not is_plain_name(name):
            raise FetchError(
                f"expected the file under its plain name, found that the server calls it {name[:120]!r}; "
                "not taken",
                code="bad-name",
            )
        told = md5_told(response.headers.get("Content-MD5", ""))
        if response.status == 200 and told and self.file.md5 and told != self.file.md5:
            raise self._changed(told)

    def _changed(self, found: str) -> FetchError:
        return FetchError(
            f"expected MD5 {self.file.md5} as in the list, found {found} on the server: the file was "
            "changed there; fetch a newer list and give it as --manifest",
            code="changed-md5",
        )

    def _read(self, response: urllib3.BaseHTTPResponse) -> None:
        pace = Pace(self.web.patience)
        while self.draft.length < self.file.size:
            piece = response.read1(_CHUNK)
            if not piece:
                raise TryAgainError(
                    f"expected {self.file.size} bytes, found {self.draft.length}", code="cut-short"
                )
            if self.web.stop.is_set():
                raise StoppedError
            if self.draft.length == 0 and _PAGE.match(piece):
                raise page_error()
            room = self.file.size - self.draft.length
            if len(piece) > room:
                self.draft.discard()
                raise TryAgainError(
                    f"expected {self.file.size} bytes, found more", code="wrong-length"
                )
            self.draft.append(piece)
            self.tell(self.draft.length)
            pace.gained(len(piece))
        if not self.file.md5 and "Content-Length" not in response.headers and response.read1(1):
            self.draft.discard()  # its size alone is the proof
            raise TryAgainError(f"expected {self.file.size} bytes, found more", code="wrong-length")

    def _prove(self) -> None:
        found = self.draft.digest.hexdigest()
        if not self.file.md5 or found == self.file.md5:
            return
        self.draft.discard()
        self.tell(0)
        if found in self.wrong:  # the same wrong bytes twice did not get wrong on the way
            raise self._changed(found)
        self.wrong.add(found)
        raise TryAgainError(
            f"expected MD5 {self.file.md5}, found {found}: bytes were changed on the way",
            code="wrong-md5",
        )

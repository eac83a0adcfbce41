"""Errors that a user can act on: what was expected, what was found, what to do.

Every error Jecur raises on purpose derives from `JecurError`. Its ``code`` is a short
kebab-case word that lands in ``slides.csv`` and on the command line; its message is one
line of prose. Callers add context (slide, patient, column, row) with `JecurError.within`.
"""

import difflib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, get_args

__all__ = [
    "NOBODYS_FAULT",
    "AnnotationError",
    "BagError",
    "BundleError",
    "EndpointError",
    "FetchError",
    "GroupError",
    "JecurError",
    "NotEstimableError",
    "NucleiModelError",
    "Problems",
    "RunFolderError",
    "SettingsError",
    "SimulationError",
    "SlideError",
    "StainError",
    "SystemRefusedError",
    "TableError",
    "TrainingError",
    "refusal",
    "require_choice",
]


class JecurError(Exception):
    """Root of every error raised on purpose.

    Parameters
    ----------
    message
        One line: expected, found, remedy.
    code
        Kebab-case identifier; the class's own ``default_code`` if left out.
    """

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.parts: tuple[JecurError, ...] = ()
        """The single problems, where an input has several."""

    def within(self, context: str) -> Self:
        """Return the same error with ``context`` (a slide, a patient, a row) named in front."""
        said = type(self)(f"{context}: {self.message}", code=self.code)
        said.parts = tuple(part.within(context) for part in self.parts)
        return said

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders with message and code intact."""
        return (_rebuild, (type(self), self.message, self.code, self.parts))


def _rebuild(
    kind: type[JecurError], message: str, code: str, parts: tuple[JecurError, ...] = ()
) -> JecurError:
    error = kind(message, code=code)
    error.parts = parts
    return error


class Problems:
    """Everything that is wrong with an input, gathered before anything is refused."""

    def __init__(self) -> None:
        self.found: list[JecurError] = []

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Keep an error of the block instead of letting it through."""
        try:
            yield
        except JecurError as error:
            self.found += error.parts or (error,)

    def refuse(self) -> None:
        """Raise what was gathered: one error as it is, several as the first with the others behind it.

        Raises
        ------
        JecurError
            Of the first one's kind and code; ``parts`` holds them all.
        """
        known: dict[str, JecurError] = {}
        for problem in self.found:
            known.setdefault(problem.message, problem)
        first, *others = known.values() or (None,)
        if first is None:
            return
        if not others:
            raise first
        message = "; and: ".join(problem.message for problem in known.values())
        whole = type(first)(message, code=first.code)
        whole.parts = tuple(known.values())
        raise whole


class SettingsError(JecurError, ValueError):
    """A setting that does not exist, has the wrong type or lies outside its range."""

    default_code = "bad-settings"


class TableError(JecurError):
    """A clinical or slide table that cannot be read as declared."""

    default_code = "bad-table"


class EndpointError(TableError):
    """Follow-up that is not a time and an event: negative time, undeclared event code."""

    default_code = "bad-endpoint"


class SlideError(JecurError):
    """A slide that cannot be read, scaled or scored."""

    default_code = "unreadable"


class AnnotationError(SlideError):
    """A file of drawn regions that cannot be read, or leaves nothing of its slide."""

    default_code = "bad-annotation"


class StainError(SlideError):
    """A slide whose stains cannot be told apart."""

    default_code = "stain-refused"


class NucleiModelError(JecurError):
    """A nuclei network that does not keep the contract (RGB tile in, probability out)."""

    default_code = "bad-nuclei-model"


class BagError(JecurError):
    """A bag on disk that is missing, damaged or empty."""

    default_code = "bad-bag"


class BundleError(JecurError):
    """A model file that is not one, is damaged or was changed."""

    default_code = "bad-model-file"


class GroupError(JecurError):
    """A risk or a cut-off that is not finite: no risk group can be assigned."""

    default_code = "not-finite"


class TrainingError(JecurError):
    """Training that cannot start or cannot go on."""

    default_code = "training-failed"


class NotEstimableError(JecurError):
    """A statistic that the data do not determine: no events, one group empty, separation."""

    default_code = "not-estimable"


class SimulationError(JecurError):
    """A virtual cohort that cannot be made as asked."""

    default_code = "bad-simulation"


class RunFolderError(JecurError):
    """A run folder that belongs to something else or cannot be written."""

    default_code = "bad-run-folder"


class FetchError(JecurError):
    """A file that a server did not give as it must be, or a list of files that cannot be followed."""

    default_code = "fetch-failed"


class SystemRefusedError(JecurError):
    """The system refuses what any work needs: space, memory, a folder that can be written.

    It is not the fault of the slide at hand, so it stops the run rather than mark one slide after the
    other as failed.
    """

    default_code = "system-refused"


_IN_THE_WAY = ("in-the-way", "a folder, or none yet,", "name another, or move the file away")
_REMEDIES: dict[int, tuple[str, str, str]] = {
    errno.ENOSPC: ("disk-full", "room on the disk", "free some space"),
    errno.EDQUOT: ("disk-full", "room within your quota", "free some space or ask for more"),
    errno.EFBIG: ("file-too-large", "files of any size", "choose another disk, or raise the limit"),
    errno.EROFS: ("read-only", "a folder that can be written", "choose another --out"),
    errno.EACCES: (
        "no-permission",
        "permission",
        "change the permissions or choose another folder",
    ),
    errno.EPERM: ("no-permission", "permission", "change the permissions or choose another folder"),
    errno.ENOENT: ("vanished", "a file or folder that stays", "put it back"),
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: ("in-the-way", "a file, or none yet,", "name another, or move the folder away"),
    errno.ENAMETOOLONG: ("name-too-long", "a name that the disk takes", "shorten it"),
    errno.ESTALE: ("vanished", "a drive that stays", "connect it again"),
    errno.EIO: ("disk-failure", "a disk that reads and writes", "check the disk and its cable"),
    errno.ENOMEM: (
        "out-of-memory",
        "free memory",
        "close other programs or use fewer workers (-j)",
    ),
    errno.EAGAIN: ("too-many-processes", "room for a process", "use fewer workers (-j)"),
    errno.EMFILE: ("too-many-files", "room for another open file", "raise the limit (ulimit -n)"),
    errno.ENFILE: ("too-many-files", "room for another open file", "close other programs"),
    errno.EPIPE: ("closed-pipe", "a reader for the output", "leave the pipe open"),
}

NOBODYS_FAULT = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.ENOMEM,
        errno.EMFILE,
        errno.ENFILE,
    }
)
"""Numbers of the system that no slide can bring about."""


def refusal(error: OSError | MemoryError, where: object = "") -> SystemRefusedError:
    """Say in one line what the system refused, where, and what to do.

    Parameters
    ----------
    error
        As Python raised it.
    where
        The file or folder, if the error does not name one.
    """
    number = errno.ENOMEM if isinstance(error, MemoryError) else error.errno
    code, expected, remedy = _REMEDIES.get(
        number or 0,
        (SystemRefusedError.default_code, "the system to do what was asked", "remove the cause"),
    )
    named = getattr(error, "filename", None) or where
    if number in {errno.ENOTDIR, errno.EEXIST}:
        named = _file_in_the_way(str(named)) or named
    said = getattr(error, "strerror", None) or str(error) or os.strerror(number or 0)
    at = f" at {named}" if named else ""
    return SystemRefusedError(
        f"expected {expected}, found: {said}{at}; {remedy}, then run the same command again to go on",
        code=code,
    )


def _file_in_the_way(path: str) -> str:
    """Which file lies at a path, or where a folder above it should be; "" if none does."""
    return next((str(p) for p in (Path(path), *Path(path).parents) if p.is_file()), "")


def require_choice(argument: str, value: object, kind: Any) -> None:  # noqa: ANN401 - a Literal
    """Refuse a name that does not exist.

    Parameters
    ----------
    argument
        Name of the argument, for the message.
    value
        What was given.
    kind
        The ``Literal`` of the names that exist.

    Raises
    ------
    SettingsError
        With the names that exist, and the nearest of them.
    """
    choices = get_args(kind)
    if isinstance(value, str) and value in choices:
        return
    listed = ", ".join(repr(choice) for choice in choices)
    close = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.6)
    near = f"; did you mean {close[0]!r}?" if close else ""
    raise SettingsError(f"{argument}: expected one of {listed}, found {value!r}{near}")

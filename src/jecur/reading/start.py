"""Seat a reviewer: their order drawn or taken up, their answers read, nobody else writing them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from jecur.errors import RunFolderError
from jecur.explain.review import CLOSED, KEY, KeyTile, key_folder, read_key, read_plan
from jecur.reading.answers import ANSWERS, AnswerFile
from jecur.reading.order import open_order, reviewer_folder

__all__ = ["Seat", "take_seat"]


@dataclass(frozen=True, slots=True)
class Seat:
    """One reviewer at work."""

    said: AnswerFile
    key: tuple[KeyTile, ...]


@contextmanager
def take_seat(run: Path, reviewer: str, *, n_tiles: int = 0) -> Iterator[Seat]:
    """Let one reviewer begin, or go on; one program at a time writes their answers.

    Parameters
    ----------
    run
        Root of the run folder.
    reviewer
        Initials.
    n_tiles
        To be judged; 0 takes all.

    Raises
    ------
    RunFolderError
        ``no-review`` without tiles, ``review-closed`` after the key was opened,
        ``review-in-progress`` if this reviewer is at work already.
    SettingsError
        If the initials are none, or there are not so many tiles.
    """
    folder = reviewer_folder(run, reviewer)
    plan, key = read_plan(run), read_key(key_folder(run) / KEY)
    if (key_folder(run) / CLOSED).exists():
        raise RunFolderError(
            "expected a review that is open, found one that was closed: the key is known, and answers given "
            "now are not blind",
            code="review-closed",
        )
    order = open_order(run, reviewer, key, n_tiles=n_tiles)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise RunFolderError(
            f"expected {reviewer.upper()} to review in one place at a time, found them at work already; go "
            "on there, or end it first",
            code="review-in-progress",
        ) from error
    try:
        yield Seat(AnswerFile(folder / ANSWERS, order, plan.features), key)
    finally:
        lock.release()

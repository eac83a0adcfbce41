"""What one reviewer answered: one line a look, on the disk before the next tile is shown.

The file only grows. To change an answer, or to take it back, writes another line. A line that a
killed process left half written is cut off before the next one and was never an answer.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jecur.errors import RunFolderError, SettingsError
from jecur.explain.review_sheet import CANNOT_JUDGE
from jecur.reading.order import ReviewOrder
from jecur.runs.files import refused_as_said, sha256_file
from jecur.statistics.reviewers import Reading

__all__ = ["ANSWERS", "Answer", "AnswerFile", "checked_answer", "reading_of"]

ANSWERS = "answers.jsonl"
Judgment = Literal["present", "absent", "cannot judge"]
_VALUES: Mapping[str, float] = {"present": 1.0, "absent": 0.0, "cannot judge": CANNOT_JUDGE}
_LONGEST_COMMENT = 2_000
_LONGEST_LOOK_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said at one look."""

    judged: Mapping[str, str]
    """Feature -> present, absent or cannot judge; all features."""
    comment: str = ""
    seconds: float = 0.0
    """From the picture on the screen to the answer, without pauses."""


class AnswerFile:
    """The answers of one reviewer.

    Parameters
    ----------
    path
        Made on the first answer.
    order
        Of the reviewer.
    features
        Names.

    Raises
    ------
    RunFolderError
        With code ``damaged-review`` if a whole line is none of an answer.
    """

    def __init__(self, path: Path, order: ReviewOrder, features: Sequence[str]) -> None:
        self.path = path
        self.order = order
        self.features = tuple(features)
        self.answers: dict[str, Answer] = {}
        """Look -> what was said of it last."""
        self.whole = 0
        """Bytes of whole lines."""
        known = {look.id for look in order.looks}
        lines = path.read_bytes().split(b"\n") if path.is_file() else [b""]
        for number, line in enumerate(lines[:-1], start=1):
            try:
                entry = json.loads(line)
                self._take(entry, known)
            except (ValueError, KeyError, TypeError, SettingsError) as error:
                raise RunFolderError(
                    f"expected an answer in line {number} of {path}, found other content; restore the "
                    "file from a copy",
                    code="damaged-review",
                ) from error
            self.whole += len(line) + 1

    def say(self, look: str, answer: Answer) -> None:
        """Write an answer to the disk; only then is it said.

        Raises
        ------
        SystemRefusedError
            If it could not be written; it is not said then.
        """
        self._append(
            {
                "look": look,
                "answers": dict(answer.judged),
                "comment": answer.comment,
                "seconds": round(answer.seconds, 3),
            }
        )
        self.answers[look] = answer

    def take_back(self, look: str) -> None:
        """Undo an answer; that it was given stays in the file."""
        self._append({"undo": look})
        self.answers.pop(look, None)

    @property
    def next_look(self) -> int:
        """Place of the first look without an answer; the number of looks if all have one."""
        looks = self.order.looks
        return next((k for k, look in enumerate(looks) if look.id not in self.answers), len(looks))

    @property
    def finished(self) -> bool:
        """Whether every look has an answer."""
        return self.next_look == len(self.order.looks)

    @property
    def sha256(self) -> str:
        """Digest of the file; of nothing if there is none."""
        return sha256_file(self.path) if self.path.is_file() else ""

    def _append(self, entry: dict[str, Any]) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        line = json.dumps({**entry, "at": at}).encode() + b"\n"
        with refused_as_said(self.path):
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            with os.fdopen(handle, "rb+") as stream:
                stream.truncate(self.whole)
                stream.seek(self.whole)
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
        self.whole += len(line)

    def _take(self, entry: object, known: set[str]) -> None:
        if not isinstance(entry, dict):
            raise TypeError(entry)
        look = entry.get("undo") or entry["look"]
        if look not in known:
            raise ValueError(look)
        if "undo" in entry:
            self.answers.pop(look, None)
        else:
            said = (entry["answers"], entry["comment"], entry["seconds"])
            self.answers[look] = checked_answer(*said, self.features)


def checked_answer(
    judged: object, comment: object, seconds: object, features: Sequence[str]
) -> Answer:
    """Make an answer of what came from outside.

    Raises
    ------
    SettingsError
        If a feature is left out or unknown, or a value is none that may be given.
    """
    if not isinstance(judged, dict) or set(judged) != set(features):
        raise SettingsError("expected an answer to each feature, found others; answer all of them")
    if not all(isinstance(value, str) and value in _VALUES for value in judged.values()):
        raise SettingsError(f"expected {', '.join(_VALUES)}, found another answer")
    if not isinstance(comment, str) or len(comment) > _LONGEST_COMMENT:
        raise SettingsError(f"expected a comment of up to {_LONGEST_COMMENT} letters")
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 <= seconds <= _LONGEST_LOOK_S:  # type: ignore[operator]
        raise SettingsError("expected the seconds of a look, found none")
    said = {feature: judged[feature] for feature in features}
    return Answer(said, _whole_signs(comment), float(seconds))  # type: ignore[arg-type]


def _whole_signs(text: str) -> str:
    """Replace half signs: a page may cut an emoji at the longest comment, and no UTF-8 can hold a half."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def reading_of(said: AnswerFile, tiles: Sequence[str]) -> Reading:
    """Bring answers into the order of the key, first looks and second looks apart."""
    place = {tile: k for k, tile in enumerate(tiles)}
    first, again = (
        {feature: np.full(len(tiles), np.nan) for feature in said.features} for _ in range(2)
    )
    seconds = []
    for look in said.order.looks:
        answer = said.answers.get(look.id)
        if answer is None:
            continue
        seconds.append(answer.seconds)
        for feature, value in answer.judged.items():
            (again if look.again else first)[feature][place[look.tile]] = _VALUES[value]
    return Reading(said.order.reviewer, first, again, np.array(seconds))

"""``fetched.csv``: what was fetched, whether it is whole, how that was proved, and why not."""

import csv
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from jecur.cohort.csv_text import csv_rows, plain_text
from jecur.errors import FetchError, JecurError
from jecur.fetch.remote import RemoteFile, is_plain_name
from jecur.runs.files import write_text

__all__ = ["RECORD", "Record", "Row", "State"]

RECORD = "fetched.csv"
State = Literal["whole", "failed", "damaged", "missing", "waiting"]
_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Row:
    """One file.

    Parameters
    ----------
    folder, name
        Where it lies under the output folder; without a name, a folder whose files are not known.
    state
        "whole" was proved; "damaged" and "missing" were whole once.
    proved_by
        "size and MD5", or "size" where the server tells no MD5.
    """

    folder: str
    name: str
    id: str = ""
    patient: str = ""
    size: int = 0
    md5: str = ""
    state: State = "waiting"
    proved_by: str = ""
    code: str = ""
    reason: str = ""

    @classmethod
    def of(cls, file: RemoteFile, state: State, error: JecurError | None = None) -> "Row":
        """Row of a file in a state."""
        return cls(
            folder=file.folder,
            name=file.name,
            id=file.id,
            patient=file.patient,
            size=file.size,
            md5=file.md5,
            state=state,
            proved_by=("size and MD5" if file.md5 else "size") if state == "whole" else "",
            code=error.code if error else "",
            reason=error.message if error else "",
        )

    def place(self, out: Path) -> Path:
        """Where it lies."""
        return out / PurePosixPath(self.folder) / self.name


class Record:
    """The rows of a folder, written whole whenever they have changed for a while.

    Parameters
    ----------
    out
        Folder that holds ``fetched.csv``.
    """

    def __init__(self, out: Path) -> None:
        self._path = out / RECORD
        self._rows = {(row.folder, row.name): row for row in _read(self._path)}
        self._saved = 0.0

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row, by folder and name."""
        return tuple(self._rows[key] for key in sorted(self._rows))

    def is_whole(self, file: RemoteFile) -> bool:
        """Whether this very file was proved whole before."""
        row = self._rows.get((file.folder, file.name))
        return row is not None and row == Row.of(file, "whole")

    def put(self, rows: Iterable[Row]) -> None:
        """Take rows up; they are on the disk after `save`, or a while later."""
        self._rows |= {(row.folder, row.name): row for row in rows}
        if time.monotonic() - self._saved > _EVERY_S:
            self.save()

    def looked_up(self, folders: Iterable[str], failed: Iterable[Row]) -> None:
        """Take up what could not be looked up, a row without a name each; it goes once it could be."""
        for folder in folders:
            self._rows.pop((folder, ""), None)
        self.put(failed)

    def save(self) -> Path:
        """Write the file."""
        heading = [field.name for field in fields(Row)]
        cells = [[str(value) for value in asdict(row).values()] for row in self.rows]
        path = write_text(self._path, csv_rows(heading, cells))
        self._saved = time.monotonic()
        return path


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return [_row(cells) for cells in csv.DictReader(stream)]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise FetchError(
            f"expected {path} as it was written, found it changed ({error}); delete it, and what is "
            "there is proved anew",
            code="bad-record",
        ) from error


def _row(cells: dict[str, str]) -> Row:
    text = {field.name: plain_text(cells[field.name]) for field in fields(Row)}
    parts = PurePosixPath(text["folder"]).parts
    if not parts or not all(is_plain_name(part) for part in (*parts, text["name"] or "-")):
        raise ValueError(f"{text['folder']}/{text['name']}")
    if text["state"] not in get_args(State):
        raise ValueError(text["state"])
    return Row(**{**text, "size": int(text["size"])})  # type: ignore[arg-type]

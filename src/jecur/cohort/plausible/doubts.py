"""What a clinical table says that cannot be true, or hardly: told with rows and a remedy."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from jecur.cohort.table import name_rows
from jecur.errors import TableError

__all__ = ["Doubt", "doubt", "oddity", "refuse_impossible"]


@dataclass(frozen=True, slots=True)
class Doubt:
    """One thing in a table that is not plausible.

    Parameters
    ----------
    code
        Kebab-case.
    column
        Where.
    message
        Column, what was expected, what was found in which rows, what to do.
    impossible
        True if no patient can have this value; else it deserves a look.
    """

    code: str
    column: str
    message: str
    impossible: bool


def doubt(
    code: str, column: str, expected: str, found: str, rows: Iterable[int], remedy: str
) -> Doubt:
    """Say what no patient can have in a sentence that names column and rows."""
    where = name_rows(list(rows))
    message = f"column '{column}': expected {expected}, found {found} in {where}; {remedy}"
    return Doubt(code, column, message, impossible=True)


def oddity(
    code: str, column: str, expected: str, found: str, rows: Iterable[int], remedy: str
) -> Doubt:
    """Say what is only odd, as `doubt` says what is impossible."""
    return replace(doubt(code, column, expected, found, rows, remedy), impossible=False)


def refuse_impossible(name: str, doubts: Iterable[Doubt], *, allowed: bool) -> tuple[Doubt, ...]:
    """Refuse a table in which something cannot be true; return the doubts that remain.

    Parameters
    ----------
    name
        Of the table.
    doubts
        All of them.
    allowed
        The study says that implausible values are true: tell them only. Texts that may mean
        unknown are asked about all the same: the settings that answer are the factor's own.

    Raises
    ------
    TableError
        "implausible-table", naming everything at once, the merely doubtful too.
    """
    doubts = tuple(doubts)
    stops = [d for d in doubts if d.impossible and not (allowed and d.code != "unknown-as-level")]
    if not stops:
        return doubts
    told = [*stops, *(d for d in doubts if d not in stops)]
    listed = " ".join(f"({k}) {d.message}." for k, d in enumerate(told, 1))
    only_asked = all(d.code == "unknown-as-level" for d in stops)
    way_out = (
        "" if only_asked else ' If these values are true, set implausible = "warn" in [cohort].'
    )
    raise TableError(
        f"{name}: expected values that can be true, found {len(told)} "
        f"{'doubt' if len(told) == 1 else 'doubts'}: {listed}{way_out}",
        code="implausible-table",
    )

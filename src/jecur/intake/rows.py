"""Which row of a sheet is its heading, and which rows below it are no patients."""

import re
from statistics import median

from jecur.cohort.plausible.names import form_of
from jecur.cohort.raw_table import RawTable
from jecur.intake.interview import Interview, listed, unlisted

__all__ = ["ask_rows"]

_LEGEND = re.compile(
    r"(?<![^\W\d_])(legend\w*|explanations?|abbrev\w*|abbr|abk[uü]rz\w*|abk|footnotes?|notes?|remarks?|sources?|"
    r"quelle|totals?|sum|summe|means?|medians?|averages?)(?![^\W_])|\bn\s*=|[=]|:(\s|$)|^\*",
    re.IGNORECASE,
)
_SPARSE = 0.34
"""Share of the columns below which a row may be a legend."""


def ask_rows(raw: RawTable, interview: Interview) -> tuple[int, tuple[int, ...]]:
    """Ask for the heading and for rows that are no patients.

    Returns
    -------
    tuple
        Row of the heading, 0 if it is the first; rows that are not read.
    """
    first = raw.rows[0][0]
    found = _heading(raw)
    heading = found
    if found != first:
        why = f"the rows above it hold a single text or two, row {found} a text for nearly every column"
        said = interview.ask(
            "heading_row", "Row of the column names", guess=str(found), reason=why, sure=True,
            choices=[str(number) for number, _ in raw.rows[:20]],
        )  # fmt: skip
        heading = int(said) if said.isdecimal() else found
    ignored = _ask_ignored(raw, heading, interview)
    return (heading if heading != first else 0), ignored


def _heading(raw: RawTable) -> int:
    """Find the first row that has a text in nearly every column that any row uses."""
    widths = [sum(map(bool, row)) for _, row in raw.rows]
    wide = 0.6 * max(widths[:200])
    for (number, row), width in zip(raw.rows[:20], widths, strict=False):
        numeric = sum(bool(re.fullmatch(r"[0-9.,<>-]+", cell)) for cell in row)
        if width >= wide and numeric <= 0.3 * width:
            return number
    return raw.rows[0][0]


def _ask_ignored(raw: RawTable, heading: int, interview: Interview) -> tuple[int, ...]:
    body = [(i, row) for i, row in raw.rows if i > heading]
    if not body:
        return ()
    usual = median(sum(map(bool, row)) for _, row in body)
    sparse = [
        (i, row)
        for i, row in body
        if sum(map(bool, row)) <= max(1, _SPARSE * usual) and sum(map(bool, row)) < usual
    ]
    if not sparse:
        return ()
    texts = {i: next(cell for cell in row if cell) for i, row in sparse}
    full = [row for i, row in body if i not in texts]
    clear = [i for i, row in sparse if _is_no_patient(row, full)]
    shown = ", ".join(f"row {i} ({texts[i][:40]!r})" for i in list(texts)[:4])
    said = interview.ask(
        "ignored_rows",
        f"Rows that are no patients; nearly empty are {shown}",
        guess=unlisted([str(i) for i in clear]),
        reason=f"nearly empty where other rows fill {usual:g} cells, and no identifier: {shown}",
        sure=len(clear) == len(sparse),
        choices=[str(i) for i, _ in body],
        several=True,
    )
    return tuple(sorted(int(part) for part in listed(said) if part.isdecimal()))


def _is_no_patient(row: list[str], others: list[list[str]]) -> bool:
    """Whether a nearly empty row says that it is none, or lacks what others are told apart by."""
    place = next(k for k, cell in enumerate(row) if cell)
    alike = {form_of(other[place]) for other in others if other[place:]}
    if _LEGEND.search(row[place]) and form_of(row[place]) not in alike:
        return True
    return not row[0] and not any(
        cell and form_of(cell) in _forms_of_names(others, k) for k, cell in enumerate(row)
    )


def _forms_of_names(rows: list[list[str]], column: int) -> set[str]:
    """Forms of a column by which rows are told apart: each cell is filled, and there once."""
    cells = [row[column] for row in rows if row[column:]]
    return set(map(form_of, cells)) if all(cells) and len(set(cells)) == len(cells) else set()

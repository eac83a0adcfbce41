"""Identifiers of patients: one a row, each once, each patient in one role."""

from collections.abc import Sequence

import pandas as pd

from jecur.cohort.plausible.words import alike, one_id, spelled_out
from jecur.cohort.roles import Role
from jecur.cohort.table import Table, name_rows
from jecur.errors import Problems, TableError
from jecur.settings import CohortSettings

__all__ = ["id_notes", "read_identifiers", "refuse_one_in_two_roles"]


def read_identifiers(table: Table, settings: CohortSettings, problems: Problems) -> pd.Series:
    """Read identifiers; where that is refused, row numbers stand for them until all else is read."""
    with problems.gathering():
        found = table.identifiers(settings.columns.patient, "patient")
        _check_ids(table, found, settings.missing_values)
        return found
    return pd.Series([f"row {row}" for row in table.frame.index], index=table.frame.index)


def refuse_one_in_two_roles(name: str, ids: pd.Series, roles: Sequence[Role | None]) -> None:
    """Refuse identifiers that may be one patient's and stand in two roles: a model would know them."""
    role_of = dict(zip(ids, roles, strict=True))
    for group in alike(ids, one_id):
        found = {role_of[patient] for patient in group} - {None}
        if len(found) > 1:
            said = ", ".join(f"{spelled_out((p,))} ({role_of[p] or 'no role'})" for p in group[:4])
            raise TableError(
                f"{name}: expected each patient in one role, found {said} in "
                f"{name_rows(ids.index[ids.isin(group)])}, who may be one patient in column '{ids.name}'; "
                'spell them alike, or set implausible = "warn" in [cohort] if they are two',
                code="implausible-table",
            )


def id_notes(table: Table, patient: str) -> tuple[str, ...]:
    """Tell of ids that are numbers in the spreadsheet."""
    numeric = table.n_numeric_ids(patient)
    if not numeric:
        return ()
    return (
        f"{table.name}: {numeric} ids in column '{patient}' are numbers in the spreadsheet; zeros "
        "that stood in front of them are gone (format the column as text)",
    )


def _check_ids(table: Table, ids: pd.Series, missing: tuple[str, ...]) -> None:
    empty = ids[(ids == "") | ids.isin(missing)]
    if len(empty):
        raise TableError(
            f"{table.name}: expected a patient in every row of column '{ids.name}', found none in "
            f"{name_rows(empty.index)}; enter the id or delete the row"
        )
    odd = ids[[not all(c.isprintable() for c in text) for text in ids]]
    if len(odd):
        raise TableError(
            f"{table.name}: expected letters that can be seen in column '{ids.name}', found "
            f"{odd.iloc[0]!r} in {name_rows(odd.index)}; type these ids again"
        )
    repeated = ids[ids.duplicated(keep=False)]
    if len(repeated):
        first = repeated.iloc[0]
        rows = ", ".join(map(str, repeated[repeated == first].index))
        same = len(table.frame.loc[repeated[repeated == first].index].drop_duplicates()) == 1
        others = repeated.nunique() - 1
        raise TableError(
            f"{table.name}: expected one row a patient in column '{ids.name}', found {first!r} in rows "
            f"{rows} ({'the same' if same else 'with different content'})"
            f"{f' and {others} more patients repeated' if others else ''}; keep one row and name all "
            "its slides there, separated by ;",
            code="duplicate-patient",
        )

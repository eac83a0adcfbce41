"""Clinical factors of a table: numbers, or levels that were declared."""

from collections.abc import Iterator

import pandas as pd

from jecur.cohort.table import Table, list_cells, name_rows
from jecur.errors import TableError
from jecur.settings import CohortSettings, Covariate

__all__ = ["number_notes", "read_covariate"]


def read_covariate(table: Table, covariate: Covariate) -> list[float | str | None]:
    """Read a clinical factor, (n,); None where it is unknown.

    Raises
    ------
    TableError
        If a cell is no number, no declared level, or not above 0 on a logarithmic scale; names the rows.
    """
    if covariate.kind == "numeric":
        limits = covariate.beyond_limit != "refuse"
        numbers = table.numbers(
            covariate.column, "covariate", covariate.missing_values, limits=limits
        )
        if covariate.beyond_limit == "missing":
            beyond = table.beyond_limit(covariate.column, covariate.missing_values)
            numbers = numbers.mask(numbers.index.isin(beyond))
        _check_scale(table, covariate, numbers)
        return [None if pd.isna(value) else float(value) for value in numbers]
    text = table.column(covariate.column, "covariate")
    absent = text.isin(covariate.missing_values)
    undeclared = text[~absent & ~text.isin(covariate.levels)] if covariate.levels else text[:0]
    if len(undeclared):
        raise TableError(
            f"{table.name}: expected {', '.join(map(repr, covariate.levels))} in column "
            f"'{covariate.column}', found {list_cells(undeclared)}; "
            "add it to the covariate's levels or missing_values"
        )
    return [None if gone else str(value) for value, gone in zip(text, absent, strict=True)]


def _check_scale(table: Table, covariate: Covariate, numbers: pd.Series) -> None:
    low = numbers[numbers <= 0]
    if covariate.scale != "linear" and len(low):
        raise TableError(
            f"{table.name}: expected values above 0 in column '{covariate.column}', whose scale is "
            f"{covariate.scale}, found {low.iloc[0]:g} in {name_rows(low.index)}; if this is below the "
            "limit of detection enter that limit, else declare it among the covariate's "
            'missing_values, or take scale = "linear" with a larger unit (per = 100)'
        )


def number_notes(table: Table, settings: CohortSettings) -> Iterator[str]:
    """Tell how numbers were read that could be read otherwise."""
    yield from _limit_notes(table, settings)
    yield from _percent_notes(table, settings)


def _limit_notes(table: Table, settings: CohortSettings) -> Iterator[str]:
    """Tell how many values are limits of a laboratory, and what they were taken for."""
    taken = {"limit": "the limit itself was taken", "missing": "taken as unknown"}
    for covariate in settings.covariates:
        if covariate.beyond_limit == "refuse" or covariate.kind != "numeric":
            continue
        rows = table.beyond_limit(covariate.column, covariate.missing_values)
        if len(rows):
            yield (
                f"{table.name}: column '{covariate.column}' holds a limit such as "
                f"{table.frame.loc[rows[0], covariate.column]!r} in {name_rows(rows)}; "
                f"{taken[covariate.beyond_limit]}"
            )


def _percent_notes(table: Table, settings: CohortSettings) -> Iterator[str]:
    """Tell of numbers that the spreadsheet shows a hundred times as large."""
    for covariate in settings.covariates:
        if covariate.kind == "numeric" and table.is_percent(covariate.column):
            yield (
                f"{table.name}: column '{covariate.column}' is shown in percent; 85 % was read as 0.85: "
                "its unit and split_at should fit"
            )

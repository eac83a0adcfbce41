"""The clinical model with and without the score as a table and a section; none computed here."""

from jecur.printable import counted
from jecur.report.tables.survival import estimate_columns, reason_column
from jecur.report.tables.table import Column, Table
from jecur.report.views import Section
from jecur.report.wording import p_sentence
from jecur.statistics.results import AddedMeasure, AddedValue

__all__ = ["added_value_section", "added_value_table", "corrected_table"]


def added_value_table(added: AddedValue, level: float) -> Table:
    """One row a measure: both models and their difference, in the patients they were fitted to."""
    columns = (
        Column("measure", "Measure", "text", _name),
        Column("n_cases", "Cases", "count", lambda m: m.n_cases),
        Column("n_controls", "Controls", "count", lambda m: m.n_controls),
        *estimate_columns("clinical", "Clinical factors", "number", lambda m: m.clinical),
        *estimate_columns("with_score", "With the score", "number", lambda m: m.with_score),
        *estimate_columns(
            "difference", f"Difference ({100 * level:g} % CI)", "score", lambda m: m.difference
        ),
        Column("p", "p", "p", lambda m: m.difference.p),
        reason_column(lambda m: m.difference.reason),
    )
    note = (
        "C and AUC: higher is better; Brier score: lower is better. Intervals are by influence "
        "functions and take the coefficients of both models as given."
    )
    caption = "Clinical model with and without the score"
    return Table.of("added_value", caption, columns, added.measures, note)


def corrected_table(added: AddedValue) -> Table:
    """Show the same measures less the optimism of both models."""
    columns = (
        Column("measure", "Measure", "text", _name),
        Column("clinical", "Clinical factors", "number", lambda m: m.corrected_clinical),
        Column("with_score", "With the score", "number", lambda m: m.corrected_with_score),
        Column("difference", "Difference", "score", lambda m: m.corrected_difference),
    )
    caption = "The same, corrected for optimism"
    return Table.of("added_value_corrected", caption, columns, added.measures)


def added_value_section(
    added: AddedValue | None, level: float, cautions: tuple[str, ...]
) -> Section | None:
    """Show what the score adds; None without clinical factors."""
    if added is None:
        return None
    notes = [f"Factors that did not enter: {'; '.join(added.left_out)}."] if added.left_out else []
    title = "Added value of the score"
    if added.reason is not None:
        lead = f"Not estimable: {added.reason}."
        return Section("added_value", title, lead, notes=tuple(notes))
    lead = (
        f"The Cox model of {', '.join(added.factors)}, without and with the continuous score, in the "
        f"{counted(added.n, 'patient')} ({added.events} events) in whom all of them are known; "
        f"{added.n_excluded_missing} left out for missing values. {_likelihood(added)}"
    )
    notes = [_optimism(added), *cautions, *notes]
    tables = [added_value_table(added, level)]
    if added.n_replicates:
        tables.append(corrected_table(added))
    return Section("added_value", title, lead, tables=tuple(tables), notes=tuple(notes))


def _name(measure: AddedMeasure) -> str:
    span = "0 to " if measure.name.startswith("Integrated") else ""
    where = "" if measure.months is None else f", {span}{measure.months:g} months"
    return f"{measure.name}{where}"


def _likelihood(added: AddedValue) -> str:
    test = added.likelihood_ratio
    if test.chi2 is None or test.p is None:
        return f"Likelihood-ratio test of the score: not estimable ({test.reason})."
    return (
        f"Likelihood-ratio test of the score: χ² = {test.chi2:.2f}, {test.df} degree of freedom, "
        f"{p_sentence(test.p)}."
    )


def _optimism(added: AddedValue) -> str:
    fitted = (
        "Both models were fitted to the patients in whom they are compared, so each looks better than "
        "it would in new patients"
    )
    if added.n_replicates:
        return (
            f"{fitted}; the corrected numbers take that optimism off ({added.n_replicates} bootstrap "
            f"samples of patients, models refitted in each, seed {added.seed}; – where a measure exists "
            "in too few of them)."
        )
    if added.n_requested:
        return (
            f"{fitted}; the numbers above could not be corrected for it, as the models could be fitted "
            f"in too few of {added.n_requested} bootstrap samples."
        )
    return (
        f"{fitted}; the numbers above are not corrected for it (set n_optimism = 200 under "
        "[statistics] to have them corrected)."
    )

"""From the statistics of a cross-validation to the verdict and the sections that show them.

Each fold has a model of its own, so risks of two folds are on two scales: pairs of patients are
compared within folds, ratio and test are stratified by fold, and no probability is read off a risk.
"""

from functools import partial

from jecur.report.curves import auc_views, short_words, survival_views, words_of_test
from jecur.report.evidence_probability import incidence_curves, view
from jecur.report.figures.incidence import incidence_figure
from jecur.report.tables.accuracy import auc_by_horizon_table
from jecur.report.tables.probability import incidence_table
from jecur.report.tables.survival import (
    count_columns,
    estimate_columns,
    median_table,
    percent,
    reason_column,
    survival_table,
)
from jecur.report.tables.table import Column, Table
from jecur.report.verdict import interval_words
from jecur.report.views import Evidence, FigureView, KeyNumber, Section, Verdict
from jecur.report.wording import (
    competing_words,
    event_words,
    format_limits,
    format_number,
    format_ratio,
)
from jecur.statistics.cross_validated import HeldOutStatistics
from jecur.survival.estimate import Reported

__all__ = ["give_held_out_verdict", "weigh_held_out"]

_STRATIFIED = "stratified by fold"


def weigh_held_out(statistics: HeldOutStatistics, *, virtual: bool) -> Evidence:
    """Return verdict, key numbers and sections of a cross-validation."""
    sections = (
        _discrimination_section(statistics),
        _incidence_section(statistics)
        if statistics.n_competing is not None
        else _survival_section(statistics),
        _auc_section(statistics),
    )
    verdict = give_held_out_verdict(statistics, virtual=virtual)
    return Evidence(verdict, _key_numbers(statistics), sections)


def give_held_out_verdict(statistics: HeldOutStatistics, *, virtual: bool) -> Verdict:
    """Say in one sentence whether held-out risks order patients, on which figures, and how sure it is."""
    found, who = statistics.concordance, "virtual patients" if virtual else "patients"
    event = event_words(statistics.endpoint_name)[0]
    counts = (
        f"{statistics.n} {who}, {statistics.events} with {event}. Hazard ratio, high versus low risk, "
        f"{_STRATIFIED}: {interval_words(statistics.hazard_ratio)}; log-rank test, {_STRATIFIED}: "
        f"{words_of_test(statistics.logrank)}. Every risk is from a model that never saw the patient, and "
        "only patients that one model scored are compared."
    )
    if found.estimate is None or found.lower is None or found.upper is None:
        headline = f"Whether the risk orders the {who} cannot be said."
        why = found.reason or ""
        if found.estimate is not None:
            why = (
                f"Concordance is {format_number(found.estimate)}, and no patient alone moves it: there is no "
                "interval."
            )
        return Verdict(headline, f"{why} {counts}".strip(), "unknown")
    # with two digits a limit of 0.503 would stand on the border that it lies beyond
    close = any(round(v, 2) == 0.5 for v in (found.lower, found.upper))
    estimate, lower, upper = (
        format_number(v, 3 if close else 2) for v in (found.estimate, found.lower, found.upper)
    )
    interval = f"concordance {estimate} ({percent(statistics)} CI {lower}–{upper})"
    if found.lower > 0.5:
        headline = f"Held-out risks ordered {who} better than chance: {interval}."
        return Verdict(headline, counts, "shown")
    if found.upper < 0.5:
        headline = f"Held-out risks ordered {who} the wrong way round: {interval}."
        return Verdict(headline, counts, "reversed")
    headline = f"Held-out risks were not shown to order {who} better than chance: {interval}."
    return Verdict(headline, f"The interval holds 0.5. {counts}", "none")


def _key_numbers(statistics: HeldOutStatistics) -> tuple[KeyNumber, ...]:
    event = event_words(statistics.endpoint_name)[0]
    point = statistics.auc.landmark
    auc = "not estimable" if point.estimate is None else format_number(point.estimate)
    limits = (
        f"{format_number(point.lower)}–{format_number(point.upper)}; "
        if point.lower is not None and point.upper is not None
        else ""
    )
    numbers = [
        KeyNumber("Patients", str(statistics.n), f"{statistics.events} with {event}"),
        _number("Harrell’s C", statistics.concordance, "pairs within folds"),
        _number("Hazard ratio", statistics.hazard_ratio, _STRATIFIED),
        KeyNumber("AUC", auc, point.reason or f"{limits}at {point.months:g} months, within folds"),
    ]
    n_folds = len(statistics.folds) // statistics.n_repeats
    times = f", {statistics.n_repeats} times" if statistics.n_repeats > 1 else ""
    return (*numbers, KeyNumber("Folds", str(n_folds), f"a model each{times}"))


def _number(label: str, value: Reported, note: str) -> KeyNumber:
    if value.estimate is None:
        return KeyNumber(label, "not estimable", value.reason or "")
    if value.lower is None or value.upper is None:
        return KeyNumber(label, format_ratio(value.estimate), f"no interval; {note}")
    ends = format_ratio(value.lower), format_ratio(value.upper)
    if label == "Hazard ratio":
        ends = format_limits(value.estimate, value.lower, value.upper)
    limits = "–".join(ends)
    return KeyNumber(label, format_ratio(value.estimate), f"{limits}; {note}")


def _discrimination_section(statistics: HeldOutStatistics) -> Section:
    columns = (
        Column("statistic", "Statistic", "text", lambda row: row[0]),
        *estimate_columns(
            "estimate", f"Estimate ({percent(statistics)} CI)", "score", lambda row: row[1]
        ),
        Column("method", "Method", "text", lambda row: row[1].method),
        reason_column(lambda row: row[1].reason),
    )
    named = (
        ("Harrell’s C, pairs within folds", statistics.concordance),
        ("Harrell’s C, mean over folds", statistics.concordance_mean),
        ("Harrell’s C, pairs across folds too", statistics.concordance_across),
    )
    note = (
        "C: 0.5 is no discrimination, 1 perfect ranking. Pairs across folds mix the scales of models: "
        "for comparison only."
    )
    tables = (
        Table.of("discrimination", "Discrimination", columns, named, note),
        _fold_table(statistics),
    )
    lead = (
        "How often the risk puts two patients whom one model scored in the order in which "
        f"{event_words(statistics.endpoint_name)[0]} came. The models of two folds share most of their "
        "training patients: no interval here says all of the uncertainty."
    )
    return Section("discrimination", "Discrimination, held out", lead, tables=tables)


def _fold_table(statistics: HeldOutStatistics) -> Table:
    repeat = Column("repeat", "Repeat", "count", lambda f: f.repeat)
    columns = (
        *((repeat,) if statistics.n_repeats > 1 else ()),
        Column("fold", "Fold", "count", lambda f: f.fold),
        *count_columns(),
        Column("concordance", "Harrell’s C", "score", lambda f: f.concordance),
        Column("pairs", "Comparable pairs", "count", lambda f: f.pairs),
        reason_column(),
    )
    return Table.of("folds", "Fold by fold", columns, statistics.folds)


def _survival_section(statistics: HeldOutStatistics) -> Section:
    tables = (median_table(statistics), survival_table(statistics))
    views = survival_views(statistics, how=_STRATIFIED)
    return Section(
        "survival", "Event-free survival by risk group", "", views, (), tables, _notes(statistics)
    )


def _incidence_section(statistics: HeldOutStatistics) -> Section:
    event = event_words(statistics.endpoint_name)[0]
    other = competing_words(statistics.endpoint_name)
    curves = incidence_curves(statistics.groups)
    figures: tuple[FigureView, ...] = ()
    if curves:
        ratio = short_words(interval_words(statistics.hazard_ratio))
        facts = (f"Cause-specific hazard ratio {ratio}, {_STRATIFIED}",)
        draw = partial(incidence_figure, curves, outcome=event, competing=other, facts=facts)
        caption = (
            f"Cumulative incidence of {event} (Aalen–Johansen) with pointwise "
            f"{percent(statistics)} intervals; thin dotted lines: {other}."
        )
        label = f"Cumulative incidence of {event} by risk group. {facts[0]}."
        figures = (view("cumulative_incidence", draw, label, caption),)
    lead = (
        f"{other.capitalize()} competes with {event}: {statistics.n_competing} of {statistics.n} "
        f"patients had it. Ratio, test and concordance are cause-specific: they count {other} as "
        "censored."
    )
    tables = (incidence_table(statistics), median_table(statistics))
    title = "Cumulative incidence by risk group"
    return Section("survival", title, lead, figures, (), tables, _notes(statistics))


def _notes(statistics: HeldOutStatistics) -> tuple[str, ...]:
    said = (
        "Each patient is in the group that the model of the other folds gave them, at the cut-off fixed "
        f"before training. Hazard ratio, high versus low risk, {_STRATIFIED}: "
        f"{interval_words(statistics.hazard_ratio)}. Log-rank test, {_STRATIFIED}: "
        f"{words_of_test(statistics.logrank)}."
    )
    if statistics.n_repeats == 1:
        return (said,)
    return (said, "Groups, ratio, test and AUC are those of the first repeat.")


def _auc_section(statistics: HeldOutStatistics) -> Section:
    label = "AUC within folds over time; numbers in the table below."
    competing = " or ended by the competing event" if statistics.n_competing is not None else ""
    curves = (statistics.auc,)
    views = auc_views(curves, statistics.level, label, competing)
    table = auc_by_horizon_table(curves, statistics.level)
    note = "AUC of each fold, averaged with its pairs of a case and a control as weights."
    return Section("auc", "Time-dependent AUC within folds", "", views, (), (table,), (note,))

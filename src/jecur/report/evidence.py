"""From the statistics to the sections that show them."""

from functools import partial

import numpy as np

from jecur.report.content import ReportContent
from jecur.report.evidence_probability import (
    calibration_section,
    decision_section,
    fine_gray_section,
    incidence_section,
    subgroup_incidence,
    view,
)
from jecur.report.figures.accuracy import AucSeries, auc_figure
from jecur.report.figures.forest import ForestRow, forest_figure
from jecur.report.figures.survival import km_figure, km_panel
from jecur.report.tables.accuracy import (
    auc_by_horizon_table,
    auc_difference_table,
    auc_table,
    concordance_table,
    discrimination_table,
)
from jecur.report.tables.added_value import added_value_section
from jecur.report.tables.survival import (
    median_table,
    multivariable_table,
    stratified_table,
    survival_table,
    univariable_table,
)
from jecur.report.verdict import give_verdict, interval_words, key_numbers
from jecur.report.views import Evidence, FigureView, Section
from jecur.report.wording import competing_words, event_words, p_sentence
from jecur.statistics.results import (
    AucCurve,
    GroupStatistics,
    ModelRow,
    ReportedTest,
    StratifiedFactor,
    StudyStatistics,
    Subgroup,
)
from jecur.survival.survival_curve import KaplanMeier

__all__ = ["weigh_evidence"]

NAN = float("nan")


def weigh_evidence(content: ReportContent) -> Evidence:
    """Return the verdict, the key numbers and the sections that show the statistics."""
    statistics = content.statistics
    verdict = give_verdict(
        statistics, content.no_statistics_reason, virtual=content.truth is not None
    )
    if statistics is None:
        return Evidence(verdict)
    competing = statistics.competing
    sections = (
        incidence_section(statistics, competing) if competing else _survival_section(statistics),
        _stratified_section(statistics),
        _univariable_section(statistics),
        _multivariable_section(statistics),
        fine_gray_section(statistics, competing) if competing else None,
        added_value_section(
            statistics.added_value, statistics.level, _cautions(statistics, "added_value")
        ),
        _auc_section(statistics),
        _discrimination_section(statistics),
        calibration_section(statistics),
        decision_section(statistics),
    )
    return Evidence(verdict, key_numbers(statistics), tuple(s for s in sections if s is not None))


def _cautions(statistics: StudyStatistics, place: str) -> tuple[str, ...]:
    return tuple(c.text for c in statistics.cautions if c.place == place)


def _survival_section(statistics: StudyStatistics) -> Section:
    curves = _curves(statistics.groups)
    outcome = statistics.endpoint_name[:1].upper() + statistics.endpoint_name[1:]
    ratio = interval_words(statistics.hazard_ratio)
    fact = f"Hazard ratio {ratio}, log-rank {_p(statistics.logrank)}"
    figures: tuple[FigureView, ...] = ()
    if curves:
        short = (f"Hazard ratio {_short(ratio)}, log-rank {_short(_p(statistics.logrank))}",)
        draw = partial(km_figure, curves, outcome=_free_of(statistics.endpoint_name), facts=short)
        caption = (
            f"Kaplan–Meier curves with pointwise {100 * statistics.level:g} % intervals; upright "
            "ticks mark patients whose follow-up ended."
        )
        label = f"{outcome} by risk group. {fact}."
        figures = (view("kaplan_meier", draw, label, caption),)
    tables = (median_table(statistics), survival_table(statistics))
    notes = (
        f"Hazard ratio, high versus low risk: {ratio}. Log-rank test: "
        f"{_p(statistics.logrank)}. Proportional hazards: {_p(statistics.proportional_hazards)}.",
    )
    title = "Event-free survival by risk group"
    return Section("survival", title, "", figures, (), tables, notes)


def _stratified_section(statistics: StudyStatistics) -> Section | None:
    if not statistics.stratified:
        return None
    last = float(statistics.overall.curve.time.max()) if statistics.overall.curve else None
    panels = tuple(
        _panel(factor, subgroup, f"stratum_{i}_{j}", last)
        for i, factor in enumerate(statistics.stratified, 1)
        if len(factor.levels) > 1
        for j, subgroup in enumerate(factor.levels, 1)
        if _curves((subgroup.high, subgroup.low))
    )
    lead = (
        "Does the risk still separate patients who are alike in one clinical factor? Numeric "
        "factors are cut in two."
    )
    if statistics.competing is not None:
        event = event_words(statistics.endpoint_name)[0]
        lead += f" Curves: cumulative incidence of {event}. Hazard ratios are cause-specific."
    table = stratified_table(statistics.stratified, statistics.level)
    notes = _cautions(statistics, "stratified")
    return Section("stratified", "Subgroup analysis", lead, (), panels, (table,), notes)


def _univariable_section(statistics: StudyStatistics) -> Section | None:
    if not statistics.univariable:
        return None
    table = univariable_table(statistics.univariable, statistics.level)
    lead = "Each factor alone: a ratio above 1 means earlier events."
    notes = _cautions(statistics, "univariable")
    return Section("univariable", "Univariable Cox regression", lead, tables=(table,), notes=notes)


def _multivariable_section(statistics: StudyStatistics) -> Section:
    model = statistics.multivariable
    rows = [_forest_row(row, i == 0) for i, row in enumerate(model.rows)]
    figures: tuple[FigureView, ...] = ()
    if any(np.isfinite(row.ratio) for row in rows):
        draw = partial(forest_figure, rows, level=statistics.level)
        label = "Hazard ratios of the multivariable model; numbers in the table below."
        figures = (view("multivariable", draw, label, "On a logarithmic axis."),)
    first = model.rows[0].hazard_ratio if model.rows else None
    lead = (
        f"With the clinical factors held equal, the classifier’s hazard ratio is "
        f"{interval_words(first)}."
        if first is not None and len(model.covariates) > 1
        else "No clinical factor entered the model beside the classifier."
    )
    notes = [
        f"Left out for missing values: {model.n_excluded_missing} patients. Proportional hazards "
        f"of the whole model: {_p(model.proportional_hazards)}. What the classifier adds to the "
        f"other factors (likelihood ratio): {_p(model.added_value)}."
    ]
    if model.reason:
        notes.insert(0, f"The model is not estimable: {model.reason}.")
    notes += _cautions(statistics, "multivariable")
    if model.left_out:
        notes.append(f"Factors that did not enter: {'; '.join(model.left_out)}.")
    table = multivariable_table(model, statistics.level)
    title = "Multivariable Cox regression"
    return Section("multivariable", title, lead, figures, (), (table,), tuple(notes))


def _auc_section(statistics: StudyStatistics) -> Section | None:
    curves = statistics.auc
    if not curves:
        return None
    series = [s for s in map(_auc_series, curves) if np.isfinite(s.auc).any()]
    figures: tuple[FigureView, ...] = ()
    if series:
        draw = partial(auc_figure, series, level=statistics.level)
        label = "AUC of the risk and of clinical factors over time; numbers in the table below."
        caption = (
            "The chance that a patient with the event by then had the higher marker than one "
            f"still free of it{_or_competing(statistics)}; 0.5 (dashed) is no discrimination. Late "
            "horizons rest on few controls."
        )
        figures = (view("auc", draw, label, caption),)
    tables = [auc_by_horizon_table(curves, statistics.level)]
    if len(curves) > 1:
        tables.append(auc_difference_table(curves, statistics.level))
    files = (auc_table(curves, statistics.level),)
    return Section("auc", "Time-dependent AUC", "", figures, (), tuple(tables), files=files)


def _discrimination_section(statistics: StudyStatistics) -> Section:
    lead = f"How often the risk puts two patients in the order in which {_events(statistics)} came."
    tables = (discrimination_table(statistics), concordance_table(statistics))
    files = (concordance_table(statistics, "uno"),)
    return Section("discrimination", "Discrimination", lead, tables=tables, files=files)


def _panel(factor: StratifiedFactor, level: Subgroup, name: str, last: float | None) -> FigureView:
    ratio = interval_words(level.hazard_ratio)
    who = f"{level.level.replace('<=', '≤')}: {level.n} patients, {level.events} events"
    facts = (who, f"HR {_short(ratio)}, log-rank {_short(_p(level.logrank))}")
    if level.high.incidence is not None or level.low.incidence is not None:
        return subgroup_incidence(factor.label, level, facts, name, last)
    curves = _curves((level.high, level.low))
    svg = km_panel(curves, title=factor.label, facts=facts, last_month=last)
    return FigureView(name, svg, f"{factor.label}, {who}. HR {ratio}.")


def _curves(groups: tuple[GroupStatistics, ...]) -> dict[str, KaplanMeier]:
    names = {"high": "High risk", "low": "Low risk"}
    return {names.get(g.name, g.name): g.curve for g in groups if g.curve is not None}


def _forest_row(row: ModelRow, emphasis: bool) -> ForestRow:
    ratio = row.hazard_ratio
    label = f"{row.label} ({row.contrast})" if row.contrast else row.label
    if ratio.estimate is None:
        return ForestRow(label, NAN, NAN, NAN, NAN, "not estimable", emphasis)
    lower, upper, p = (NAN if v is None else v for v in (ratio.lower, ratio.upper, ratio.p))
    return ForestRow(label, ratio.estimate, lower, upper, p, emphasis=emphasis)


def _auc_series(curve: AucCurve) -> AucSeries:
    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        values = (getattr(p, name) for p in curve.points)
        return np.array([NAN if v is None else float(v) for v in values])

    names = ("months", "estimate", "lower", "upper", "n_cases", "n_controls", "n_at_risk")
    return AucSeries(curve.label, *(column(name) for name in names))


def _p(test: ReportedTest) -> str:
    return p_sentence(test.p) if test.p is not None else f"not estimable ({test.reason})"


def _short(words: str) -> str:
    """Shorten: reasons stand below the tables; a figure has room for the fact alone."""
    return "not estimable" if words.startswith("not estimable") else words


def _or_competing(statistics: StudyStatistics) -> str:
    """Who else is a control where another event competes."""
    if statistics.competing is None:
        return ""
    return f" or ended by {competing_words(statistics.endpoint_name)} (competing risks)"


def _events(statistics: StudyStatistics) -> str:
    return event_words(statistics.endpoint_name)[0]


def _free_of(endpoint: str) -> str:
    """Name of the vertical axis."""
    survival = {"time to recurrence": "Free of recurrence"}
    return survival.get(endpoint.lower(), endpoint[:1].upper() + endpoint[1:])

"""From the statistics to the sections that show them."""

from functools import partial

import numpy as np

from jecur.report.content import ReportContent
from jecur.report.curves import (
    auc_views,
    curves_of_groups,
    short_words,
    survival_views,
    words_of_test,
)
from jecur.report.evidence_probability import (
    calibration_section,
    decision_section,
    fine_gray_section,
    incidence_section,
    subgroup_incidence,
    view,
)
from jecur.report.figures.forest import ForestRow, forest_figure
from jecur.report.figures.survival import km_panel
from jecur.report.held_out import weigh_held_out
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
from jecur.report.wording import competing_words, event_words
from jecur.statistics.cross_validated import HeldOutStatistics
from jecur.statistics.results import (
    CLASSIFIER,
    ModelRow,
    StratifiedFactor,
    StudyStatistics,
    Subgroup,
)

__all__ = ["weigh_evidence"]

NAN = float("nan")


def weigh_evidence(content: ReportContent) -> Evidence:
    """Return the verdict, the key numbers and the sections that show the statistics."""
    if isinstance(content.statistics, HeldOutStatistics):
        return weigh_held_out(content.statistics, virtual=bool(content.banner))
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
    ratio = interval_words(statistics.hazard_ratio)
    tables = (median_table(statistics), survival_table(statistics))
    notes = (
        f"Hazard ratio, high versus low risk: {ratio}. Log-rank test: "
        f"{words_of_test(statistics.logrank)}. Proportional hazards: "
        f"{words_of_test(statistics.proportional_hazards)}.",
    )
    title = "Event-free survival by risk group"
    return Section("survival", title, "", survival_views(statistics), (), tables, notes)


def _stratified_section(statistics: StudyStatistics) -> Section | None:
    if not statistics.stratified:
        return None
    last = float(statistics.overall.curve.time.max()) if statistics.overall.curve else None
    panels = tuple(
        _panel(factor, subgroup, f"stratum_{i}_{j}", last)
        for i, factor in enumerate(statistics.stratified, 1)
        if len(factor.levels) > 1
        for j, subgroup in enumerate(factor.levels, 1)
        if curves_of_groups((subgroup.high, subgroup.low))
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
        if first is not None and any(name != CLASSIFIER for name in model.covariates)
        else "No clinical factor entered the model beside the classifier."
    )
    notes = [
        f"Left out for missing values: {model.n_excluded_missing} patients. Proportional hazards "
        f"of the whole model: {words_of_test(model.proportional_hazards)}. What the classifier adds to the "
        f"other factors (likelihood ratio): {words_of_test(model.added_value)}."
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
    label = "AUC of the risk and of clinical factors over time; numbers in the table below."
    figures = auc_views(curves, statistics.level, label, _or_competing(statistics))
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
    facts = (who, f"HR {short_words(ratio)}, log-rank {short_words(words_of_test(level.logrank))}")
    if level.high.incidence is not None or level.low.incidence is not None:
        return subgroup_incidence(factor.label, level, facts, name, last)
    curves = curves_of_groups((level.high, level.low))
    svg = km_panel(curves, title=factor.label, facts=facts, last_month=last)
    return FigureView(name, svg, f"{factor.label}, {who}. HR {ratio}.")


def _forest_row(row: ModelRow, emphasis: bool) -> ForestRow:
    ratio = row.hazard_ratio
    label = f"{row.label} ({row.contrast})" if row.contrast else row.label
    if ratio.estimate is None:
        return ForestRow(label, NAN, NAN, NAN, NAN, "not estimable", emphasis)
    lower, upper, p = (NAN if v is None else v for v in (ratio.lower, ratio.upper, ratio.p))
    return ForestRow(label, ratio.estimate, lower, upper, p, emphasis=emphasis)


def _or_competing(statistics: StudyStatistics) -> str:
    """Who else is a control where another event competes."""
    if statistics.competing is None:
        return ""
    return f" or ended by {competing_words(statistics.endpoint_name)} (competing risks)"


def _events(statistics: StudyStatistics) -> str:
    return event_words(statistics.endpoint_name)[0]

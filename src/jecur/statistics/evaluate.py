"""The statistics of a study in one call: from risks and follow-up to everything a report prints.

Nothing raises because the data are too few: what cannot be estimated is None beside a reason.
"""

from dataclasses import replace

import numpy as np

from jecur.arrays import Vector
from jecur.errors import EndpointError, TableError
from jecur.settings import StatisticsSettings
from jecur.statistics.added_value import added_value
from jecur.statistics.cautions import find_cautions
from jecur.statistics.competing_risks import competing_risks
from jecur.statistics.cox_models import multivariable_model, univariable_table
from jecur.statistics.markers import auc_curves, marker_concordances
from jecur.statistics.prediction import (
    calibration_of_risk,
    decision_of_risk,
    integrated_brier_of_risk,
)
from jecur.statistics.results import CLASSIFIER, SCORE, EvaluationInput, StudyStatistics
from jecur.statistics.subgroups import (
    compare_groups,
    describe_group,
    stratified_factor,
)
from jecur.statistics.terms import (
    estimate_or_none,
    estimate_or_reason,
    horizons_tied,
    not_estimable,
    tested_or_none,
)
from jecur.survival.bootstrap import bootstrap_interval
from jecur.survival.competing import check_competing
from jecur.survival.concordance_index import NO_ERROR, Concordance, PairWeight, concordance
from jecur.survival.cox import HazardRatio, fit_cox
from jecur.survival.estimate import ChiSquared, Estimate, Reported, ReportedTest
from jecur.survival.proportional_hazards import proportional_hazards_test
from jecur.survival.survival_curve import median_follow_up

__all__ = ["evaluate"]


def evaluate(patients: EvaluationInput, *, settings: StatisticsSettings) -> StudyStatistics:
    """Compute every statistic of a study.

    Parameters
    ----------
    patients
        Risk, group, follow-up and covariates.
    settings
        Horizons, intervals, ties, rules.

    Returns
    -------
    StudyStatistics
        Complete; what the data do not determine is None beside a reason.

    Raises
    ------
    TableError, EndpointError
        Columns of different lengths, risks or months that are missing.
    """
    _check(patients)
    patients = replace(patients, months=horizons_tied(patients.months, settings))
    everybody = np.ones(patients.months.size, dtype=np.bool_)
    counts = int(everybody.size), int(patients.event.sum())
    ratio, test = compare_groups(everybody, patients, settings)
    univariable = univariable_table(patients, settings)
    multivariable = multivariable_model(patients, univariable, settings)
    added = added_value(patients, settings)
    stratified = tuple(stratified_factor(c, patients, settings) for c in patients.covariates)
    return StudyStatistics(
        n=counts[0],
        events=counts[1],
        endpoint_name=patients.endpoint_name,
        endpoint_definition=patients.endpoint_definition,
        level=settings.level,
        landmark_months=settings.landmark_months,
        horizons_months=settings.horizons_months,
        median_follow_up=_follow_up(patients, counts, settings),
        overall=describe_group("all", everybody, patients, settings),
        groups=(
            describe_group("high", patients.high_risk, patients, settings),
            describe_group("low", ~patients.high_risk, patients, settings),
        ),
        logrank=test,
        hazard_ratio=ratio,
        proportional_hazards=_proportional(patients, counts, settings),
        hazard_ratio_per_sd=_per_sd(patients, counts, settings),
        concordance=_concordance(patients.risk, patients, "n", settings),
        concordance_uno=_concordance(patients.risk, patients, "n/G2", settings),
        concordance_groups=_concordance(patients.high_risk.astype(float), patients, "n", settings),
        concordance_bootstrap=_bootstrap(patients, counts, settings),
        univariable=univariable,
        multivariable=multivariable,
        stratified=stratified,
        auc=auc_curves(patients, settings),
        concordances=marker_concordances(patients, settings),
        calibration=calibration_of_risk(patients, settings),
        integrated_brier=integrated_brier_of_risk(patients, settings),
        decision=decision_of_risk(patients, settings),
        competing=competing_risks(patients, settings),
        added_value=added,
        cautions=find_cautions(patients, univariable, multivariable, stratified, added),
        label=patients.label,
        meaning=patients.meaning,
    )


def _check(patients: EvaluationInput) -> None:
    n = len(patients.patient_ids)
    columns = {"months": patients.months, "event": patients.event, "risk": patients.risk}
    columns["high_risk"] = patients.high_risk
    for name, column in columns.items():
        if column.shape != (n,):
            raise TableError(
                f"expected {n} values of {name}, found shape {column.shape}; give one a patient"
            )
    if patients.event.dtype != np.bool_ or patients.high_risk.dtype != np.bool_:
        raise EndpointError("expected event and high_risk as True or False, found another type")
    inside = (patients.risk > 0) & (patients.risk < 1)
    if patients.meaning == "probability" and not np.all(inside):
        raise TableError("expected risks between 0 and 1, found others; check the scores")
    if not np.all(np.isfinite(patients.risk)):
        raise TableError("expected a number as the risk of everybody, found none; check the scores")
    if patients.competing is not None:
        check_competing(patients.competing, patients.event)
    if not np.all(np.isfinite(patients.months) & (patients.months >= 0)):
        raise EndpointError("expected months of zero or more, found others; check the follow-up")
    names = [CLASSIFIER, SCORE, *(c.name for c in patients.covariates)]
    labels = [patients.label, *(c.label for c in patients.covariates)]
    for what, found in (("name", names), ("label", labels)):
        twice = [text for text in dict.fromkeys(found) if found.count(text) > 1]
        if twice:
            raise TableError(
                f"expected covariates and the risk each of another {what}, found {twice[0]!r} twice; "
                "tables could not tell them apart"
            )
    if len(set(patients.patient_ids)) != n:
        raise TableError("expected one row a patient, found patients twice; pool their slides")


def _follow_up(
    patients: EvaluationInput, counts: tuple[int, int], settings: StatisticsSettings
) -> Reported:
    # whoever died first was not lost: only what ended follow-up by censoring counts
    ended = patients.event if patients.competing is None else patients.event | patients.competing
    median, reason = estimate_or_reason(
        lambda: median_follow_up(
            patients.months, ended, interval=settings.interval, level=settings.level
        )
    )
    return median or not_estimable(counts, settings.level, "reverse Kaplan-Meier", reason)


def _proportional(
    patients: EvaluationInput, counts: tuple[int, int], settings: StatisticsSettings
) -> ReportedTest:
    def test() -> ChiSquared:
        x = patients.high_risk[:, None].astype(float)
        response = patients.months, patients.event
        model = fit_cox(x, *response, names=("high versus low risk",), ties=settings.ties)
        return proportional_hazards_test(model, x, *response).global_test

    return tested_or_none(test, counts, "score test")


def _per_sd(
    patients: EvaluationInput, counts: tuple[int, int], settings: StatisticsSettings
) -> Reported:
    def ratio() -> HazardRatio:
        spread = float(patients.risk.std(ddof=1)) if patients.risk.size > 1 else 0.0
        x = patients.risk[:, None] / (spread or 1.0)
        names = ("risk, per standard deviation",)
        model = fit_cox(x, patients.months, patients.event, names=names, ties=settings.ties)
        return model.hazard_ratios(level=settings.level)[0]

    return estimate_or_none(ratio, counts, settings.level, "Cox")


def _concordance(
    marker: Vector, patients: EvaluationInput, weight: PairWeight, settings: StatisticsSettings
) -> Reported:
    def compute() -> Concordance:
        return concordance(
            marker, patients.months, patients.event, weight=weight, level=settings.level
        )

    counts = patients.months.size, int(patients.event.sum())
    return estimate_or_none(compute, counts, settings.level, "concordance")


def _bootstrap(
    patients: EvaluationInput, counts: tuple[int, int], settings: StatisticsSettings
) -> Reported | None:
    if settings.n_bootstrap == 0:
        return None
    value, reason = estimate_or_reason(
        lambda: bootstrap_interval(
            lambda rows: (
                concordance(
                    patients.risk[rows], patients.months[rows], patients.event[rows]
                ).estimate
            ),
            patients.months.size,
            rng=np.random.default_rng(settings.seed),
            n_replicates=settings.n_bootstrap,
            level=settings.level,
        )
    )
    if value is None:
        return not_estimable(counts, settings.level, "bootstrap by patient", reason)
    moved = value.standard_error > NO_ERROR  # else no draw moves it, which is no certainty
    lower, upper = (value.lower, value.upper) if moved else (None, None)
    return Estimate(value.estimate, lower, upper, None, None, *counts, settings.level, value.method)

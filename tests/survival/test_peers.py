"""Libraries that disagree with R, kept out of the program; run where they are installed."""

import numpy as np
import pandas as pd
import pytest

from jecur.survival.auc import time_dependent_auc
from jecur.survival.cox import fit_cox
from jecur.survival.proportional_hazards import proportional_hazards_test


@pytest.fixture
def lung(r):
    return r.build("Surv(time,d)~age+sex+ph.ecog", r.data("lung"))


def own_marker(design):
    model = fit_cox(design.columns, design.time, design.event, names=design.names)
    return model, model.risk(design.columns)


def test_greenwood_s_time_dependent_auc_is_not_r_s(r, lung):
    greenwood = pytest.importorskip("greenwood")
    _, risk = own_marker(lung)
    gold = r.table("timeauc/tdauc.csv").query(
        "dataset == 'lung' and marker == 'lp_age_sex_ecog' and time == 365"
        " and method == 'riskRegression_Score_km'"
    )
    surv = greenwood.Surv(lung.time, lung.event.astype(int))
    theirs = float(np.ravel(greenwood.time_dependent_auc(surv, risk, times=[365.0]))[0])
    ours = time_dependent_auc(risk, lung.time, lung.event, [365.0]).estimate[0]
    assert ours == pytest.approx(gold.auc.iloc[0], abs=1e-12)
    assert abs(theirs - gold.auc.iloc[0]) > 0.005


@pytest.mark.filterwarnings("ignore")  # its own, about pandas
def test_lifelines_proportional_hazards_test_is_not_r_s(r, lung):
    lifelines = pytest.importorskip("lifelines")
    statistics = pytest.importorskip("lifelines.statistics")
    frame = pd.DataFrame(lung.columns, columns=list(lung.names))
    frame = frame.assign(time=lung.time, event=lung.event)
    fitted = lifelines.CoxPHFitter().fit(frame, "time", "event")
    theirs = statistics.proportional_hazard_test(
        fitted, frame, time_transform="km"
    ).summary.test_statistic
    gold = r.table("standard/coxzph.csv").query(
        "model == 'lung1' and ties == 'efron' and transform == 'km' and terms and term != 'GLOBAL'"
    )
    want = gold.set_index("term").chisq
    model, _ = own_marker(lung)
    ours = proportional_hazards_test(model, lung.columns, lung.time, lung.event)
    for name, test in zip(ours.terms, ours.tests, strict=True):
        assert test.chi2 == pytest.approx(want[name], rel=1e-6)
    assert max(abs(theirs[name] / want[name] - 1) for name in want.index) > 0.01

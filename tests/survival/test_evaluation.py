"""The whole analysis: on real patients against its parts, and on data that determine nothing."""

import json

import numpy as np
import pytest

from jecur.errors import EndpointError, TableError
from jecur.settings import StatisticsSettings
from jecur.statistics.evaluate import evaluate
from jecur.statistics.results import CovariateColumn, EvaluationInput, to_json_dict


def cohort(n, *, seed=0, effect=2.0, event_rate=1.0, missing=0.1):
    rng = np.random.default_rng(seed)
    risk = rng.uniform(0.02, 0.98, n)
    time = rng.exponential(40, n) * np.exp(-(risk - 0.5) * effect)
    limit = rng.uniform(5, 90, n)
    stage = rng.choice(np.array(["I", "II", "III"]), n)
    covariates = (
        CovariateColumn("age", "Age", "numeric", tuple(rng.normal(60, 10, n)), unit="year"),
        CovariateColumn(
            "stage",
            "Stage",
            "categorical",
            tuple(None if rng.random() < missing else str(s) for s in stage),
        ),
        CovariateColumn("center", "Center", "categorical", ("one",) * n),
    )
    return EvaluationInput(
        tuple(f"p{k}" for k in range(n)),
        np.minimum(time, limit),
        (time < limit) & (rng.random(n) < event_rate),
        risk,
        risk > 0.4457,
        "RFS",
        "recurrence or death",
        covariates,
    )


def tcga(r, rule="C_cbio_hcc_notR12"):
    data = r.tcga_rule(rule)
    risk = np.clip((data.stage_num.fillna(1) + data.male) / 5, 0.05, 0.95).to_numpy()

    def column(name):
        return tuple(None if v != v else v for v in data[name])

    covariates = (
        CovariateColumn("age", "Age", "numeric", column("age"), unit="year"),
        CovariateColumn("male", "Male", "numeric", column("male")),
        CovariateColumn("afp20", "AFP > 20", "numeric", column("afp20"), cut=0.5),
        CovariateColumn("vi_yes", "Vascular invasion", "numeric", column("vi_yes"), cut=0.5),
        CovariateColumn("stage3", "Stage", "categorical", column("stage3"), reference="I"),
    )
    return EvaluationInput(
        tuple(data.patient_id),
        data.t.to_numpy(float),
        data.e.to_numpy(bool),
        risk,
        risk > 0.4457,
        "TTR",
        "first recurrence; death censors",
        covariates,
    )


def test_univariable_table_is_r_s_on_real_patients(r):
    have = evaluate(tcga(r), settings=StatisticsSettings())
    gold = r.table("tcga/cox_univariable.csv").query(
        "rule == 'C_cbio_hcc_notR12' and ties == 'efron'"
    )
    rows = {(row.covariate, row.contrast): row for row in have.univariable}
    seen = 0
    for want in gold.itertuples():
        level = want.term.removeprefix("stage3")
        contrast = f"{level} vs I" if want.model == "stage3" else "per unit"
        contrast = "per year" if want.model == "age" else contrast
        row = rows.get((want.model, contrast))
        if row is None:
            continue
        assert (row.hazard_ratio.n, row.hazard_ratio.events) == (want.n, want.events)
        assert row.hazard_ratio.n + row.n_missing == have.n
        assert row.hazard_ratio.estimate == pytest.approx(want.HR, rel=1e-7)
        assert row.hazard_ratio.upper == pytest.approx(want.hi95, rel=1e-7)
        assert row.hazard_ratio.p == pytest.approx(want.p, rel=1e-6)
        assert row.term.p == pytest.approx(want.lrt_p, rel=1e-6)
        seen += 1
    assert seen == 6
    assert (have.n, have.events) == (302, 165)


@pytest.mark.slow
def test_numbers_hang_together():
    patients = cohort(400)
    have = evaluate(patients, settings=StatisticsSettings(multivariable="all", n_bootstrap=60))
    high, low = have.groups
    assert high.n + low.n == have.n == 400
    assert high.events + low.events == have.events == patients.event.sum()
    assert have.univariable[0].hazard_ratio.reported() == have.hazard_ratio.reported()
    assert have.hazard_ratio.lower > 1
    assert high.median.estimate < low.median.estimate
    stage = have.stratified[1]
    assert sum(level.n for level in stage.levels) + stage.n_missing == 400
    assert all(g.high.n + g.low.n == g.n for g in stage.levels)
    model = have.multivariable
    assert model.n + model.n_excluded_missing == 400
    assert model.covariates == ("high_risk", "age", "stage")
    assert model.left_out == ("Center: expected center to vary, found one level only",)
    assert model.added_value.p < 0.001
    *estimated, refused = model.rows
    assert len(estimated) == 4
    assert refused.covariate == "center"
    assert refused.hazard_ratio.estimate is None
    assert "one level only" in refused.hazard_ratio.reason
    boot = have.concordance_bootstrap
    assert boot.estimate == have.concordance.estimate
    assert boot.upper - boot.lower == pytest.approx(
        have.concordance.upper - have.concordance.lower, rel=0.4
    )
    risk, group, *_ = have.auc
    assert risk.landmark.estimate > group.landmark.estimate > 0.5
    for point in risk.points:
        assert point.n_controls == np.sum(patients.months > point.months)
        assert point.n_cases == np.sum((patients.months <= point.months) & patients.event)
    groups = have.calibration.groups
    assert sum(g.n for g in groups) == 400
    assert groups[0].observed < groups[-1].observed


@pytest.mark.slow
def test_only_significant_covariates_enter_the_paper_s_model():
    patients = cohort(400)
    model = evaluate(patients, settings=StatisticsSettings()).multivariable
    assert model.covariates == ("high_risk",)
    assert model.added_value.reason == "no covariate beside the classifier"
    assert any(text.startswith("Age: univariable p") for text in model.left_out)


@pytest.mark.slow
def test_order_of_patients_does_not_matter():
    patients = cohort(150)
    order = np.random.default_rng(1).permutation(150)
    shuffled = EvaluationInput(
        tuple(patients.patient_ids[k] for k in order),
        patients.months[order],
        patients.event[order],
        patients.risk[order],
        patients.high_risk[order],
        patients.endpoint_name,
        patients.endpoint_definition,
        tuple(
            CovariateColumn(c.name, c.label, c.kind, tuple(c.values[k] for k in order), unit=c.unit)
            for c in patients.covariates
        ),
    )
    settings = StatisticsSettings(multivariable="all")
    a, b = (flat(evaluate(p, settings=settings).to_json_dict()) for p in (patients, shuffled))
    assert a.keys() == b.keys()
    for key, value in a.items():
        if isinstance(value, float):
            assert b[key] == pytest.approx(value, rel=1e-6, abs=1e-8), key
        else:
            assert b[key] == value, key


def flat(tree, prefix=""):
    if isinstance(tree, dict):
        return {
            k: v for name, part in tree.items() for k, v in flat(part, f"{prefix}/{name}").items()
        }
    if isinstance(tree, list):
        return {k: v for i, part in enumerate(tree) for k, v in flat(part, f"{prefix}/{i}").items()}
    return {prefix: tree}


def changed(patients, **fields):
    names = EvaluationInput.__dataclass_fields__
    return EvaluationInput(**({n: getattr(patients, n) for n in names} | fields))


small = cohort(40, seed=3)
everyone = np.ones(40, bool)
DEGENERATE = {
    "nobody": cohort(0),
    "one patient": cohort(1),
    "one patient, no event": cohort(1, event_rate=0),
    "two patients": cohort(2),
    "three patients": cohort(3, seed=1),
    "no events": changed(small, event=~everyone),
    "all events": changed(small, event=everyone),
    "everyone high": changed(small, high_risk=everyone),
    "everyone low": changed(small, high_risk=~everyone),
    "one risk": changed(small, risk=np.full(40, 0.5)),
    "one time": changed(small, months=np.full(40, 12.0)),
    "all at time zero": changed(small, months=np.zeros(40)),
    "one event": changed(small, event=np.arange(40) == 5),
    "events in one group": changed(small, event=small.event & small.high_risk),
    "all covariates missing": changed(
        small,
        covariates=tuple(
            CovariateColumn(c.name, c.label, c.kind, (None,) * 40) for c in small.covariates
        ),
    ),
    "text declared numeric": changed(
        small, covariates=(CovariateColumn("a", "A", "numeric", ("x",) * 40),)
    ),
    "unknown reference": changed(
        small, covariates=(CovariateColumn("a", "A", "categorical", ("x", "y") * 20, "z"),)
    ),
    "a column of identifiers": changed(
        small,
        covariates=(CovariateColumn("a", "A", "categorical", tuple(f"p{k}" for k in range(40))),),
    ),
    "a covariate twice": changed(
        small,
        covariates=(
            small.covariates[0],
            CovariateColumn("b", "B", "numeric", small.covariates[0].values),
        ),
    ),
}


@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("rule", ["significant", "all"])
@pytest.mark.slow
def test_what_cannot_be_estimated_is_none_with_a_reason(case, rule):
    options = StatisticsSettings(multivariable=rule, n_bootstrap=3)
    tree = evaluate(DEGENERATE[case], settings=options).to_json_dict()
    text = json.dumps(tree, allow_nan=False)
    assert json.loads(text) == tree
    for part in walk(tree):
        if "reason" in part and "estimate" in part:
            assert (part["estimate"] is None) == (part["reason"] is not None), (case, part)
        if "reason" in part and "chi2" in part:
            assert (part["p"] is None) == (part["reason"] is not None), (case, part)


def walk(tree):
    if isinstance(tree, dict):
        yield tree
        for part in tree.values():
            yield from walk(part)
    elif isinstance(tree, list):
        for part in tree:
            yield from walk(part)


def test_json_has_what_other_programs_read():
    tree = evaluate(cohort(100), settings=StatisticsSettings()).to_json_dict()
    assert {"n", "events", "hazard_ratio", "concordance"} <= tree.keys()
    assert {"estimate", "lower", "upper", "p"} <= tree["hazard_ratio"].keys()
    assert {"estimate", "lower", "upper"} <= tree["concordance"].keys()
    assert len(tree["groups"][0]["curve"]["time"]) > 10


def test_json_turns_nan_and_numpy_into_plain_values():
    tree = to_json_dict((np.float64("nan"), np.int64(3), np.array([1.5])))
    assert tree == [None, 3, [1.5]]


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("months", np.ones(39), TableError),
        ("risk", np.ones(40), TableError),
        ("months", np.full(40, np.nan), EndpointError),
        ("patient_ids", ("same",) * 40, TableError),
        ("event", np.ones(40), EndpointError),
    ],
)
def test_refuses_broken_columns(field, value, error):
    with pytest.raises(error, match="expected"):
        evaluate(changed(small, **{field: value}), settings=StatisticsSettings())

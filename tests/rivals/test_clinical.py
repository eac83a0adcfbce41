"""The clinical model: everything about it is fixed on the patients it is trained on."""

from dataclasses import replace

import numpy as np
import pytest

from jecur.cohort.cohort import Patient
from jecur.demo import study_of_virtual_cohort
from jecur.errors import NotEstimableError
from jecur.rivals.bench import Bench
from jecur.rivals.clinical import clinical_columns, fit_linear
from jecur.settings import Covariate, TrainingSettings
from jecur.survival.cox import fit_cox
from jecur.survival.elastic_net import fit_elastic_net, fit_elastic_net_by_folds

AGE = Covariate(column="age", scale="log2")
STAGE = Covariate(column="stage", kind="categorical", levels=("I", "II", "III"))


def _patients(n, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Patient(
            f"P{k}", "training", float(rng.exponential(20)), bool(rng.random() < 0.6), "", (),
            {"age": float(2 ** rng.normal()), "stage": ("I", "II")[k % 2]},
        )
        for k in range(n)
    ]  # fmt: skip


def _bench():
    return Bench(study_of_virtual_cohort("x", TrainingSettings()), {}, None, None, 1, None)


def test_what_is_missing_or_new_takes_the_middle_of_the_training_patients():
    trained_on = _patients(41)
    columns = clinical_columns((AGE, STAGE), trained_on)
    assert columns.names == ("age", "stage (II)")  # no column of a level nobody has
    bare = replace(trained_on[0], covariates={"age": None, "stage": None})
    new = replace(trained_on[0], covariates={"age": 4.0, "stage": "III"})
    x = columns.of([bare, new])
    assert x[0, 0] == pytest.approx(np.median([np.log2(p.covariates["age"]) for p in trained_on]))
    assert x[:, 0][1] == pytest.approx(2.0)
    assert list(x[:, 1]) == [0.0, 0.0]  # 21 of 41 have I; III was never seen
    alone = clinical_columns((AGE, STAGE), trained_on).of([new])
    assert np.array_equal(alone, x[1:])  # whoever else is scored has no say


def test_covariates_that_do_not_vary_are_no_model():
    alike = [replace(p, covariates={"age": 4.0, "stage": "I"}) for p in _patients(30)]
    with pytest.raises(NotEstimableError, match="varies"):
        clinical_columns((AGE, STAGE), alike)
    plain = Covariate(column="age")
    alike = [
        replace(p, covariates={"age": (0.3, 0.1 + 0.2)[k % 2]}) for k, p in enumerate(_patients(30))
    ]
    with pytest.raises(NotEstimableError, match="varies"):
        clinical_columns((plain,), alike)


def test_many_events_are_fitted_by_cox_and_few_by_ridge():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(120, 3))
    months, event = rng.exponential(np.exp(-x[:, 0])), rng.random(120) < 0.7
    names = ("a", "b", "c")
    weights, how = fit_linear(x, months, event, names, _bench())
    assert how == "Cox"
    assert weights == pytest.approx(fit_cox(x, months, event, names=names).coefficients)
    few = np.arange(25)
    shrunk, how = fit_linear(x[few], months[few], event[few], names, _bench())
    assert how.startswith("ridge")
    plain = fit_cox(x[few], months[few], event[few], names=names).coefficients
    assert 0 < np.abs(shrunk).sum() < np.abs(plain).sum()


def test_ridge_leaves_nothing_out_and_goes_to_cox_as_the_penalty_goes_to_zero():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(80, 4))
    months, event = rng.exponential(np.exp(-x[:, 1])), rng.random(80) < 0.7
    found = fit_elastic_net_by_folds(x, months, event, rng=np.random.default_rng(0), mix=0.0)
    assert (found.coefficients != 0).all()
    nearly = fit_elastic_net(x, months, event, strength=1e-6, mix=0.0)
    plain = fit_cox(x, months, event, names=tuple("abcd")).coefficients
    assert nearly.coefficients / nearly.spread == pytest.approx(plain, abs=1e-3)

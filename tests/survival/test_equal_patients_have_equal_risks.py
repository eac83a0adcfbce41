"""A risk hangs on the patient's covariates to the last bit, not on who else is in the table, or where."""

import numpy as np
import pytest

from jecur.rivals.stroma_score import StromaScore
from jecur.survival.concordance_index import concordance
from jecur.survival.cox import fit_cox
from jecur.survival.elastic_net import ElasticNetCox
from jecur.survival.fitted_pair import ModelData, fit_pair


def cohort(seed):
    """Many patients of few kinds, 2 to 11 covariates."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(60, 300)), int(rng.integers(2, 12))
    kinds = rng.normal(size=(20, p)) * rng.choice([1.0, 100.0], p)
    kind = rng.integers(0, 20, n)
    return kinds[kind], kind, rng.exponential(10, n), rng.random(n) < 0.7, rng


def models(seed):
    x, kind, months, event, rng = cohort(seed)
    other = ~event & (rng.random(event.size) < 0.5)
    names = tuple(f"x{k}" for k in range(x.shape[1]))
    p = x.shape[1]
    cox = fit_cox(x, months, event, names=names)
    yield "Cox", x, kind, cox.risk
    net = ElasticNetCox(rng.normal(size=p), x.mean(axis=0), x.std(axis=0), 0.1)
    yield "elastic net", x, kind, net.risk
    data = ModelData(x[:, :-1], x, (names[:-1], names), months, event, other, "efron")
    pair = fit_pair(data)
    yield "Fine-Gray", x, kind, pair.with_score.risk
    yield "Cox beside it", x, kind, pair.with_score.cox_risk
    stroma = StromaScore(names, tuple(range(p)), np.zeros(p), rng.random(p))
    yield "stroma score", x, kind, stroma.of


@pytest.mark.parametrize("seed", range(20))
def test_a_patient_alone_and_among_others(seed):
    for name, x, kind, risk in models(seed):
        have = risk(x)
        for other in (np.asfortranarray(x), x[::-1][::-1], x.repeat(2, axis=0)[::2]):
            np.testing.assert_array_equal(risk(other), have, err_msg=name)
        alone = np.array([risk(row[None])[0] for row in x])
        np.testing.assert_array_equal(alone, have, err_msg=name)
        for k in np.unique(kind):
            assert np.unique(have[kind == k]).size == 1, name


def test_equal_patients_are_tied():
    for seed in range(20):
        x, kind, months, event, _ = cohort(seed)
        names = tuple(f"x{k}" for k in range(x.shape[1]))
        risk = fit_cox(x, months, event, names=names).risk(x)
        found = concordance(risk, months, event)
        rank = np.unique(kind, return_inverse=True)[1].astype(float)
        assert found.tied_marker == concordance(rank, months, event).tied_marker

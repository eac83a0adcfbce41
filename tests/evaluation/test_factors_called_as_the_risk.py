"""What a clinical column is called decides nothing: not either where the risk itself is called so."""

import numpy as np
import pandas as pd
import pytest

import jecur as jc
from jecur.errors import SettingsError

N = 240
ENDPOINT = jc.EndpointSettings(
    kind="recurrence-free survival",
    unit="months",
    event_values=("1",),
    censored_values=("0",),
)
TABLES = ("univariable", "multivariable", "concordance", "auc", "auc_difference", "subgroups")


def tables(names, labels=("Grade", "AFP"), score="s", **told):
    rng = np.random.default_rng(5)
    marker, grade, afp = rng.normal(size=N), rng.choice(["low", "high"], N), rng.normal(size=N)
    months = rng.exponential(20 * np.exp(-marker - 0.9 * (grade == "high") - 0.5 * afp))
    patients = [f"p{k}" for k in range(N)]
    event = (rng.random(N) < 0.7).astype(int)
    clinical = {"patient_id": patients, "time": months, "event": event}
    found = jc.evaluate(
        pd.DataFrame({"patient_id": patients, score: marker}),
        pd.DataFrame(clinical | {names[0]: grade, names[1]: afp}),
        endpoint=ENDPOINT,
        score=score,
        higher="worse",
        covariates=(
            jc.Covariate(names[0], label=labels[0], kind="categorical", levels=("low", "high")),
            jc.Covariate(names[1], label=labels[1], kind="numeric"),
        ),
        **told,
    )
    return {name: found.table(name) for name in TABLES}


@pytest.fixture(scope="module")
def usual():
    return tables(("grade", "afp"))


@pytest.mark.parametrize("names", [("high_risk", "risk"), ("risk", "high_risk"), ("score", "s")])
def test_every_table_is_the_same(usual, names):
    have = tables(names)
    for name in TABLES:
        pd.testing.assert_frame_equal(have[name], usual[name])


def test_a_factor_labeled_as_the_score_is_told_apart(usual):
    have = tables(("grade", "afp"), labels=("Grade", "s"))
    assert list(have["univariable"]["factor"]) == ["s, score", "Grade", "s"]
    numbers = usual["univariable"].columns[2:]
    pd.testing.assert_frame_equal(have["univariable"][numbers], usual["univariable"][numbers])


@pytest.mark.parametrize("labels", [("AFP", "AFP"), ("afp", ""), ("", "grade")])
def test_two_factors_of_one_label_are_refused(labels):
    with pytest.raises(SettingsError, match="another label"):
        tables(("grade", "afp"), labels=labels)

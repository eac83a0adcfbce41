"""DataFrames as people have them: where a refusal lies, and what no text of them says."""

import numpy as np
import pandas as pd
import pytest

import jecur as jc
from jecur.errors import JecurError
from jecur.settings import EndpointSettings

N = 12
ENDPOINT = EndpointSettings(
    kind="time to recurrence", unit="months", event_values=("1",), censored_values=("0",)
)


def _tables(index=None):
    ids = [f"P{k}" for k in range(N)]
    clinical = pd.DataFrame(
        {"patient_id": ids, "time": np.arange(N) + 1.5, "event": np.arange(N) % 2}
    )
    scores = pd.DataFrame({"patient_id": ids, "risk": np.linspace(0.1, 0.9, N)})
    if index is not None:
        clinical.index = scores.index = pd.Index(index)
    return scores, clinical


INDICES = {
    "counted": range(N),
    "of rows that were filtered": range(5, 5 + 3 * N, 3),
    "of days": pd.date_range("2020-01-01", periods=N),
    "of names": [f"Meier {k}" for k in range(N)],
}


@pytest.mark.parametrize("kind", INDICES)
@pytest.mark.parametrize("rows", [[3], [2, 7], list(range(1, 11))])
@pytest.mark.parametrize("which", ["clinical", "scores"])
def test_a_refusal_says_where_a_row_stands_in_its_frame(kind, rows, which):
    scores, clinical = _tables(INDICES[kind])
    wrong, column = (clinical, "time") if which == "clinical" else (scores, "risk")
    wrong[column] = wrong[column].astype(object)
    wrong.iloc[rows, wrong.columns.get_loc(column)] = "twelve"
    with pytest.raises(JecurError) as said:
        jc.evaluate(scores, clinical, endpoint=ENDPOINT, cutoff=0.5)
    label = wrong.index.tolist()[rows[0]]
    where = f"(row {rows[0] + 2} is {which}.iloc[{rows[0]}], index {label!r})"
    assert where in said.value.message
    assert str(said.value) == said.value.message


def test_the_first_row_of_each_problem_is_told():
    scores, clinical = _tables()
    clinical = clinical.astype(object)
    clinical.loc[4, "time"], clinical.loc[6, "event"] = "x", "y"
    with pytest.raises(JecurError) as said:
        jc.evaluate(scores, clinical, endpoint=ENDPOINT, cutoff=0.5)
    assert "clinical.iloc[4]" in said.value.message
    assert "clinical.iloc[6]" in said.value.message


@pytest.mark.parametrize("dtype", [np.float64, np.float32, "Float64"])
def test_ids_that_a_float_does_not_hold_are_refused_and_others_are_not(dtype):
    scores, clinical = _tables()
    for first, fits in ((1000, True), (2**60, False)):
        for table in (scores, clinical):
            table["patient_id"] = pd.Series([first + k for k in range(N)]).astype(dtype)
        if fits:
            assert jc.evaluate(scores, clinical, endpoint=ENDPOINT, cutoff=0.5).statistics.n == N
            continue
        with pytest.raises(JecurError, match=r"float.*read it as text"):
            jc.evaluate(scores, clinical, endpoint=ENDPOINT, cutoff=0.5)
    for table in (scores, clinical):
        table["patient_id"] = [2**60 + k for k in range(N)]
    assert jc.evaluate(scores, clinical, endpoint=ENDPOINT, cutoff=0.5).statistics.n == N


@pytest.mark.parametrize("unit", ["", "months"])
def test_columns_with_several_levels_of_names_are_refused_as_such(unit):
    scores, clinical = _tables()
    clinical.columns = pd.MultiIndex.from_tuples([(name, unit) for name in clinical.columns])
    with pytest.raises(JecurError, match="one name a column, found 2 levels"):
        jc.evaluate(scores, clinical, endpoint=ENDPOINT, cutoff=0.5)

"""The hardest of simulated cohorts at R's values (`benchmarks/cox_against_r.py --gold`)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jecur.errors import NotEstimableError
from jecur.survival.cox import fit_cox

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def fitted(rows):
    p = int(rows["p"].iloc[0])
    return fit_cox(
        rows[[f"x{k + 1}" for k in range(p)]].to_numpy(),
        rows["time"].to_numpy(),
        rows["event"].to_numpy(),
        names=tuple(f"x{k + 1}" for k in range(p)),
        strata=rows["stratum"].to_numpy() if rows["stratified"].iloc[0] else None,
        weights=rows["weight"].to_numpy(),
        ties=rows["ties"].iloc[0],
    )


@pytest.mark.slow
def test_every_hard_cohort_is_as_r_or_refused_where_r_has_no_answer():
    cohorts = dict(list(pd.read_csv(GOLDEN / "cox_hard.csv.gz").groupby("cohort")))
    answers = pd.read_csv(GOLDEN / "cox_hard_in_r.csv.gz").set_index("cohort")
    assert len(answers) >= 300
    numbers = 0
    for cohort, want in answers.iterrows():
        rows = cohorts[cohort]
        if want["verdict"].startswith("not estimable"):
            with pytest.raises(NotEstimableError):
                fitted(rows)
            continue
        model = fitted(rows)
        if want["verdict"].startswith("not as R"):  # ours was the maximum at 50 digits
            assert model.log_likelihood > want["loglik"] - 1e-9
            continue
        numbers += 1
        p = len(model.names)
        b = want[[f"tight_b{k + 1}" for k in range(p)]].to_numpy(float)
        se = want[[f"tight_se{k + 1}" for k in range(p)]].to_numpy(float)
        assert np.all(np.abs(model.coefficients - b) <= 1e-4 * se), cohort
        np.testing.assert_allclose(np.sqrt(np.diag(model.covariance)), se, rtol=1e-4)
        assert model.log_likelihood == pytest.approx(want["tight_loglik"], rel=1e-7, abs=1e-7)
        assert model.likelihood_ratio().p == pytest.approx(want["tight_lrt"], rel=1e-4, abs=1e-13)
    assert numbers >= 150

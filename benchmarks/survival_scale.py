"""How the statistics grow with the number of patients, beside peers where they are installed.

    python benchmarks/survival_scale.py --patients 1000 10000 100000

Prints seconds of processor time a call. The peers run on at most ``--peer-limit`` patients,
because some compare every pair.
"""

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable

import numpy as np

from jecur.settings import StatisticsSettings
from jecur.survival.auc import time_dependent_auc
from jecur.survival.concordance import concordance
from jecur.survival.cox import fit_cox
from jecur.survival.evaluation import evaluate
from jecur.survival.kaplan_meier import kaplan_meier
from jecur.survival.logrank import logrank
from jecur.survival.proportional_hazards import proportional_hazards_test
from jecur.survival.study import CovariateColumn, EvaluationInput

NAMES = tuple(f"x{k}" for k in range(5))


def cohort(n: int, rng: np.random.Generator):
    x = rng.normal(size=(n, 5))
    event_time = rng.exponential(30, n) * np.exp(-x[:, 0])
    limit = rng.uniform(6, 96, n)
    months = np.round(np.minimum(event_time, limit), 1)  # with ties, as in clinical tables
    return x, months, event_time <= limit


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def own(x, months, event) -> dict[str, Callable[[], object]]:
    high = x[:, 0] > 0
    model = fit_cox(x, months, event, names=NAMES)
    stage = tuple(np.array(["I", "II", "III"])[(x[:, 1] > 0).astype(int) + (x[:, 2] > 1)].tolist())
    patients = EvaluationInput(
        tuple(map(str, range(months.size))),
        months,
        event,
        1 / (1 + np.exp(-x[:, 0])),
        high,
        "RFS",
        "simulated",
        (
            CovariateColumn("age", "Age", "numeric", tuple(x[:, 3].tolist())),
            CovariateColumn("stage", "Stage", "categorical", stage),
        ),
    )
    settings = StatisticsSettings(multivariable="all")
    return {
        "Kaplan-Meier": lambda: kaplan_meier(months, event),
        "log-rank": lambda: logrank(months, event, high),
        "Cox, 5 covariates": lambda: fit_cox(x, months, event, names=NAMES),
        "proportional hazards": lambda: proportional_hazards_test(model, x, months, event),
        "Harrell's C with interval": lambda: concordance(x[:, 0], months, event),
        "Uno's C with interval": lambda: concordance(x[:, 0], months, event, weight="n/G2"),
        "AUC at 5 horizons": lambda: time_dependent_auc(
            x[:, 0], months, event, [12, 24, 36, 48, 60]
        ),
        "whole report": lambda: evaluate(patients, settings=settings),
    }


def peers(x, months, event) -> dict[str, Callable[[], object]]:
    calls: dict[str, Callable[[], object]] = {}
    if importlib.util.find_spec("lifelines"):
        import pandas as pd  # noqa: PLC0415
        from lifelines import CoxPHFitter  # noqa: PLC0415
        from lifelines.utils import concordance_index  # noqa: PLC0415

        frame = pd.DataFrame(x, columns=list(NAMES)).assign(t=months, e=event)
        calls["Cox (lifelines)"] = lambda: CoxPHFitter().fit(frame, "t", "e")
        calls["Harrell's C (lifelines)"] = lambda: concordance_index(months, -x[:, 0], event)
    if importlib.util.find_spec("greenwood"):
        import greenwood  # noqa: PLC0415

        surv = greenwood.Surv(months, event.astype(int))
        calls["AUC at 5 horizons (greenwood)"] = lambda: greenwood.time_dependent_auc(
            surv, x[:, 0], [12, 24, 36, 48, 60]
        )
        calls["Harrell's C (greenwood)"] = lambda: greenwood.concordance_index(surv, x[:, 0])
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--peer-limit", type=int, default=10_000)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for n in options.patients:
        data = cohort(n, np.random.default_rng(0))
        calls = own(*data)
        if n <= options.peer_limit:
            calls |= peers(*data)
        for name, call in calls.items():
            print(f"{n:>8}  {name:<32} {seconds(call):9.3f} s")


if __name__ == "__main__":
    main()

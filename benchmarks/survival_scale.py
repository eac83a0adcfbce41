"""Every statistic at growing numbers of patients, beside lifelines and scikit-survival: time, memory.

    python -m benchmarks.survival_scale --patients 1000 10000 100000 --limit 60 --memory-gib 6

Each call has a process of its own with a limit of time and of memory; "-" says that the library has
no such function, "> 60 s" and "> 6 GiB" that it did not get there. Imports and the making of the
data are not counted; every call is made once before on 200 patients. Where a peer gives the same
number its difference is printed. The ratio is the quickest peer over ours.
"""

# ruff: noqa: PLC0415 -- each process imports one library

import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from benchmarks.common import Arguments, table_head, table_row

NAMES = tuple(f"x{k}" for k in range(5))
HORIZONS = [12.0, 24.0, 36.0, 48.0, 60.0]


class Cohort:
    """Virtual patients: five covariates, months with ties, death as a competing event."""

    def __init__(self, n: int) -> None:
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(n, 5))
        event_time = rng.exponential(30, n) * np.exp(-self.x[:, 0])
        limit = rng.uniform(6, 96, n)
        self.months = np.maximum(np.round(np.minimum(event_time, limit), 1), 0.1)
        self.event = event_time <= limit
        self.other = ~self.event & (rng.random(n) < 0.3)
        self.group = np.array(["a", "b", "c"])[(self.x[:, 1] > 0).astype(int) + (self.x[:, 2] > 1)]
        self.high = self.x[:, 0] > 0
        self.site = rng.integers(0, max(n // 20, 2), n)
        self.risk = 1 / (1 + np.exp(-self.x[:, 0]))


def own(c: Cohort) -> dict[str, Callable[[], float]]:
    from jecur.survival import (
        auc,
        brier,
        calibration,
        competing,
        concordance,
        cox,
        fine_gray,
        logrank,
        proportional_hazards,
    )
    from jecur.survival import kaplan_meier as km
    from jecur.survival.bootstrap import bootstrap_interval
    from jecur.survival.contingency import fisher_exact
    from jecur.survival.decision import decision_curve

    t, e, x = c.months, c.event, c.x
    fit = {"names": NAMES}

    def ratios(**more) -> float:
        return cox.fit_cox(x, t, e, **fit, **more).coefficients[0]

    def proportional() -> float:
        model = cox.fit_cox(x, t, e, **fit)
        return proportional_hazards.proportional_hazards_test(model, x, t, e).tests[0].chi2

    def added() -> float:
        return cox.fit_cox(x, t, e, **fit).likelihood_ratio().chi2

    def pairwise() -> float:
        return float(logrank.pairwise_logrank(t, e, c.group).tests[0].p)

    def boot() -> float:
        draw = lambda rows: float(e[rows].mean())  # noqa: E731
        return bootstrap_interval(
            draw, len(t), rng=np.random.default_rng(0), n_replicates=200
        ).lower

    return {
        "Kaplan-Meier, log interval, median": lambda: km.kaplan_meier(t, e).median().estimate,
        "Kaplan-Meier, log-log interval": lambda: km.kaplan_meier(
            t, e, interval="log-log"
        ).survival[-1],
        "log-rank, 3 groups": lambda: logrank.logrank(t, e, c.group).chi2,
        "log-rank, stratified": lambda: logrank.logrank(t, e, c.high, strata=c.group).chi2,
        "log-rank, pairs": pairwise,
        "Cox, 1 covariate": lambda: cox.fit_cox(x[:, :1], t, e, names=NAMES[:1]).coefficients[0],
        "Cox, 5 covariates": ratios,
        "Cox, stratified": lambda: ratios(strata=c.group),
        "Cox, robust by cluster": lambda: ratios(robust_cluster=c.site),
        "proportional hazards": proportional,
        "likelihood-ratio test": added,
        "Harrell's C": lambda: concordance.harrell_concordance(x[:, 0], t, e).estimate,
        "Uno's C": lambda: concordance.uno_concordance(x[:, 0], t, e, tau=60.0).estimate,
        "two concordances compared": lambda: (
            concordance.compare_concordance(x[:, 0], x[:, 1], t, e).estimate
        ),
        "AUC at 5 horizons": lambda: auc.time_dependent_auc(x[:, 0], t, e, HORIZONS).estimate[2],
        "two AUCs compared": lambda: auc.compare_auc(x[:, 0], x[:, 1], t, e, 36).estimate,
        "calibration": lambda: calibration.calibration_groups(c.risk, t, e, 36)[0].observed,
        "Brier score": lambda: brier.brier_score(c.risk, t, e, 36).estimate,
        "decision curve": lambda: decision_curve(
            c.risk, t, e, 36, thresholds=np.linspace(0.05, 0.95, 19)
        ).net_benefit[3],
        "cumulative incidence": lambda: competing.cumulative_incidence(t, e, c.other).incidence[-1],
        "Gray's test": lambda: competing.gray_test(t, e, c.other, c.group).chi2,
        "Fine-Gray, 5 covariates": lambda: fine_gray.fit_fine_gray(
            x, t, e, c.other, **fit
        ).coefficients[0],
        "bootstrap by patient, 200": boot,
        "Fisher's test": lambda: fisher_exact([[40, 60], [20, 80]]).p,
    }


def lifelines_calls(c: Cohort) -> dict[str, Callable[[], float]]:
    import lifelines as ll
    import pandas as pd
    from lifelines import statistics
    from lifelines.utils import concordance_index

    t, e = c.months, c.event
    frame = pd.DataFrame(c.x, columns=list(NAMES)).assign(t=t, e=e, g=c.group, s=c.site)
    plain = frame.drop(columns=["g", "s"])

    def cox(columns, **more) -> float:
        fitted = ll.CoxPHFitter().fit(frame[[*columns, "t", "e"]], "t", "e", **more)
        return float(fitted.params_.iloc[0])

    def proportional() -> float:
        fitted = ll.CoxPHFitter().fit(plain, "t", "e")
        found = statistics.proportional_hazard_test(fitted, plain, time_transform="km")
        return float(np.ravel(found.test_statistic)[0])

    def incidence() -> float:
        code = np.where(e, 1, np.where(c.other, 2, 0))
        fitted = ll.AalenJohansenFitter(jitter_level=1e-9, seed=0).fit(t, code, event_of_interest=1)
        return float(fitted.cumulative_density_.iloc[-1, 0])

    kmf = ll.KaplanMeierFitter
    return {
        "Kaplan-Meier, log interval, median": lambda: kmf().fit(t, e).median_survival_time_,
        "Kaplan-Meier, log-log interval": lambda: float(
            kmf().fit(t, e).survival_function_.iloc[-1, 0]
        ),
        "log-rank, 3 groups": lambda: (
            statistics.multivariate_logrank_test(t, c.group, e).test_statistic
        ),
        "log-rank, pairs": lambda: float(
            statistics.pairwise_logrank_test(t, c.group, e).p_value[0]
        ),
        "Cox, 1 covariate": lambda: cox(NAMES[:1]),
        "Cox, 5 covariates": lambda: cox(NAMES),
        "Cox, stratified": lambda: cox([*NAMES, "g"], strata=["g"]),
        "Cox, robust by cluster": lambda: cox([*NAMES, "s"], cluster_col="s"),
        "proportional hazards": proportional,
        "likelihood-ratio test": lambda: (
            ll.CoxPHFitter().fit(plain, "t", "e").log_likelihood_ratio_test().test_statistic
        ),
        "Harrell's C": lambda: concordance_index(t, -c.x[:, 0], e),
        "cumulative incidence": incidence,
    }


def sksurv_calls(c: Cohort) -> dict[str, Callable[[], float]]:
    from sksurv import compare, metrics, nonparametric
    from sksurv.linear_model import CoxPHSurvivalAnalysis
    from sksurv.util import Surv

    t, e = c.months, c.event
    y = Surv.from_arrays(e, t)
    fit = CoxPHSurvivalAnalysis
    survive = 1.0 - c.risk[:, None]
    return {
        "Kaplan-Meier, log-log interval": lambda: nonparametric.kaplan_meier_estimator(
            e, t, conf_type="log-log"
        )[1][-1],
        "log-rank, 3 groups": lambda: compare.compare_survival(y, c.group)[0],
        "Cox, 1 covariate": lambda: fit(ties="efron").fit(c.x[:, :1], y).coef_[0],
        "Cox, 5 covariates": lambda: fit(ties="efron").fit(c.x, y).coef_[0],
        "Harrell's C": lambda: metrics.concordance_index_censored(e, t, c.x[:, 0])[0],
        "Uno's C": lambda: metrics.concordance_index_ipcw(y, y, c.x[:, 0], tau=60.0)[0],
        "AUC at 5 horizons": lambda: metrics.cumulative_dynamic_auc(y, y, c.x[:, 0], HORIZONS)[0][
            2
        ],
        "Brier score": lambda: metrics.brier_score(y, y, survive, [36.0])[1][0],
        "cumulative incidence": lambda: nonparametric.cumulative_incidence_competing_risks(
            np.where(e, 1, np.where(c.other, 2, 0)), t
        )[1][1][-1],
    }


LIBRARIES = {"jecur": own, "lifelines": lifelines_calls, "scikit-survival": sksurv_calls}


def one(library: str, statistic: str, n: int, memory: float) -> None:
    """Measure one call in this process."""
    warnings.simplefilter("ignore")
    LIBRARIES[library](Cohort(200))[statistic]()
    call = LIBRARIES[library](Cohort(n))[statistic]
    resource.setrlimit(resource.RLIMIT_AS, (int(memory * 2**30),) * 2)
    Path("/proc/self/clear_refs").write_text("5")  # start the peak of memory anew
    before = _resident("VmRSS")
    started = time.perf_counter()
    try:
        value = float(call())
    except MemoryError:
        print(json.dumps({"failed": f"> {memory:g} GiB"}))
        return
    seconds = time.perf_counter() - started
    print(json.dumps({"s": seconds, "mib": _resident("VmHWM") - before, "value": value}))


def _resident(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def measured(library: str, statistic: str, n: int, options) -> dict:
    command = [
        sys.executable,
        "-m",
        "benchmarks.survival_scale",
        "--one",
        library,
        statistic,
        str(n),
    ]
    try:
        done = subprocess.run(
            [*command, "--memory-gib", str(options.memory_gib)],
            capture_output=True, text=True, timeout=options.limit + 25, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"failed": f"> {options.limit:g} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["killed"]
        tight = "memory" in lines[-1].lower() or "alloc" in lines[-1].lower()
        return {"failed": f"> {options.memory_gib:g} GiB" if tight else lines[-1][:60]}
    return json.loads(done.stdout.splitlines()[-1])


def words(found: dict) -> str:
    return found.get("failed") or f"{found['s']:.3f} s, {found['mib']:.0f} MiB"


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--patients", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--limit", type=float, default=60)
    parser.add_argument("--memory-gib", type=float, default=6)
    parser.add_argument("--one", nargs=3)
    options = parser.parse_args()
    if options.one:
        one(options.one[0], options.one[1], int(options.one[2]), options.memory_gib)
        return
    small = Cohort(200)
    statistics = list(own(small))
    have = {name: set(calls(small)) for name, calls in LIBRARIES.items()}
    for n in options.patients:
        print(f"\n{n:,} patients\n\n{table_head('statistic', *LIBRARIES, 'ratio')}", flush=True)
        for statistic in statistics:
            found = {
                name: measured(name, statistic, n, options)
                for name in LIBRARIES
                if statistic in have[name]
            }
            peers = [f["s"] for k, f in found.items() if k != "jecur" and "s" in f]
            mine = found["jecur"].get("s")
            ratio = f"{min(peers) / mine:.1f}" if peers and mine else "-"
            cells = [words(found[k]) if k in found else "-" for k in LIBRARIES]
            print(table_row(statistic, *cells, ratio), flush=True)
            for k, f in found.items():
                if k != "jecur" and "value" in f and "value" in found["jecur"]:
                    gap = abs(f["value"] - found["jecur"]["value"])
                    print(f"    {statistic}: {k} differs by {gap:.2g}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

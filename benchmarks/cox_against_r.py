"""Cox models of 20,000 simulated cohorts beside R's coxph.

    python -m benchmarks.cox_against_r --cohorts 20000
    python -m benchmarks.cox_against_r --first 30000 --cohorts 1500 --gold tests/golden/cox_hard.csv.gz

Cohorts of 20 to 400 patients with 1 to 4 covariates: normal, binary and log-normal up to a log-sd
of 3.5, ties, strata with offsets, case weights. R (installed with apt-get where it is absent) fits
each twice: as it comes, and with tight control. Where the two programs disagree, or one gives no
number, neither is believed: the score at 50 digits says whether a point is the maximum, and a
linear program over every pair of patients whether there is one.
"""

import shutil
import subprocess
import sys
import tempfile
import time as clock
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import mpmath
import numpy as np
import pandas as pd
from benchmarks.common import Arguments, table
from scipy.optimize import linprog

from jecur.errors import NotEstimableError
from jecur.settings import StatisticsSettings
from jecur.statistics.cox_models import multivariable_model, univariable_table
from jecur.statistics.results import CovariateColumn, EvaluationInput
from jecur.survival.cox import fit_cox
from jecur.survival.follow_up import tied_times

HERE = Path(__file__).parent
BATCH = 500
EVERY = 10
"""Every so many cohorts also go through the tables of a report."""


@dataclass(frozen=True)
class Cohort:
    number: int
    time: np.ndarray
    event: np.ndarray
    x: np.ndarray
    kinds: tuple[str, ...]
    stratum: np.ndarray | None
    weight: np.ndarray | None
    ties: str


def simulate(number: int) -> Cohort:
    rng = np.random.default_rng([number, 1972])
    n = int(np.exp(rng.uniform(np.log(20), np.log(400))))
    columns, risk, kinds = [], np.zeros(n), []
    strata = int(rng.choice([1, 1, 1, 2, 3, 6]))
    stratum = rng.integers(0, strata, n) if strata > 1 else None
    for _ in range(int(rng.integers(1, 5))):
        kind = str(rng.choice(["normal", "binary", "log-normal"]))
        effect = rng.normal() * rng.choice([0.0, 0.3, 0.8])
        if kind == "normal":
            column = rng.normal(size=n)
            risk += effect * column
        elif kind == "binary":
            column = (rng.random(n) < rng.uniform(0.03, 0.6)).astype(float)
            risk += effect * column
        else:
            logs = rng.normal(size=n)
            column = np.exp(rng.uniform(0.5, 3.5) * logs)
            # the effect lies in the logarithm, or in the number itself
            risk += effect * (logs if rng.random() < 0.7 else column / column.std())
        if stratum is not None and rng.random() < 0.5:
            offset = rng.normal(size=strata) * 10 ** rng.uniform(0, 2) * max(column.std(), 1e-9)
            column = column + offset[stratum]
        columns.append(column)
        kinds.append(kind)
    x = np.array([[float(f"{v:.7g}") for v in column] for column in columns]).T
    time = rng.exponential(np.exp(-np.clip(risk, -20, 20))) * 30
    end = rng.exponential(30 * rng.choice([0.3, 1.0, 4.0]), n)
    event, time = time <= end, np.minimum(time, end)
    grid = rng.choice([0.0, 0.0, 1e-6, 1.0, 5.0])
    time = np.ceil(time / grid) * grid if grid else time
    time = np.array([float(f"{t:.9g}") for t in time])
    if rng.random() < 0.1:  # a spreadsheet's differences: equal but for rounding
        time = (np.round(time, 1) + 61.3) - 61.3
    weight = None
    if rng.random() < 0.3:
        weight = (
            rng.integers(1, 5, n) if rng.random() < 0.5 else np.round(rng.uniform(0.2, 4, n), 3)
        )
        weight = weight.astype(float)
    ties = "breslow" if rng.random() < 0.15 else "efron"
    return Cohort(number, time, event, x, tuple(kinds), stratum, weight, ties)


def as_rows(c: Cohort) -> pd.DataFrame:
    p = c.x.shape[1]
    frame = pd.DataFrame({"cohort": c.number, "p": p, "time": c.time, "event": c.event.astype(int)})
    frame["stratified"] = int(c.stratum is not None)
    frame["stratum"] = 0 if c.stratum is None else c.stratum
    frame["weight"] = 1.0 if c.weight is None else c.weight
    frame["ties"] = c.ties
    for k in range(4):
        frame[f"x{k + 1}"] = c.x[:, k] if k < p else 0.0
    return frame


def ask_r(cohorts: list[Cohort], folder: Path) -> pd.DataFrame:
    table, answer = folder / "cohorts.csv", folder / "fits.csv"
    pd.concat([as_rows(c) for c in cohorts]).to_csv(table, index=False)
    subprocess.run(["Rscript", str(HERE / "cox_against_r.R"), table, answer], check=True)
    return pd.read_csv(answer, keep_default_na=False, na_values=[""]).set_index("cohort")


def need_r() -> None:
    if shutil.which("Rscript") is None:
        command = ["apt-get", "install", "-y", "r-base-core", "r-cran-survival"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


# -- referees ---------------------------------------------------------------------------------


def score_at(c: Cohort, beta: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Score chi-squared, log-likelihood and standard errors at ``beta``, to 50 digits."""
    mpmath.mp.dps = 50
    time, p = tied_times(c.time), c.x.shape[1]
    stratum = np.zeros(len(time)) if c.stratum is None else c.stratum
    w = np.ones(len(time)) if c.weight is None else c.weight
    x = [[mpmath.mpf(float(v)) for v in row] for row in c.x]
    b = [mpmath.mpf(float(v)) for v in beta]
    r = [mpmath.mpf(float(w[i])) * mpmath.exp(mpmath.fdot(x[i], b)) for i in range(len(x))]
    g, info, total = mpmath.zeros(p, 1), mpmath.zeros(p), mpmath.mpf(0)
    for s in np.unique(stratum):
        inside = np.flatnonzero(stratum == s)
        inside = inside[np.argsort(-time[inside], kind="stable")]
        s0, s1, s2 = mpmath.mpf(0), mpmath.zeros(p, 1), mpmath.zeros(p)
        for t in np.unique(time[inside])[::-1]:
            d0, d1, d2 = mpmath.mpf(0), mpmath.zeros(p, 1), mpmath.zeros(p)
            now = [i for i in inside if time[i] == t]
            dying = [i for i in now if c.event[i]]
            for i in now:
                v = mpmath.matrix(x[i])
                s0, s1, s2 = s0 + r[i], s1 + r[i] * v, s2 + r[i] * v * v.T
                if c.event[i]:
                    d0, d1, d2 = d0 + r[i], d1 + r[i] * v, d2 + r[i] * v * v.T
            for i in dying:
                total += w[i] * mpmath.fdot(x[i], b)
                g += mpmath.mpf(float(w[i])) * mpmath.matrix(x[i])
            mean_weight = mpmath.mpf(float(np.sum(w[dying]))) / max(len(dying), 1)
            for k in range(len(dying)):
                f = mpmath.mpf(k) / len(dying) if c.ties == "efron" else mpmath.mpf(0)
                den = s0 - f * d0
                m = (s1 - f * d1) / den
                total -= mean_weight * mpmath.log(den)
                g -= mean_weight * m
                info += mean_weight * ((s2 - f * d2) / den - m * m.T)
    inverse = info**-1
    se = np.array([float(mpmath.sqrt(inverse[k, k])) for k in range(p)])
    return float((g.T * inverse * g)[0]), float(total), se


def pairs_of(c: Cohort) -> np.ndarray:
    """Differences between every patient with an event and everybody then at risk, scaled."""
    time = tied_times(c.time)
    stratum = np.zeros(len(time)) if c.stratum is None else c.stratum
    pairs = [
        c.x[i] - c.x[(time >= time[i]) & (stratum == stratum[i])] for i in np.flatnonzero(c.event)
    ]
    pairs = np.concatenate(pairs)
    size = np.abs(pairs).max(axis=0)
    return pairs / np.where(size > 0, size, 1.0)


def is_separated(c: Cohort) -> bool:
    """Whether a linear program over all pairs finds a direction in which the likelihood rises."""
    pairs = pairs_of(c)
    pairs = pairs[np.abs(pairs).sum(axis=1) > 0]
    if pairs.shape[1] == 1:
        return bool(np.all(pairs >= 0) or np.all(pairs <= 0))
    pairs = np.unique(pairs / np.linalg.norm(pairs, axis=1, keepdims=True), axis=0)
    p = pairs.shape[1]
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(
        -pairs.sum(axis=0), A_ub=-pairs, b_ub=np.zeros(len(pairs)), bounds=[(-1, 1)] * p,
        options=tight,
    )  # fmt: skip
    return found.x is not None and -found.fun > 1e-7


# -- comparison -------------------------------------------------------------------------------


def close(model, found: pd.Series, p: int, prefix: str) -> bool:
    """Whether coefficients, errors, z, likelihood and p agree with one of R's two fits."""
    b = np.array([found[f"{prefix}b{k + 1}"] for k in range(p)], dtype=float)
    se = np.array([found[f"{prefix}se{k + 1}"] for k in range(p)], dtype=float)
    if not np.all(np.isfinite(b) & (se > 0)):
        return False
    own = np.sqrt(np.diag(model.covariance))
    test = model.likelihood_ratio()
    null, loglik, lrt = (float(found[f"{prefix}{name}"]) for name in ("null", "loglik", "lrt"))
    return bool(
        np.all(np.abs(model.coefficients - b) <= 1e-4 * se)
        and np.all(np.abs(own / se - 1) <= 1e-4)
        and np.all(np.abs(model.coefficients / own - b / se) <= 2e-4 * (1 + np.abs(b / se)))
        and abs(model.null_log_likelihood - null) <= 1e-9 * (1 + abs(null))
        and abs(model.log_likelihood - loglik) <= 1e-7 * (1 + abs(loglik))
        and abs(test.p - lrt) <= 1e-4 * lrt + 1e-14
    )


def verdict(c: Cohort, found: pd.Series) -> tuple[str, object]:
    names = tuple(f"x{k + 1}" for k in range(c.x.shape[1]))
    silent = found["said"] != found["said"] or not found["said"]
    try:
        model = fit_cox(
            c.x, c.time, c.event, names=names, strata=c.stratum, weights=c.weight, ties=c.ties
        )
    except NotEstimableError as refused:
        return refusal(c, found, silent, refused), None
    except Exception as fault:  # noqa: BLE001 -- to be counted
        return f"TRACEBACK {type(fault).__name__}: {fault}", None
    if close(model, found, c.x.shape[1], "tight_") or close(model, found, c.x.shape[1], ""):
        return ("as R" if silent else "as R, which warned: a maximum all the same"), model
    chi2, loglik, se = score_at(c, model.coefficients)
    own = np.sqrt(np.diag(model.covariance))
    right = chi2 < 1e-8 and abs(loglik - model.log_likelihood) <= 1e-9 * (1 + abs(loglik))
    if right and np.all(np.abs(own / se - 1) <= 1e-4):
        who = "silent" if silent else "warned"
        return f"not as R ({who}): ours is the maximum at 50 digits", model
    return f"WRONG NUMBER score {chi2:.2g}, errors {own / se}", model


def refusal(c: Cohort, found: pd.Series, silent: bool, refused: NotEstimableError) -> str:
    p = c.x.shape[1]
    told = found[[f"b{k + 1}" for k in range(p)]].isna().any() or not silent
    if refused.code == "separation":
        if not is_separated(c):
            return "WRONGLY REFUSED as separated"
        who = "R warned or gave none" if told else "R silent"
        return f"not estimable, no maximum ({who})"
    if told:
        return "not estimable, and R warned or gave none"
    if not c.event.any():
        return "not estimable, no event"
    if np.linalg.matrix_rank(pairs_of(c)) < p:
        return "not estimable, covariates do not vary (apart) at risk (R silent, an error of 1e6)"
    return f"WRONGLY REFUSED: {refused.message}"


def shown(c: Cohort) -> str:
    """Whether the tables of a report show every covariate with a number or a reason."""
    n = len(c.time)
    columns = tuple(
        CovariateColumn(f"x{k + 1}", f"x{k + 1}", "numeric", tuple(c.x[:, k].tolist()))
        for k in range(c.x.shape[1])
    )
    patients = EvaluationInput(
        tuple(map(str, range(n))), c.time, c.event, np.linspace(0.1, 0.9, n),
        np.arange(n) % 2 == 0, "recurrence", "", columns,
    )  # fmt: skip
    settings = StatisticsSettings()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = univariable_table(patients, settings)
        model = multivariable_model(patients, table, settings)
    for column in columns:
        rows = [row for row in table if row.covariate == column.name]
        bare = [r for r in rows if r.hazard_ratio.p is None and not r.hazard_ratio.reason]
        of_one = [r for r in rows if (r.hazard_ratio.p is None) != (r.term.p is None)]
        told = column.name in model.covariates or any(
            t.startswith(column.label) for t in model.left_out
        )
        if not rows or bare or of_one or not told:
            return "SILENTLY DROPPED"
    return "every covariate shown"


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--cohorts", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--gold", type=Path, help="keep the 300 hardest of up to 60 patients")
    options = parser.parse_args()
    need_r()
    tally: Counter[str] = Counter()
    hard: list[tuple[float, Cohort, pd.Series, str]] = []
    started, own_seconds = clock.perf_counter(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        for start in range(options.first, options.first + options.cohorts, BATCH):
            stop = min(start + BATCH, options.first + options.cohorts)
            cohorts = [simulate(number) for number in range(start, stop)]
            if options.gold:  # a small file
                cohorts = [c for c in cohorts if len(c.time) <= 60]
            found = ask_r(cohorts, Path(folder))
            begun = clock.perf_counter()
            for c in cohorts:
                answer, model = verdict(c, found.loc[c.number])
                tally[answer.split(":")[0] if answer.startswith("TRACEBACK") else answer] += 1
                if answer.isupper() or answer.split()[0].isupper():
                    print(c.number, answer, c.kinds, len(c.time), flush=True)
                if c.number % EVERY == 0:
                    tally[f"tables: {shown(c)}"] += 1
                if options.gold:
                    hard.append(
                        (
                            difficulty(c, answer, model),
                            c,
                            found.loc[c.number],
                            answer,
                        )
                    )
            own_seconds += clock.perf_counter() - begun
            print(
                f"{stop} {own_seconds:.0f} s of {clock.perf_counter() - started:.0f}",
                file=sys.stderr,
                flush=True,
            )
    show(tally)
    if options.gold:
        write_gold(sorted(hard, key=lambda h: -h[0])[:300], options.gold)


def show(tally: Counter[str]) -> None:
    rows = [(f"{count:,}", answer) for answer, count in tally.most_common()]
    print("\n" + table(("cohorts", "verdict"), rows), flush=True)


def difficulty(c: Cohort, answer: str, model) -> float:
    """Small cohorts R gave up on, disagreed about or took long over first; then the skewed."""
    spread = np.ptp(c.x, axis=0) / np.maximum(c.x.std(axis=0), 1e-300)
    hard = 10.0 * (answer != "as R") + (0 if model is None else model.iterations) + spread.max()
    return float(hard)


def write_gold(hard: list, path: Path) -> None:
    packed = {"method": "gzip", "mtime": 0}
    rows = pd.concat([as_rows(c) for _, c, _, _ in hard])
    rows.to_csv(path, index=False, compression=packed)
    found = [f.to_dict() | {"cohort": c.number, "verdict": a} for _, c, f, a in hard]
    beside = path.with_name(path.name.replace(".csv", "_in_r.csv"))
    pd.DataFrame(found).to_csv(beside, index=False, compression=packed)


if __name__ == "__main__":
    main()

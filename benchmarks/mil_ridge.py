"""What frozen features are worth to a ridge Cox model, beside the measurements of nuclei.

    python -m benchmarks.mil_cohorts prepare --out COHORTS --seeds 1
    python -m benchmarks.mil_ridge --out COHORTS --seeds 1 [--starts FILE ...]

Concordance in five folds inside the training patients, pairs within folds, mean of five divisions; no
validation patient takes part. Features are those of the tiles' mean; nuclear measurements are those of
`jecur.nuclei.features`, mean of tiles. Penalty: STRENGTH / 2 times the squared length of the coefficients
of standardized columns divided by the root of their number, which gives both kinds together equal weight.
Frozen features are those of the encoder that shipped when the cohort was prepared, and of every FILE of
starting weights.
"""

from pathlib import Path

import numpy as np
import torch
from benchmarks.common import Arguments, table_head, table_row
from benchmarks.mil_cohorts import Follow, follow_up
from scipy.optimize import minimize

from jecur.mil.bag import open_bag
from jecur.runs.folder import RunFolder
from jecur.survival.concordance_index import concordance
from jecur.training.mobilenet import build_encoder

STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
N_FOLDS, N_DIVISIONS = 5, 5


def ridge_cox(gram: np.ndarray, months: np.ndarray, event: np.ndarray, strength: float):
    """Dual coefficients: Breslow's partial likelihood, penalized."""
    order = np.argsort(-months, kind="stable")
    event = event[order].astype(float)

    def loss(a: np.ndarray):
        eta = (gram @ a)[order]
        weight = np.exp(eta - eta.max())
        at_risk = np.cumsum(weight)
        value = -(event * (eta - eta.max() - np.log(at_risk))).sum()
        slope = np.empty(len(a))
        slope[order] = -(event - weight * np.cumsum((event / at_risk)[::-1])[::-1])
        penalty = gram @ a
        return (value + strength / 2 * a @ penalty) / len(a), (
            gram @ slope + strength * penalty
        ) / len(a)

    return minimize(loss, np.zeros(len(gram)), jac=True, method="L-BFGS-B").x


def predicted(blocks, follow: Follow, fit: np.ndarray, out: np.ndarray, strength: float):
    """Risks of the rows ``out``; every block of columns has the same weight."""
    gram = outside = 0.0
    for columns in blocks:
        mean, sd = columns[fit].mean(axis=0), columns[fit].std(axis=0) + 1e-8
        x, y = ((columns[rows] - mean) / sd for rows in (fit, out))
        gram, outside = gram + x @ x.T / x.shape[1], outside + y @ x.T / x.shape[1]
    return outside @ ridge_cox(gram, follow.months[fit], follow.event[fit], strength)


def in_folds(blocks, follow: Follow, strength: float) -> float:
    rows, found = np.flatnonzero(follow.training), []
    for division in range(N_DIVISIONS):
        fold = np.random.default_rng(division).permutation(len(rows)) % N_FOLDS
        risk = np.empty(len(rows))
        for k in range(N_FOLDS):
            fit, out = rows[fold != k], rows[fold == k]
            risk[fold == k] = predicted(blocks, follow, fit, out, strength)
        reached = concordance(risk, follow.months[rows], follow.event[rows], strata=fold)
        found.append(reached.estimate)
    return float(np.mean(found))


def described(folder: Path, patients: np.ndarray, weights: Path) -> np.ndarray:
    """(n, d) mean features of each patient's tiles by an encoder of these weights."""
    encoder = build_encoder("mobilenetv2_100", channels=4, start=str(weights), seed=0).eval()
    run, rows = RunFolder.open(folder / "run"), []
    for patient in patients:
        tiles = open_bag([run.slide_folder(str(patient)) / "bag.npy"])
        with torch.inference_mode():
            found = encoder.features(torch.from_numpy(tiles.take(range(len(tiles)))))
        rows.append(found.double().mean(0).numpy())
    return np.array(rows)


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--starts", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    print(table_head("seed", "columns", *(f"{s:g}" for s in STRENGTHS)))
    for seed in given.seeds:
        held, follow = np.load(given.out / f"seed{seed}/features.npz"), follow_up(given.out, seed)
        nuclei = np.where(
            np.isfinite(held["nuclei"]), held["nuclei"], np.nanmean(held["nuclei"], axis=0)
        )
        first = np.r_[0, np.cumsum(held["sizes"])[:-1]]
        frozen, of_nuclei = (
            np.add.reduceat(tiles, first) / held["sizes"][:, None]
            for tiles in (held["rgb_nuclei"].astype(float), nuclei)
        )
        columns = {
            "frozen features": [frozen],
            "nuclei": [of_nuclei],
            "both": [frozen, of_nuclei],
        }
        for weights in given.starts:
            ours = described(given.out / f"seed{seed}", held["patients"], weights)
            columns |= {f"{weights.name}": [ours], f"{weights.name}, nuclei": [ours, of_nuclei]}
        for name, blocks in columns.items():
            cells = (f"{in_folds(blocks, follow, s):.3f}" for s in STRENGTHS)
            print(table_row(seed, name, *cells), flush=True)


if __name__ == "__main__":
    main()

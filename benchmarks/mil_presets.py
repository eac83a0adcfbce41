"""Whole recipes as they are, on the bags of `mil_cohorts.py`: presets, and readings of the paper's recipe.

    python -m benchmarks.mil_cohorts prepare --out COHORTS --seeds 1 2 3 4 5
    python -m benchmarks.mil_presets train --out COHORTS --recipes literal decoupled --seeds 1
    python -m benchmarks.mil_presets train --out COHORTS --recipes paper jecur --seeds 2 3 --null
    python -m benchmarks.mil_presets table --out COHORTS --recipes paper jecur --seeds 2 3

Each reading changes one thing of the literal one (Eq. 2 to 4 as printed, 0.02 times the sum of
squares in Adam's gradient). A training that was stopped goes on from its last epoch. Cohort 1 is
for choosing a reading, by whatever its patients say; figures of a recipe are those of the other
cohorts.
"""

import time
from pathlib import Path

import numpy as np
import torch
from benchmarks.common import Arguments
from benchmarks.mil_cohorts import Follow, cohort_settings, follow_up, line, summarize

from jecur.mil.bag import open_bag
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.settings import PRESETS, TrainingSettings
from jecur.simulate.cohort import draw_patients
from jecur.training.loop import LabeledBag, train_encoder

SHORT: dict[str, object] = {"epochs": 8, "halve_every": 4, "frozen_blocks": 5}
"""A third of the steps, and the leading blocks kept: what a processor affords for a comparison of two."""

READINGS: dict[str, dict[str, object]] = {
    "literal": {},
    "no-penalty": {"l2": 0.0},
    "0.0002": {"l2": 2e-4},
    "0.002": {"l2": 2e-3},
    "mean": {"l2_form": "mean"},
    "decoupled": {"l2_form": "decoupled"},
    "ten-epochs": {"epochs": 10},
    "rate-0.001": {"learning_rate": 1e-3},
    "sum-of-tiles": {"pooling_reduction": "sum"},
    "adapted-norm": {"batch_norm": "train"},
    "random-start": {"start": "random"},
    "short": {"epochs": 8, "halve_every": 4},
    "five-blocks": {"frozen_blocks": 5},
    "short-sum": SHORT,
}
"""Of the paper's recipe; flat settings, see `jecur.settings.training`."""

READINGS |= {
    f"short-{name}": SHORT | change
    for name, change in READINGS.items()
    if change and not change.keys() & SHORT.keys()
}
READINGS |= {f"short-seed-{seed}": SHORT | {"seed": seed} for seed in (1001, 1002)}
# Leading blocks of random weights would stay random.
READINGS["short-random-start"] = READINGS["short"] | READINGS["random-start"]


def settings_of(recipe: str, seed: int) -> TrainingSettings:
    """Settings of a preset or a reading."""
    if recipe in PRESETS:
        return TrainingSettings.from_flat(**PRESETS[recipe], preset=recipe, seed=seed)
    return TrainingSettings.from_flat(**{"seed": seed} | READINGS[recipe])


def result_of(out: Path, seed: int, recipe: str, *, null: bool) -> Path:
    return out / f"seed{seed}" / f"recipe-{recipe}{'-null' if null else ''}.npz"


def train(out: Path, seed: int, recipe: str, *, null: bool) -> None:
    """Train on the training patients and keep the validation patients' risks."""
    target = result_of(out, seed, recipe, null=null)
    if target.exists():
        return
    start, processor = time.monotonic(), time.process_time()
    follow: Follow = follow_up(out, seed, null=null)
    patients = np.load(out / f"seed{seed}" / "features.npz")["patients"].tolist()
    run = RunFolder(out / f"seed{seed}" / "run")  # read alone: two recipes at a time
    bags = [open_bag([run.slide_folder(p) / "bag.npy"]) for p in patients]
    settings = settings_of(recipe, seed)
    poor = follow.event & (follow.months < settings.loss.poor_months)
    distinct = poor | (follow.months >= settings.loss.good_months)
    everybody = settings.loss.name == "cox"
    rows = np.flatnonzero(follow.training & (distinct | everybody))
    labels = follow.event if everybody else poor
    trained = train_encoder(
        [LabeledBag(patients[k], bags[k], bool(labels[k]), follow.months[k]) for k in rows],
        [],
        settings,
        checkpoints=target.with_suffix(""),
        mark=f"{recipe}-{seed}-{null}",
        progress=SilentProgress(),
        on_epoch=lambda state: print(seed, recipe, null, state.curve[-1], flush=True),
    )
    risk, pooling = [], trained.pooling.plain()
    for k in np.flatnonzero(~follow.training):
        tiles = torch.from_numpy(bags[k].take(range(len(bags[k]))))
        with torch.inference_mode():
            risk.append(pooling.pool(trained.encoder(tiles).numpy()))
    cutoff = np.log(trained.cutoff / (1 - trained.cutoff))
    seconds = (time.monotonic() - start, time.process_time() - processor)
    np.savez(target, risk=risk, cutoff=cutoff, seconds=seconds)


def table(out: Path, recipes: list[str], seeds: list[int], *, null: bool) -> None:
    """Each recipe over the seeds that it has, and its difference to the first over those of both."""
    found: dict[str, dict[int, np.lib.npyio.NpzFile]] = {}
    for recipe in recipes:
        paths = {s: result_of(out, s, recipe, null=null) for s in seeds}
        found[recipe] = {s: np.load(path) for s, path in paths.items() if path.exists()}
        for s, one in found[recipe].items():
            row = _row(out, {s: one}, null=null)
            print(line(f"seed {s}, {recipe}", "rgb_nuclei", row, one["seconds"][1]))
        if len(found[recipe]) > 1:
            seconds = float(np.mean([one["seconds"][1] for one in found[recipe].values()]))
            row = _row(out, found[recipe], null=null)
            print(line(f"seeds {list(found[recipe])}, {recipe}", "rgb_nuclei", row, seconds))
    if not null:
        for told, tissue_alone in (("tissue planted", True), ("all planted", False)):
            truth = [planted(out, s, tissue_alone=tissue_alone) for s in seeds]
            row = summarize(truth, [follow_up(out, s) for s in seeds])
            print(line(f"seeds {seeds}, {told}", "", row, 0.0))
    first, *others = recipes
    for recipe in others:
        both = sorted(found[first].keys() & found[recipe].keys())
        if not both:
            continue
        a, b = (_row(out, {s: found[r][s] for s in both}, null=null) for r in (first, recipe))
        gain, difference = b["influence"] - a["influence"], b["c"][0] - a["c"][0]
        error = 1.96 * float(np.sqrt(np.sum(gain**2)))
        print(f"{recipe} less {first}, seeds {both}: {difference:+.3f} ({difference - error:+.3f} to "
              f"{difference + error:+.3f})")  # fmt: skip


def planted(out: Path, seed: int, *, tissue_alone: bool) -> tuple[np.ndarray, float]:
    """Planted log hazards of the validation patients and the training patients' median: the ceiling.

    With the part that is not in the tissue, or without.
    """
    drawn, follow = draw_patients(cohort_settings(seed, null=False)), follow_up(out, seed)
    hazard = drawn.feature_log_hazard if tissue_alone else drawn.log_hazard
    by_patient = dict(zip(drawn.table["patient_id"], hazard, strict=True))
    patients = np.load(out / f"seed{seed}" / "features.npz")["patients"].tolist()
    risk = np.array([by_patient[p] for p in patients], dtype=float)
    return risk[~follow.training], float(np.median(risk[follow.training]))


def _row(out: Path, found, *, null: bool) -> dict:
    risks = [(one["risk"], float(one["cutoff"])) for one in found.values()]
    return summarize(risks, [follow_up(out, s, null=null) for s in found])


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("stage", choices=("train", "table"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", choices=(*PRESETS, *READINGS), required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--null", action="store_true", help="nothing planted")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.stage == "table":
        table(arguments.out, arguments.recipes, arguments.seeds, null=arguments.null)
        return
    for seed in arguments.seeds:
        for recipe in arguments.recipes:
            train(arguments.out, seed, recipe, null=arguments.null)


if __name__ == "__main__":
    main()

"""Every pooling and loss, and the presets, by the product's own trainer on frozen tile features.

The cohorts are those of ``mil_cohorts.py prepare`` (run that first). Tiles were described once by the
shipped starting encoder; what is trained here, by `jecur.training.loop.train_encoder`, is what lies
behind the features: head, gate and pooling. Stage ``choose`` compares recipes by cross-validation
inside the training patients and never looks at a validation patient; ``table`` and ``presets`` score
the validation patients once.

    python -m benchmarks.mil_recipes table --out COHORTS
    python -m benchmarks.mil_recipes choose --out COHORTS
    python -m benchmarks.mil_recipes presets --out COHORTS
"""

import json
import tempfile
import time
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from benchmarks.common import Arguments, table_row
from benchmarks.mil_cohorts import Follow, cohort_settings, line, nuclear_risk, summarize

from jecur.mil.bag import Bag
from jecur.runs.progress import SilentProgress
from jecur.settings import PRESETS, LossName, PoolingName, TrainingSettings
from jecur.simulate.cohort import draw_patients
from jecur.survival.concordance_index import concordance
from jecur.training.loop import LabeledBag, train_encoder

SEEDS = (1, 2, 3, 4, 5)
CHANNELS = ("rgb", "rgb_nuclei")

HEAD = TrainingSettings.from_flat(
    patients_per_step=1_000_000,
    epochs=100,
    learning_rate=2e-3,
    halve_every=1_000_000,
    l2=0.02,
    chunk_size=4096,
    pooling_ends=2,
)
"""All rows of the table: 100 steps over all patients, fixed before the first run. Bags hold 5 to 9
tiles, so top-bottom sees 2 and 2."""

CANDIDATES: dict[str, dict[str, object]] = {
    "paper's pooling and loss": {},
    "mean, cutoff": {"pooling": "mean"},
    "mean, cox": {"pooling": "mean", "loss": "cox"},
    "mean, cox, l2 0.1": {"pooling": "mean", "loss": "cox", "l2": 0.1},
    "mean, cox, l2 0.5": {"pooling": "mean", "loss": "cox", "l2": 0.5},
    "mean, cox, 40 a step, l2 0.1": {
        "pooling": "mean", "loss": "cox", "l2": 0.1, "patients_per_step": 40, "epochs": 34,
    },
    "exponent 1.5, cox, l2 0.1": {"loss": "cox", "l2": 0.1, "pooling_exponent": 1.5},
    "noisy-and, cox, l2 0.1": {"pooling": "noisy-and", "loss": "cox", "l2": 0.1},
}  # fmt: skip
"""Beside `HEAD`; the first is the paper's pooling and loss."""


class Cohort:
    """Features of every patient and follow-up, planted or null."""

    def __init__(self, out: Path, seed: int, *, null: bool) -> None:
        stored = np.load(out / f"seed{seed}" / "features.npz")
        table = draw_patients(cohort_settings(seed, null=null)).table.set_index("patient_id")
        table = table.loc[stored["patients"].tolist()]
        training = (table["role"] == "training").to_numpy()
        event = table["recurrence"].to_numpy() == 1
        self.follow = Follow(table["months"].to_numpy(float), event, training)
        ends = np.cumsum(stored["sizes"])[:-1]
        self.bags = {
            name: [Bag((part,)) for part in np.split(stored[name], ends)] for name in CHANNELS
        }
        self.nuclei = np.split(stored["nuclei"], ends)
        self.seed = seed


def train_model(cohort: Cohort, channels: str, rows: np.ndarray, settings: TrainingSettings):
    """Train on these patients; scores S of everybody, and the cut-off on the same scale."""
    follow, bags = cohort.follow, cohort.bags[channels]
    poor = follow.event & (follow.months < settings.loss.poor_months)
    label = follow.event if settings.loss.name == "cox" else poor
    distinct = poor | (follow.months >= settings.loss.good_months) | (settings.loss.name == "cox")
    settings = settings.with_changes(seed=cohort.seed)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        trained = train_encoder(
            [
                LabeledBag(str(k), bags[k], bool(label[k]), float(follow.months[k]))
                for k in rows[distinct[rows]]
            ],
            [],
            settings,
            checkpoints=Path(folder),
            mark="benchmark",
            progress=SilentProgress(),
        )
    with torch.inference_mode():
        every = torch.from_numpy(np.concatenate([bag.parts[0] for bag in bags]))
        outputs = trained.encoder(every).numpy()
    pooling = trained.pooling.plain()
    per_bag = np.split(outputs, np.cumsum([len(bag) for bag in bags])[:-1])
    risk = np.array([pooling.pool(found) for found in per_bag])
    return risk, float(np.log(trained.cutoff / (1 - trained.cutoff)))


def validated(cohort: Cohort, channels: str, settings: TrainingSettings):
    risk, cutoff = train_model(cohort, channels, np.flatnonzero(cohort.follow.training), settings)
    return risk[~cohort.follow.training], cutoff


def report(out: Path, name: str, channels: str, null: bool, risks, cohorts, seconds: float):
    """Print one row and keep it, with what a paired difference needs."""
    row = summarize(risks, [c.follow for c in cohorts])
    text = line(name, channels, row, seconds / len(cohorts))
    print(("null    " if null else "planted ") + text, flush=True)
    with (out / "recipes.jsonl").open("a") as stream:
        kept = {"name": name, "channels": channels, "null": null, "line": text, "c": row["c"][0]}
        stream.write(json.dumps(kept | {"influence": row["influence"].tolist()}) + "\n")
    return row


def table(out: Path, names: list[str], *, nulls: tuple[bool, ...], channels_of: list[str]) -> None:
    cohorts = {null: [Cohort(out, s, null=null) for s in SEEDS] for null in nulls}
    rows = [(p, loss) for p in names for loss in get_args(LossName)]
    for null, group in cohorts.items():
        for pooling, loss in rows:
            if (pooling, loss) == ("tile-labels", "cox"):
                continue
            settings = HEAD.with_changes(pooling=pooling, loss=loss)
            for channels in channels_of:
                start = time.monotonic()
                risks = [validated(c, channels, settings) for c in group]
                seconds = time.monotonic() - start
                report(out, f"{pooling}, {loss}", channels, null, risks, group, seconds)
        if set(names) != set(get_args(PoolingName)):
            continue
        start = time.monotonic()
        risks = [nuclear_risk(c.nuclei, c.follow, c.seed) for c in group]
        seconds = time.monotonic() - start
        report(out, "nuclear features, elastic-net Cox", "rgb_nuclei", null, risks, group, seconds)


def choose(out: Path, n_folds: int = 3) -> None:
    """Concordance in folds inside the training patients, pairs within folds; no validation patient."""
    cohorts = [Cohort(out, s, null=False) for s in SEEDS[:3]]
    for name, changes in CANDIDATES.items():
        start, found = time.monotonic(), []
        settings = HEAD.with_changes(**changes)
        for cohort in cohorts:
            follow, rows = cohort.follow, np.flatnonzero(cohort.follow.training)
            fold = np.random.default_rng(cohort.seed).permutation(len(rows)) % n_folds
            risk = np.empty(len(rows))
            for k in range(n_folds):
                risk[fold == k] = train_model(cohort, "rgb_nuclei", rows[fold != k], settings)[0][
                    rows[fold == k]
                ]
            found.append(
                concordance(risk, follow.months[rows], follow.event[rows], strata=fold).estimate
            )
        by_seed = " ".join(f"{c:.3f}" for c in found)
        seconds = time.monotonic() - start
        mean, minutes = f"{np.mean(found):.3f}", f"{seconds / 60:.1f}"
        print(table_row(name, mean, by_seed, minutes), flush=True)


def presets(out: Path) -> None:
    """Both presets, as they are but for the size of steps in memory."""
    for null in (False, True):
        group = [Cohort(out, s, null=null) for s in SEEDS]
        rows = {}
        for preset, changes in PRESETS.items():
            settings = TrainingSettings.from_flat(**changes).with_changes(
                chunk_size=4096, pooling_ends=2
            )
            start = time.monotonic()
            risks = [validated(c, "rgb_nuclei", settings) for c in group]
            seconds = time.monotonic() - start
            rows[preset] = report(
                out, f"preset {preset}", "rgb_nuclei", null, risks, group, seconds
            )
        gain = rows["jecur"]["influence"] - rows["paper"]["influence"]
        difference = rows["jecur"]["c"][0] - rows["paper"]["c"][0]
        error = 1.96 * float(np.sqrt(np.sum(gain**2)))
        print(f"jecur less paper: {difference:+.3f} ({difference - error:+.3f} to "
              f"{difference + error:+.3f})", flush=True)  # fmt: skip


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("stage", choices=("table", "choose", "presets"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--poolings", nargs="+", default=list(get_args(PoolingName)))
    parser.add_argument("--channels", nargs="+", default=list(CHANNELS), choices=CHANNELS)
    parser.add_argument("--cohorts", nargs="+", default=["planted", "null"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.stage == "table":
        nulls = tuple(kind == "null" for kind in arguments.cohorts)
        table(arguments.out, arguments.poolings, nulls=nulls, channels_of=arguments.channels)
    else:
        {"choose": choose, "presets": presets}[arguments.stage](arguments.out)


if __name__ == "__main__":
    main()

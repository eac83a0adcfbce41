"""The two presets as they are, on the bags of `mil_cohorts.py`: `paper` trains its whole encoder.

    python -m benchmarks.mil_cohorts prepare --out COHORTS --seeds 1 2 3 4 5
    python -m benchmarks.mil_presets train --out COHORTS --preset paper --seeds 1 2 3
    python -m benchmarks.mil_presets train --out COHORTS --preset jecur --seeds 1 2 3
    python -m benchmarks.mil_presets table --out COHORTS

Nothing is changed but the seed. A training that was stopped goes on from its last epoch; the table
takes the seeds that both presets have.
"""

import time
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from benchmarks.common import Arguments
from benchmarks.mil_cohorts import Follow, follow_up, line, summarize

from jecur.mil.bag import open_bag
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.settings import PRESETS, TrainingSettings
from jecur.settings.training import Preset
from jecur.training.loop import LabeledBag, train_encoder


def train(out: Path, seed: int, preset: str) -> None:
    """Train on the training patients and keep the validation patients' risks."""
    target = out / f"seed{seed}" / f"preset-{preset}.npz"
    if target.exists():
        return
    start = time.monotonic()
    follow: Follow = follow_up(out, seed)
    patients = np.load(out / f"seed{seed}" / "features.npz")["patients"].tolist()
    run = RunFolder(out / f"seed{seed}" / "run")  # read alone: two presets at a time
    bags = [open_bag([run.slide_folder(p) / "bag.npy"]) for p in patients]
    settings = TrainingSettings.from_flat(**PRESETS[preset], preset=preset, seed=seed)
    poor = follow.event & (follow.months < settings.loss.poor_months)
    distinct = poor | (follow.months >= settings.loss.good_months)
    everybody = settings.loss.name == "cox"
    rows = np.flatnonzero(follow.training & (distinct | everybody))
    labels = follow.event if everybody else poor
    trained = train_encoder(
        [LabeledBag(patients[k], bags[k], bool(labels[k]), follow.months[k]) for k in rows],
        [],
        settings,
        checkpoints=out / f"seed{seed}" / f"checkpoints-{preset}",
        mark=f"{preset}-{seed}",
        progress=SilentProgress(),
        on_epoch=lambda state: print(seed, preset, state.curve[-1], flush=True),
    )
    risk, pooling = [], trained.pooling.plain()
    for k in np.flatnonzero(~follow.training):
        tiles = torch.from_numpy(bags[k].take(range(len(bags[k]))))
        with torch.inference_mode():
            risk.append(pooling.pool(trained.encoder(tiles).numpy()))
    seconds = time.monotonic() - start
    cutoff = np.log(trained.cutoff / (1 - trained.cutoff))
    np.savez(target, risk=risk, cutoff=cutoff, seconds=seconds)


def table(out: Path) -> None:
    """Both presets over the seeds that both have, and their difference."""
    seeds = [
        s for s in range(1, 6)
        if all((out / f"seed{s}" / f"preset-{p}.npz").exists() for p in PRESETS)
    ]  # fmt: skip
    follows = [follow_up(out, s) for s in seeds]
    rows = {}
    for preset in PRESETS:
        kept = [np.load(out / f"seed{s}" / f"preset-{preset}.npz") for s in seeds]
        risks = [(k["risk"], float(k["cutoff"])) for k in kept]
        for s, risk, follow, k in zip(seeds, risks, follows, kept, strict=True):
            one = summarize([risk], [follow])
            print(line(f"seed {s}, {preset}", "rgb_nuclei", one, float(k["seconds"])))
        rows[preset] = summarize(risks, follows)
        seconds = float(np.mean([k["seconds"] for k in kept]))
        print(line(f"seeds {seeds}, {preset}", "rgb_nuclei", rows[preset], seconds))
    gain = rows["jecur"]["influence"] - rows["paper"]["influence"]
    difference = rows["jecur"]["c"][0] - rows["paper"]["c"][0]
    error = 1.96 * float(np.sqrt(np.sum(gain**2)))
    print(f"jecur less paper: {difference:+.3f} ({difference - error:+.3f} to "
          f"{difference + error:+.3f})")  # fmt: skip


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("stage", choices=("train", "table"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", choices=get_args(Preset), default="paper")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.stage == "table":
        table(arguments.out)
        return
    for seed in arguments.seeds:
        train(arguments.out, seed, arguments.preset)


if __name__ == "__main__":
    main()

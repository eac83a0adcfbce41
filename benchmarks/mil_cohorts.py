"""Virtual cohorts with a planted and with no effect, for `mil_recipes.py`; and the whole encoder.

Stage ``prepare`` draws the cohorts and stores, for every patient, the bag and the tiles' frozen
features of the shipped starting encoder. Stage ``encoder`` trains the whole encoder with the recipe of
the demonstration, as many seeds as the time given allows.

    python -m benchmarks.mil_cohorts prepare --out COHORTS --seeds 1 2 3 4 5
    python -m benchmarks.mil_cohorts encoder --out COHORTS --seeds 1 2 3 --minutes 20

The null cohort of a seed has the same patients and the same slides, and follow-up that does not
depend on the tissue: `jecur.simulate` draws both from streams that the effect does not touch.
"""

import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from benchmarks.common import Arguments, table_row

from jecur.cohort.cohort import read_cohort
from jecur.demo import DEMO_TRAINING, study_of_virtual_cohort
from jecur.errors import NotEstimableError
from jecur.mil.bag import open_bag
from jecur.mil.pooling import pool_scores
from jecur.nuclei.features import nuclear_feature_table
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.settings import SimulationSettings, TrainingSettings
from jecur.simulate.cohort import draw_patients, simulate_cohort
from jecur.study.prepare import prepare_slide
from jecur.study.recipe import recipe_of_study
from jecur.study.slide_task import SlideTask
from jecur.survival.auc import time_dependent_auc
from jecur.survival.concordance_index import concordance
from jecur.survival.cox import fit_cox
from jecur.survival.elastic_net import fit_elastic_net_by_folds
from jecur.training.loop import LabeledBag, train_encoder
from jecur.training.mobilenet import build_encoder

EFFECT = (0.8, 0.8, 0.8, -0.8)
"""Log hazard ratios of the demonstration."""


def cohort_settings(seed: int, *, null: bool) -> SimulationSettings:
    return SimulationSettings(
        n_training=120,
        n_validation=200,
        seed=seed,
        size_px=896,
        log_hazard_per_sd=EFFECT,
        null=null,
    )


def prepare(out: Path, seed: int) -> None:
    """Slides, bags and features of one cohort; nothing if they are there."""
    folder = out / f"seed{seed}"
    target = folder / "features.npz"
    if target.exists():
        return
    start = time.monotonic()
    simulate_cohort(cohort_settings(seed, null=False), folder / "cohort")
    study = study_of_virtual_cohort("Bags", TrainingSettings())
    recipe, run = recipe_of_study(study), RunFolder.open(folder / "run")
    encoders = {
        channels: build_encoder("mobilenetv2_100", channels=channels, start="builtin", seed=0)
        .eval()
        .to(memory_format=torch.channels_last)
        for channels in (3, 4)
    }
    patients, sizes, nuclei = [], [], []
    features: dict[int, list[np.ndarray]] = {3: [], 4: []}
    for patient in read_cohort(study.cohort, folder / "cohort").patients:
        for entry in patient.slides:
            order = SlideTask(entry.id, patient.id, entry.path, entry.mpp, recipe, run)
            prepare_slide(order)
        bag = open_bag([run.slide_folder(entry.id) / "bag.npy" for entry in patient.slides])
        tiles = bag.take(range(len(bag)))
        patients.append(patient.id)
        sizes.append(len(tiles))
        nuclei.append(nuclear_feature_table(tiles))
        for channels, encoder in encoders.items():
            with torch.inference_mode():
                found = encoder.features(torch.from_numpy(tiles[..., :channels].copy()))
            features[channels].append(found.numpy().astype(np.float32))
    np.savez(
        target,
        patients=patients,
        sizes=sizes,
        rgb=np.concatenate(features[3]),
        rgb_nuclei=np.concatenate(features[4]),
        nuclei=np.concatenate(nuclei),
    )
    print(f"seed {seed}: {sum(sizes)} tiles, {time.monotonic() - start:.0f} s", flush=True)


@dataclass(frozen=True)
class Follow:
    months: np.ndarray
    event: np.ndarray
    training: np.ndarray


def nuclear_risk(nuclei: list[np.ndarray], follow: Follow, seed: int):
    """Elastic-net Cox on mean and spread of each patient's nuclear measurements: risk and cut-off."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a patient whose tiles all lack a measurement
        x = np.array([np.r_[np.nanmean(v, 0), np.nanstd(v, 0)] for v in nuclei])
    rows = follow.training
    x = np.where(np.isfinite(x), x, np.nanmedian(x[rows], axis=0))
    rng = np.random.default_rng(seed)
    model = fit_elastic_net_by_folds(x[rows], follow.months[rows], follow.event[rows], rng=rng)
    return model.risk(x[~rows]), float(np.median(model.risk(x[rows])))


def summarize(risks, follows) -> dict:
    """Pairs and risk sets within a seed; n = validation patients of all seeds."""
    unseen = [~f.training for f in follows]
    months = np.concatenate([f.months[u] for f, u in zip(follows, unseen, strict=True)])
    event = np.concatenate([f.event[u] for f, u in zip(follows, unseen, strict=True)])
    stratum = np.repeat(np.arange(len(risks)), [len(r) for r, _ in risks])
    risk = np.concatenate([r for r, _ in risks])
    high = np.concatenate([r > t for r, t in risks])
    found = concordance(risk, months, event, strata=stratum)
    by_seed = [
        concordance(risk[stratum == k], months[stratum == k], event[stratum == k]).estimate
        for k in range(len(risks))
    ]
    auc = np.array(
        [
            time_dependent_auc(
                risk[stratum == k], months[stratum == k], event[stratum == k], [24, 48]
            ).estimate
            for k in range(len(risks))
        ]
    )
    try:
        ratio = fit_cox(high[:, None].astype(float), months, event, names=("high",), strata=stratum)
        hazard = ratio.hazard_ratios()[0]
        text = f"{hazard.estimate:.2f} ({hazard.lower:.2f}-{hazard.upper:.2f})"
    except NotEstimableError:
        text = "not estimable"
    return {
        "c": (found.estimate, found.lower, found.upper),
        "influence": found.influence,
        "range": (min(by_seed), max(by_seed)),
        "auc": auc.mean(0),
        "hr": text,
    }


def line(name: str, channels: str, found: dict, seconds: float) -> str:
    c, spread, auc = found["c"], found["range"], found["auc"]
    return table_row(
        name,
        "3" if channels == "rgb" else "4",
        f"{c[0]:.3f} ({c[1]:.3f}-{c[2]:.3f})",
        f"{spread[0]:.3f}-{spread[1]:.3f}",
        *(f"{a:.3f}" for a in auc[:2]),
        found["hr"],
        f"{seconds / 60:.2f}",
    )


def follow_up(out: Path, seed: int, *, null: bool = False) -> Follow:
    stored = np.load(out / f"seed{seed}" / "features.npz")
    table = draw_patients(cohort_settings(seed, null=null)).table.set_index("patient_id")
    table = table.loc[stored["patients"].tolist()]
    training = (table["role"] == "training").to_numpy()
    return Follow(table["months"].to_numpy(float), table["recurrence"].to_numpy() == 1, training)


def encoder_table(out: Path, seeds: list[int], minutes: float) -> None:
    """Whole encoder with the demonstration's recipe, both channels of a seed, while time allows."""
    began, found = time.monotonic(), {"rgb": [], "rgb+nuclei": []}
    follows = []
    for seed in seeds:
        if time.monotonic() - began > 60 * minutes:
            break
        follow = follow_up(out, seed)
        follows.append(follow)
        for channels, so_far in found.items():
            start = time.monotonic()
            so_far.append(train_whole(out, seed, follow, channels))
            row = summarize([so_far[-1]], [follow])
            print(
                line(
                    f"seed {seed}, demonstration's recipe",
                    channels.replace("+", "_"),
                    row,
                    time.monotonic() - start,
                ),
                flush=True,
            )
    for channels, risks in found.items():
        row = summarize(risks, follows)
        name = f"all {len(follows)} seeds, demonstration's recipe"
        print(line(name, channels.replace("+", "_"), row, time.monotonic() - began), flush=True)


def train_whole(out: Path, seed: int, follow: Follow, channels: str):
    stored = np.load(out / f"seed{seed}" / "features.npz")
    run = RunFolder.open(out / f"seed{seed}" / "run")
    bags = [open_bag([run.slide_folder(p) / "bag.npy"]) for p in stored["patients"].tolist()]
    poor = follow.event & (follow.months < 19.2)
    rows = np.flatnonzero(follow.training & (poor | (follow.months >= 48.0)))
    settings = DEMO_TRAINING.with_changes(seed=seed, channels=channels)
    with tempfile.TemporaryDirectory() as folder:
        encoder = train_encoder(
            [LabeledBag(str(k), bags[k], bool(poor[k])) for k in rows],
            [],
            settings,
            checkpoints=Path(folder),
            mark="benchmark",
            progress=SilentProgress(),
        ).encoder
    risk = []
    for k in np.flatnonzero(~follow.training):
        tiles = bags[k].take(range(len(bags[k])))[..., : settings.n_channels]
        with torch.inference_mode():
            scores = encoder(torch.from_numpy(np.ascontiguousarray(tiles)))
        risk.append(pool_scores(scores.numpy()))
    return np.array(risk), float(np.log(settings.loss.cutoff / (1 - settings.loss.cutoff)))


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("stage", choices=("prepare", "encoder"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--minutes", type=float, default=10.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for seed in arguments.seeds:
        prepare(arguments.out, seed)
    if arguments.stage == "encoder":
        encoder_table(arguments.out, arguments.seeds, arguments.minutes)


if __name__ == "__main__":
    main()

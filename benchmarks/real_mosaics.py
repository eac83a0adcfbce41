"""Real tissue end to end: slides laid out of two organs, recurrence planted on the share of one.

    python -m benchmarks.real_mosaics DATA --out SCRATCH [--pair kidney-breast] [--seeds 1 2 3]
    python -m benchmarks.real_mosaics DATA --out SCRATCH --presets paper --seeds 1

Sources are MoNuSeg fields (`nuclei`: 250 or 500 um a side, organs as published) of two organs, 8 or 9 of
each. A seed divides the fields of each organ: the larger half is for training patients, the rest for
validation patients, and no field is on both sides. 60 + 60 patients, one slide each, drawn by
`jecur.simulate.patients` with the plant "stroma": its share is here the share of the first organ; log hazard
0.9 per standard deviation, clinical factors, censoring and all else as `jecur simulate` has them. Under the
null the same slides get follow-up that does not depend on the share (four channels alone).

A slide: 4 x 4 squares of 128 um at 0.5 um/px on glass, somewhere, so that most tiles cross squares (13 to 16
tiles). A straight front at a random angle parts the two organs; the share is planted to the nearest
sixteenth. All squares of an organ on one slide are random crops, turned, of one field. Both fields are first
brought to the stain of a third, drawn among all fields of that side, as one laboratory would have stained one
slide: color tells the organs apart no more than normalization leaves. What is left is measured: `color` is an
elastic-net Cox model on mean and spread of red, green and blue of each patient's tiles as the network sees
them, fitted on the training patients.

`jecur.pipeline.run_study` does the rest from the slides on disk, with a preset as it is. Intervals are over
validation patients, pairs and risk sets within a seed; they know nothing of the luck of training, nor of that
there are 4 or 5 fields of an organ on a side: the lowest and highest seed say more of it.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import torch
from benchmarks.common import Arguments, table_head, table_row
from benchmarks.mil_cohorts import Follow, nuclear_risk, summarize
from PIL import Image
from scipy.stats import spearmanr

from jecur.arrays import RGB
from jecur.demo import study_of_virtual_cohort
from jecur.errors import StainError
from jecur.mil.bag import open_bag
from jecur.pipeline import run_study
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.settings import (
    PRESETS,
    RunSettings,
    ScoringSettings,
    SimulationSettings,
    StainSettings,
    preset_training,
)
from jecur.simulate.cohort import draw_patients
from jecur.simulate.patients import VirtualPatients
from jecur.simulate.slide import write_slide
from jecur.stain.appearance import SlideStain, StainReference
from jecur.stain.normalizer import fit_slide_stain, restore_normalizer
from jecur.training.nuclei.data import SCALE_OF_IMAGE

ORGANS = {
    "kidney": ("B0", "HE", "2Z", "GL", "IZ"),
    "breast": ("A7", "AR", "E2", "AC", "AO"),
    "prostate": ("CH", "G9", "EJ", "HC"),
    "lung": ("18", "21", "38", "49", "50", "44", "69"),
}
"""Tissue source sites of TCGA among the MoNuSeg fields. 18 to 50 were published as liver, and are lung."""
PAIRS = ("kidney-breast", "prostate-lung")
MPP, SQUARE_PX, SQUARES, SIDE_PX, GLASS = 0.5, 256, 4, 1152, 245
N_PATIENTS = 60
"""Of each role."""
CHANNELS = ("rgb+nuclei", "rgb")


@dataclass(frozen=True)
class Source:
    """One field at 0.5 um/px, with its stain."""

    name: str
    rgb: RGB
    stain: SlideStain


def read_sources(data: Path, organ: str) -> list[Source]:
    """Every field of an organ whose stain can be fitted."""
    found = []
    for path in sorted((data / "nuclei").glob("monuseg2018_*/images/TCGA-*.png")):
        if path.name.split("-")[1] not in ORGANS[organ]:
            continue
        with Image.open(path) as image:
            whole = image.convert("RGB")
        step = round(MPP / SCALE_OF_IMAGE.get(path.name, 0.25))
        rgb = np.asarray(whole.reduce(step) if step > 1 else whole)
        rng = np.random.default_rng(0)
        pixels = rgb.reshape(-1, 3)[rng.integers(0, rgb.shape[0] * rgb.shape[1], 100_000)]
        try:
            found.append(Source(path.stem, rgb, fit_slide_stain(pixels, StainSettings())))
        except StainError as error:
            print(f"left out: {path.name}: {error.code}", file=sys.stderr)
    return found


def one_side(sources: Sequence[Source], rng: np.random.Generator) -> dict[str, list[Source]]:
    """Divide the fields of an organ: the larger half trains."""
    order = rng.permutation(len(sources))
    n = (len(order) + 1) // 2
    return {
        "training": [sources[k] for k in order[:n]],
        "validation": [sources[k] for k in order[n:]],
    }


def cohort_settings(seed: int, *, null: bool) -> SimulationSettings:
    return SimulationSettings(
        n_training=N_PATIENTS, n_validation=N_PATIENTS, seed=seed, null=null, plant="stroma",
        plant_log_hazard=0.9,
    )  # fmt: skip


def planted_squares(patients: VirtualPatients) -> np.ndarray:
    """(n,) squares of the first organ on each slide, of 16."""
    return np.rint(patients.features[:, 0] * SQUARES**2).astype(int)


def lay_out(
    first: Source, second: Source, donor: Source, n_first: int, rng: np.random.Generator
) -> RGB:
    """One slide: ``n_first`` squares of the first organ on one side of a straight front."""
    settings = StainSettings()
    target = StainReference(
        donor.name, donor.stain.appearance, settings.percentile, settings.separation_sparsity
    )
    stained = [
        restore_normalizer(source.stain, settings, target).apply(source.rgb[None])[0]
        for source in (first, second)
    ]
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = (index.ravel() for index in np.indices((SQUARES, SQUARES)))
    order = np.argsort(rows * np.sin(angle) + columns * np.cos(angle), kind="stable")
    image = np.full((SIDE_PX, SIDE_PX, 3), GLASS, dtype=np.uint8)
    top, left = rng.integers(0, SIDE_PX - SQUARES * SQUARE_PX + 1, 2)
    for place, k in enumerate(order):
        field = stained[0 if place < n_first else 1]
        y, x = (rng.integers(0, n - SQUARE_PX + 1) for n in field.shape[:2])
        square = np.rot90(field[y : y + SQUARE_PX, x : x + SQUARE_PX], rng.integers(4))
        square = square[:, :: rng.choice([-1, 1])]
        down, right = top + rows[k] * SQUARE_PX, left + columns[k] * SQUARE_PX
        image[down : down + SQUARE_PX, right : right + SQUARE_PX] = square
    return image


def write_cohort(data: Path, pair: str, seed: int, folder: Path) -> None:
    """Slides, and the clinical tables with the effect and without."""
    (folder / "slides").mkdir(parents=True, exist_ok=True)
    sides = [
        one_side(read_sources(data, organ), np.random.default_rng([seed, k]))
        for k, organ in enumerate(pair.split("-"))
    ]
    for role in ("training", "validation"):
        names = [[field.name for field in side[role]] for side in sides]
        print(f"seed {seed}, {pair}, {role} fields: {names}", file=sys.stderr, flush=True)
    for null in (False, True):
        patients = draw_patients(cohort_settings(seed, null=null))
        slides = [f"{name}.tiff" for name in patients.table.patient_id]
        patients.table.assign(slide=slides).to_csv(folder / table_name(null=null), index=False)
    for k, (role, n_first) in enumerate(
        zip(patients.table.role, planted_squares(patients), strict=True)
    ):
        path = folder / "slides" / slides[k]
        rng = np.random.default_rng([seed, 2, k])
        fields = [side[role][rng.integers(len(side[role]))] for side in sides]
        both = [*sides[0][role], *sides[1][role]]
        donor = both[rng.integers(len(both))]
        if not path.is_file():
            write_slide(path, lay_out(*fields, donor, n_first, rng), um_per_px=MPP)


def table_name(*, null: bool) -> str:
    return "clinical-null.csv" if null else "clinical.csv"


@dataclass(frozen=True)
class Run:
    """What one run of the product said of its validation patients."""

    risk: np.ndarray
    cutoff: float
    follow: Follow
    minutes: float
    n_out: int
    truth: tuple[np.ndarray, np.ndarray]
    """Of the validation patients: share of the first organ, and the true log hazard."""


def run_product(folder: Path, preset: str, channels: str, seed: int, *, null: bool) -> Run:
    """Run the study of the slides; only what is missing is done."""
    start = time.monotonic()
    name = f"{preset}-{channels}{'-null' if null else ''}"
    study = study_of_virtual_cohort(
        name, preset_training(preset, seed=seed).with_changes(channels=channels)
    )
    study = msgspec.structs.replace(
        study,
        cohort=msgspec.structs.replace(study.cohort, table=table_name(null=null)),
        run=RunSettings(cache=str((folder / "cache").resolve())),
        scoring=ScoringSettings(n_heatmaps=0),
    )
    run = RunFolder.open(folder / "runs" / name)
    report = run_study(study, folder, run, workers=1, progress=SilentProgress())
    minutes = (time.monotonic() - start) / 60
    scores = pd.read_csv(run.root / "scores.csv").set_index("patient_id")
    patients = draw_patients(cohort_settings(seed, null=null))
    rows = patients.table.patient_id.isin(scores.index).to_numpy()
    table = patients.table[rows]
    follow = Follow(
        table.months.to_numpy(), table.recurrence.to_numpy() == 1, np.zeros(len(table), bool)
    )
    scores = scores.loc[table.patient_id]
    truth = planted_squares(patients)[rows] / SQUARES**2, patients.log_hazard[rows]
    return Run(
        scores.risk.to_numpy(), float(scores.cutoff.iloc[0]), follow, minutes, len(report.excluded), truth
    )  # fmt: skip


def color_model(folder: Path, seed: int, *, null: bool) -> tuple[np.ndarray, float]:
    """Risks of the validation patients, and cut-off, of what needs no network: the tiles' colors."""
    run = folder / "runs" / f"jecur-{CHANNELS[0]}"
    colors, kept = [], []
    table = draw_patients(cohort_settings(seed, null=null)).table
    for name in table.patient_id:
        path = run / "slides" / name / "bag.npy"
        if path.is_file():
            bag = open_bag([path])
            rgb = bag.take(range(len(bag)))[..., :3].reshape(len(bag), -1, 3)
            colors.append(np.concatenate([rgb.mean(1), rgb.std(1)], axis=1))
            kept.append(name)
    table = table.set_index("patient_id").loc[kept]
    training = (table.role == "training").to_numpy()
    follow = Follow(table.months.to_numpy(), table.recurrence.to_numpy() == 1, training)
    return nuclear_risk(colors, follow, seed)


def row_of(name: str, runs: Sequence[Run]) -> dict:
    """Print one row, and return what it says."""
    found = summarize([(r.risk, r.cutoff) for r in runs], [r.follow for r in runs])
    c, (low, high) = found["c"], found["range"]
    events = sum(int(r.follow.event.sum()) for r in runs)
    print(table_row(
        name, f"{events} of {sum(len(r.risk) for r in runs)}", f"{c[0]:.3f} ({c[1]:.3f}-{c[2]:.3f})",
        f"{low:.3f}-{high:.3f}" if len(runs) > 1 else "", found["hr"],
        f"{np.mean([spearmanr(r.risk, r.truth[0]).statistic for r in runs]):+.2f}",
        f"{np.mean([r.minutes for r in runs]):.1f}", sum(r.n_out for r in runs),
    ), flush=True)  # fmt: skip
    return found


def as_run(of: Run, risk: np.ndarray, cutoff: float) -> Run:
    """Another marker of the same validation patients."""
    return Run(risk, cutoff, of.follow, 0.0, of.n_out, of.truth)


def difference(first: dict, second: dict) -> str:
    """Concordance of the first less that of the second, of the same patients."""
    error = 1.96 * float(np.sqrt(np.sum((first["influence"] - second["influence"]) ** 2)))
    gain = first["c"][0] - second["c"][0]
    return f"{gain:+.3f} ({gain - error:+.3f} to {gain + error:+.3f})"


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_data()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pair", choices=PAIRS, default=PAIRS[0])
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=["jecur"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    given = parser.parse_args()
    torch.set_num_threads(1)
    runs: dict[tuple[str, bool], list[Run]] = {}
    print(table_head(
        "run", "events", "concordance (95 % CI)", "lowest and highest seed",
        "hazard ratio by the locked cut-off (95 % CI)", "rank correlation with the planted share",
        "minutes", "patients not scored",
    ))  # fmt: skip
    for seed in given.seeds:
        folder = given.out / given.pair / f"seed{seed}"
        write_cohort(given.data, given.pair, seed, folder)
        for null in (False, True):
            for preset in given.presets:
                for channels in CHANNELS if preset == "jecur" and not null else CHANNELS[:1]:
                    name = f"{preset}, {channels}"
                    one = run_product(folder, preset, channels, seed, null=null)
                    row_of(f"seed {seed}, {name}{', null' if null else ''}", [one])
                    runs.setdefault((name, null), []).append(one)
            if "jecur" not in given.presets:
                continue
            share, hazard = one.truth
            others = {
                "color": color_model(folder, seed, null=null),
                "planted share": (share, 0.5),
                "true log hazard": (hazard, float(np.median(hazard))),
            }
            for name, (risk, cutoff) in others.items():
                runs.setdefault((name, null), []).append(as_run(one, risk, cutoff))
    for null in (False, True):
        found = {
            name: row_of(f"all seeds, {name}{', null' if null else ''}", of)
            for (name, n), of in runs.items()
            if n == null
        }
        if "jecur" in given.presets:
            first = found[f"jecur, {CHANNELS[0]}"]
            for name, other in found.items():
                if other is first:
                    continue
                print(
                    f"{'null: ' if null else ''}jecur, four channels, less {name}: {difference(first, other)}"
                )


if __name__ == "__main__":
    main()

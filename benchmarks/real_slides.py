"""Real tissue end to end: benign or malignant breast by the product's own cross-validation.

    python -m benchmarks.real_slides DATA --out SCRATCH [--seeds 1 2 3] [--permuted 10]

40 H&E images of 7 tissue arrays (`breast_ucsb58`: breast, not liver) are written as slides of 0.25 um/px
("reported 40x", as in `starting_features`), and a study is made of them: malignant is an event at 6 months,
benign 120 months without one, so that what is trained on is malignant or benign. `jecur.study.cross_validate`
does the rest (tissue, tiles, stain, nuclei, preset `jecur`, locked cut-off): three folds, whole arrays in
one, once with four channels and once with three. The follow-up is made up; nothing here is prognosis.

The share of tissue of an image alone tells malignant from benign. So the tissue is taken without closing gaps
or filling holes, tiles of 128 um (96 um overlap: 12 places an image) count by how much of them is tissue, and
images without such a tile are left out by the product:

- full: at least 99 % tissue; most: at least 80 %;
- usual: the product's own settings, gaps closed, half of a tile.

Beside each stands what the share of tissue says of the same images in the same folds: of the whole image, and
of the tiles taken, by the rule of `starting_features` (smallest channel at most 215).

- AUC: pairs within folds, as risks of two models do not compare; with a percentile interval of 2,000 draws of
  whole arrays (the models are not trained again).
- Seeds: of the training, and of ties between foldings.
- Permuted: labels permuted within arrays among the images that have a tile, and the whole cross-validation
  again on the same prepared slides, four channels. p: share of these and the observed one with an AUC at
  least as high.
"""

import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from benchmarks.common import Arguments, table_head, table_row
from benchmarks.mil_real_tissue import auc_within
from benchmarks.starting_features import WHITE, array_draws, limits
from PIL import Image

from jecur.errors import JecurError
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.settings import (
    CohortSettings,
    ColumnSettings,
    CrossvalSettings,
    EndpointSettings,
    RunSettings,
    ScoringSettings,
    StainSettings,
    StudySettings,
    TilingSettings,
    TissueSettings,
    preset_training,
)
from jecur.simulate.slide import write_slide
from jecur.study.cross_validate import CrossValidationReport, cross_validate

MPP, N_FOLDS = 0.25, 3
MONTHS_MALIGNANT, MONTHS_BENIGN = 6.0, 120.0
BARE = TissueSettings(closing_um=0.0, max_hole_mm2=0.0)
"""Gaps and holes are no tissue."""
SHARES: dict[str, tuple[TissueSettings, float]] = {
    "full": (BARE, 0.99),
    "most": (BARE, 0.8),
    "usual": (TissueSettings(), 0.5),
}
CHANNELS = ("rgb+nuclei", "rgb")


@dataclass(frozen=True)
class HeldOut:
    """Held-out risks of one cross-validation."""

    rows: pd.DataFrame
    """By patient: patient_id, site, fold, risk, group; malignant; image and tiles: their share of tissue."""
    report: CrossValidationReport
    minutes: float

    def auc(self, column: str = "risk", drawn: np.ndarray | slice = slice(None)) -> float:
        """Share of pairs of one fold in the right order, of the rows drawn."""
        score, label, fold = (
            self.rows[name].to_numpy()[drawn] for name in (column, "malignant", "fold")
        )
        return auc_within([(score[fold == k], label[fold == k]) for k in np.unique(fold)])

    def called_high(self, malignant: bool) -> str:
        high = self.rows.group[self.rows.malignant == malignant] == "high"
        return f"{high.sum()} of {len(high)}"


def write_images(data: Path, folder: Path) -> pd.DataFrame:
    """Write each image as a slide; the table of images with their share of tissue."""
    (folder / "slides").mkdir(parents=True, exist_ok=True)
    index = pd.read_csv(data / "index.csv")
    share = []
    for row in index.itertuples():
        with Image.open(data / "images" / row.image) as image:
            rgb = np.asarray(image.convert("RGB"))
        share.append(tissue_share(rgb))
        path = folder / "slides" / f"{Path(row.image).stem}.tiff"
        if not path.is_file():
            write_slide(path, rgb, um_per_px=MPP, quality=95)
    return pd.DataFrame({
        "patient_id": [Path(name).stem for name in index.image],
        "site": index.tma,
        "malignant": index.label == "malignant",
        "slide": [f"{Path(name).stem}.tiff" for name in index.image],
        "image": share,
    })  # fmt: skip


def tissue_share(rgb: np.ndarray) -> float:
    return float((rgb.min(-1) <= WHITE).mean())


def study_of(share: str, channels: str, seed: int, name: str, cache: Path) -> StudySettings:
    """Study of the images; ``name`` is that of the clinical table."""
    tissue, least = SHARES[share]
    return StudySettings(
        name="Malignant or benign",
        virtual=True,  # the follow-up is
        cohort=CohortSettings(
            table=name,
            endpoint=EndpointSettings(
                kind="time to recurrence", unit="months", event_values=("1",), censored_values=("0",),
                definition="made up: malignant is an event at 6 months, benign none in 120",
            ),
            columns=ColumnSettings(time="months", event="event", site="site"),
        ),
        tissue=tissue,
        tiling=TilingSettings(overlap_um=96.0, min_tissue_fraction=least),
        stain=StainSettings(on_refusal="reference"),
        training=preset_training("jecur", seed=seed).with_changes(channels=channels),
        scoring=ScoringSettings(n_heatmaps=0),
        run=RunSettings(cache=str(cache.resolve())),
    )  # fmt: skip


def validated(
    images: pd.DataFrame, folder: Path, name: str, share: str, channels: str, seed: int
) -> HeldOut:
    """Cross-validate the study of these labels."""
    start = time.monotonic()
    clinical = images.assign(
        role="training",
        event=images.malignant.astype(int),
        months=np.where(images.malignant, MONTHS_MALIGNANT, MONTHS_BENIGN),
    ).drop(columns=["image", "malignant"])
    clinical.to_csv(folder / f"{name}.csv", index=False)
    study = study_of(share, channels, seed, f"{name}.csv", folder / "cache")
    report = cross_validate(
        study, folder, RunFolder.open(folder / "runs" / name),
        CrossvalSettings(folds=N_FOLDS, site_preserving=True, seed=seed),
        workers=1, progress=SilentProgress(),
    )  # fmt: skip
    rows = pd.read_csv(report.scores).merge(images, on=["patient_id", "site"], validate="1:1")
    rows = rows.sort_values("patient_id", ignore_index=True)
    rows["tiles"] = [
        share_of_tiles(folder, folder / "runs" / name, row.patient_id, row.slide)
        for row in rows.itertuples()
    ]
    return HeldOut(rows, report, (time.monotonic() - start) / 60)


def share_of_tiles(folder: Path, run: Path, patient: str, slide: str) -> float:
    """Share of tissue of the tiles taken of one slide, by the rule for whole images."""
    with Image.open(folder / "slides" / slide) as image:
        rgb = np.asarray(image.convert("RGB"))
    tiles = pd.read_parquet(run / "slides" / patient / "tiles.parquet")
    return float(np.mean([
        tissue_share(rgb[t.y : t.y + t.side_px, t.x : t.x + t.side_px]) for t in tiles.itertuples()
    ]))  # fmt: skip


def permuted(images: pd.DataFrame, kept: pd.Series, number: int) -> pd.DataFrame:
    """Labels permuted within arrays among the images kept; the others stay as they are."""
    rng, other = np.random.default_rng([1, number]), images.copy()
    for site in images.site.unique():
        rows = (images.site == site) & images.patient_id.isin(kept)
        other.loc[rows, "malignant"] = rng.permutation(images.malignant[rows].to_numpy())
    return other


def over_draws(found: Sequence[HeldOut], column: str, draws: Sequence[np.ndarray]) -> np.ndarray:
    """(n draws,) mean AUC of these runs."""
    return np.array([np.mean([one.auc(column, d) for one in found]) for d in draws])


def told(value: float, drawn: np.ndarray) -> str:
    return f"{value:.3f} ({limits(drawn)})"


def row_of(seed: int, channels: str, one: HeldOut, draws: Sequence[np.ndarray]) -> str:
    rows, ratio = one.rows, one.report.statistics.hazard_ratio
    return table_row(
        seed, channels, f"{len(rows)} ({rows.malignant.sum()})", len(one.report.excluded),
        told(one.auc(), over_draws([one], "risk", draws)),
        f"{one.called_high(True)}, {one.called_high(False)}",
        "not estimable" if ratio.estimate is None
        else f"{ratio.estimate:.2f} ({ratio.lower:.2f}-{ratio.upper:.2f})",
        f"{one.minutes:.1f}",
    )  # fmt: skip


def one_share(images: pd.DataFrame, folder: Path, share: str, given: Namespace) -> None:
    """Every seed with four channels and with three, what the share of tissue says, and the null."""
    tissue, least = SHARES[share]
    print(
        f"\n## {share}: tiles with at least {least:.0%} tissue, gaps up to {tissue.closing_um:g} um closed\n"
    )
    print(table_head(
        "seed", "channels", "images (malignant)", "left out", "AUC, pairs within folds (95 %, arrays)",
        "called high: malignant, benign", "hazard ratio by the locked cut-off", "minutes",
    ))  # fmt: skip
    found: dict[str, list[HeldOut]] = {channels: [] for channels in CHANNELS}
    draws: list[np.ndarray] = []
    for seed in given.seeds:
        for channels, runs in found.items():
            name = f"{share}-{channels}-{seed}"
            try:
                one = validated(images, folder, name, share, channels, seed)
            except JecurError as error:
                print(f"\n{name}: refused, {error.code}: {error.message}")
                return
            draws = draws or array_draws(one.rows.site.to_numpy())
            runs.append(one)
            print(row_of(seed, channels, one, draws), flush=True)
    four, three = (found[channels] for channels in CHANNELS)
    with_map, without = (over_draws(runs, "risk", draws) for runs in (four, three))
    means = [float(np.mean([one.auc() for one in runs])) for runs in (four, three)]
    print(f"\nMean of the seeds: four channels {told(means[0], with_map)}, three {told(means[1], without)}, "
          f"four less three {means[0] - means[1]:+.3f} ({limits(with_map - without)}).")  # fmt: skip
    for column, called in (("image", "whole image"), ("tiles", "tiles taken")):
        alone = over_draws(four, column, draws)
        value = float(np.mean([one.auc(column) for one in four]))
        print(
            f"Share of tissue alone, {called}: {told(value, alone)}; four channels less it "
            f"{means[0] - value:+.3f} ({limits(with_map - alone)})."
        )
    print("Left out:", Counter(e.reason for e in four[0].report.excluded), flush=True)
    null = [
        validated(permuted(images, four[0].rows.patient_id, k), folder, f"{share}-permuted-{k}",
                  share, CHANNELS[0], 1).auc()
        for k in range(given.permuted)
    ]  # fmt: skip
    if null:
        p = (1 + sum(value >= four[0].auc() for value in null)) / (1 + len(null))
        print(f"Permuted {len(null)} times: {np.mean(null):.3f} ({min(null):.3f} to {max(null):.3f}); "
              f"p = {p:.3f} (seed {given.seeds[0]}).", flush=True)  # fmt: skip


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_data()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shares", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--permuted", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images = write_images(given.data / "breast_ucsb58", given.out)
    for share in given.shares:
        one_share(images, given.out, share, given)


if __name__ == "__main__":
    main()

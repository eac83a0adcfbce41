"""Cores found on virtual tissue arrays with planted truth.

python -m benchmarks.tissue_arrays [N] [--hard]
python -m benchmarks.tissue_arrays --stain    stains fitted core by core, and once an array
python -m benchmarks.tissue_arrays FOLDER OUT    real overviews: FOLDER/*.jp*g, previews to OUT
"""

import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
from benchmarks.common import Arguments, table_head
from PIL import Image
from tests.virtual.tissue_array import ArraySimulationSettings, draw_array

from jecur.geometry import CorePlace
from jecur.settings import (
    StainSettings,
    TilingSettings,
    TissueArraySettings,
    TissueSettings,
)
from jecur.simulate.slide import write_slide
from jecur.slide.formats import open_source
from jecur.slide.reader import Slide, open_slide
from jecur.slide.tiling import sample_pixels, tile_tissue
from jecur.slide.tissue import find_tissue
from jecur.slide.tissue_array.core_slide import array_tiles, core_slide, restrict_to_core
from jecur.slide.tissue_array.mapping import draw_map, map_cores
from jecur.stain.normalizer import fit_normalizer
from jecur.stain.reference import builtin_reference

SEED = 20261124


def one(folder: Path, rng: np.random.Generator, hard: bool) -> dict[str, list]:
    settings = ArraySimulationSettings(
        rows=int(rng.integers(4, 10)),
        columns=int(rng.integers(5, 13)),
        diameter_um=float(rng.choice([600.0, 1000.0])),
        pitch_um=1.0,
        um_per_px=1.0,
    )
    pitch = settings.diameter_um * float(rng.uniform(1.3, 1.8))
    settings = msgspec.structs.replace(
        settings, pitch_um=pitch, drift_um=0.05 * pitch, bend_um=0.2 * pitch
    )
    if hard:
        settings = msgspec.structs.replace(
            settings,
            drift_um=0.09 * pitch,
            bend_um=0.5 * pitch,
            rotation_deg=12.0,
            missing_fraction=0.35,
            torn_fraction=0.5,
            n_debris=40,
        )
    array = draw_array(settings, rng)
    path = folder / "array.tiff"
    write_slide(path, array.image, um_per_px=settings.um_per_px)
    out = {}
    with open_slide(path) as slide:
        for name, known in (
            ("nothing known", TissueArraySettings()),
            (
                "diameter, rows and columns known",
                TissueArraySettings(
                    diameter_um=settings.diameter_um, rows=settings.rows, columns=settings.columns
                ),
            ),
        ):
            start = time.perf_counter()
            found = map_cores(slide, known, TissueSettings())
            seconds = time.perf_counter() - start
            out[name] = [
                *compare(array.cores, found, settings.um_per_px),
                seconds,
            ]
    return out


def compare(truth, found, mpp):
    """Cores there, found, false, right cell, and the errors of centers in um by state."""
    present = [c for c in truth if c.state != "missing"]
    mine = [c for c in found.cores.cores if c.present]
    taken, right, hit = set(), 0, {"whole": [0, 0], "torn": [0, 0]}
    errors = {"whole": [], "torn": []}
    for core in present:
        hit[core.state][1] += 1
        away = [np.hypot(c.x - core.x, c.y - core.y) for c in mine]
        k = int(np.argmin(away)) if away else -1
        if k < 0 or away[k] > core.diameter / 2 or k in taken:
            continue
        taken.add(k)
        hit[core.state][0] += 1
        errors[core.state].append(float(away[k] * mpp))
        right += (mine[k].row, mine[k].column) == (core.row, core.column)
    return [hit, len(mine) - len(taken), right, errors]


def real(folder: Path, out: Path) -> None:
    """Overviews that state no scale: one is assumed at which a core is about 1 mm."""
    for name, mpp in (("tma_spots.jpeg", 13.5), ("4_1.jpg", 4.5)):
        path = folder / name
        with Slide(open_source(path), path, mpp, "override") as slide:
            found = map_cores(slide, TissueArraySettings(), TissueSettings())
            Image.fromarray(draw_map(slide, found.cores)).save(out / f"{path.stem}.png")
        present = len(found.cores.present)
        print(
            f"{name}: {present} cores, {found.shape[0]} rows x {found.shape[1]} columns, "
            f"{len(found.cores.cores) - present} places empty, {found.n_off_grid} off the grid, "
            f"diameter {found.diameter_um / mpp:.1f} px"
        )


def stain() -> None:
    """Angle between fitted and planted stain vectors: each core by itself, or all together."""
    rng = np.random.default_rng(SEED)
    tiling, recipe = TilingSettings(), StainSettings()
    angles = {"core by core": [], "all cores of the array": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(6):
            array = draw_array(ArraySimulationSettings(rows=3, columns=4, um_per_px=0.5), rng)
            path = Path(folder) / "array.tiff"
            write_slide(path, array.image, um_per_px=0.5)
            with open_slide(path) as slide:
                cores = map_cores(slide, TissueArraySettings(), TissueSettings()).cores
                for core in cores.present:
                    place = CorePlace(core.id, cores)
                    window = core_slide(slide, place, tiling)
                    tissue = restrict_to_core(window, find_tissue(window, TissueSettings()), place)
                    own = (window, tile_tissue(window, tissue, tiling))
                    angles["core by core"].append(off(own, recipe, array.stain))
                together = (slide, array_tiles(slide, place, tiling))
                angles["all cores of the array"].append(off(together, recipe, array.stain))
    for name, values in angles.items():
        shown = np.array(values)
        print(
            f"{name}: {len(shown)} fits, median angle to the planted vectors, degrees: "
            f"hematoxylin {np.median(shown[:, 0]):.1f} (95 %: {np.percentile(shown[:, 0], 95):.1f}), "
            f"eosin {np.median(shown[:, 1]):.1f} (95 %: {np.percentile(shown[:, 1], 95):.1f})"
        )


def off(where, recipe, planted):
    pixels = sample_pixels(*where, recipe.n_pixels, np.random.default_rng(recipe.seed))
    fitted = fit_normalizer(pixels, recipe, builtin_reference()).slide.to_dict()
    matrix = np.array(next(v for v in fitted.values() if np.shape(v) == (2, 3)))
    return np.rad2deg(np.arccos(np.clip((matrix * planted.vectors).sum(axis=1), -1, 1)))


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("arrays", type=int, nargs="?", default=40)
    parser.add_argument("--hard", action="store_true")
    parser.add_argument("--stain", action="store_true")
    parser.add_argument("--real", type=Path, nargs=2, metavar=("SLIDE", "OUT"))
    given = parser.parse_args()
    if given.stain:
        stain()
        return
    if given.real:
        real(*given.real)
        return
    n, hard = given.arrays, given.hard
    rng = np.random.default_rng(SEED)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(n):
            for name, value in one(Path(folder), rng, hard).items():
                results.setdefault(name, []).append(value)
                hit, false, right, _, _ = value
                total = hit["whole"][0] + hit["torn"][0]
                if right < total or false:
                    print(f"array {number}, {name}: {hit}, {false} false, {right} right cell")
    print(f"\n{n} arrays, seed {SEED}\n")
    print(table_head(
        "", "whole found", "torn found", "false", "right row and column", "arrays all right",
        "center error, whole: median, 95 %", "torn: median, 95 %", "s an array",
    ))  # fmt: skip
    for name, rows in results.items():
        whole, torn = ([sum(r[0][s][k] for r in rows) for k in (0, 1)] for s in ("whole", "torn"))
        found = whole[0] + torn[0]
        right = sum(r[2] for r in rows)
        perfect = sum(r[2] == r[0]["whole"][1] + r[0]["torn"][1] and not r[1] for r in rows)
        spread = [
            np.percentile([e for r in rows for e in r[3][s]], [50, 95]) for s in ("whole", "torn")
        ]
        print(
            f"| {name} | {whole[0]} of {whole[1]} ({whole[0] / whole[1]:.1%}) "
            f"| {torn[0]} of {torn[1]} ({torn[0] / torn[1]:.1%}) | {sum(r[1] for r in rows)} "
            f"| {right} of {found} ({right / found:.1%}) | {perfect} of {n} "
            f"| {spread[0][0]:.0f}, {spread[0][1]:.0f} um | {spread[1][0]:.0f}, {spread[1][1]:.0f} um "
            f"| {np.mean([r[4] for r in rows]):.1f} |"
        )


if __name__ == "__main__":
    main()

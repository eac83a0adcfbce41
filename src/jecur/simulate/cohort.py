"""A virtual cohort on disk: slides, the clinical table a study would get, and the truth apart.

::

    out/slides/V-0001.tiff ...   pyramidal slides
        clinical.csv             what a study sees; written last
        truth.json               settings, effects, latent features, stains, oracle concordance
        truth/V-0001.npy         (4, rows, columns) local features in cells of 64 px

Every random number comes from a stream of its own (table, site, slide), so neither the number
of workers nor the order of rendering changes a byte.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from jecur.cohort.csv_text import csv_text
from jecur.errors import SimulationError, refusal
from jecur.runs.progress import SilentProgress
from jecur.runs.workers import Failure, run_all
from jecur.settings import SimulationSettings
from jecur.simulate.drawings import drawn_regions
from jecur.simulate.patients import VirtualPatients, concordance, draw_cohort
from jecur.simulate.regions import FEATURES, TissueFeatures
from jecur.simulate.slide import render_rgb, write_slide
from jecur.simulate.stains import VirtualStain, site_stain, slide_stain
from jecur.simulate.tissue import render_tissue

__all__ = ["REGION_PX", "SimulatedCohort", "draw_patients", "simulate_cohort"]

REGION_PX = 64
"""Side of the cells of the local truth, pixels of the slide."""

_TABLE_STREAM, _SITE_STREAM, _SLIDE_STREAM, _STAIN_STREAM = range(4)


@dataclass(frozen=True, slots=True)
class SimulatedCohort:
    """Where a virtual cohort lies."""

    folder: Path
    clinical: Path
    truth: Path
    slides: tuple[Path, ...]
    n_rendered: int
    """Slides drawn now; the others were there already."""
    oracle_concordance: dict[str, float]
    """By role: Harrell's concordance of the true log hazard, the best any model can expect."""


@dataclass(frozen=True, slots=True)
class _SlideTask:
    """All that one process needs to draw one slide."""

    name: str
    folder: Path
    features: TissueFeatures
    stain: VirtualStain
    seed: np.random.SeedSequence
    settings: SimulationSettings
    drawn_on: bool = False
    """Whether regions are drawn on it."""

    @property
    def path(self) -> Path:
        return self.folder / "slides" / f"{self.name}.tiff"

    @property
    def regions_path(self) -> Path:
        return self.folder / "truth" / f"{self.name}.npy"

    @property
    def drawing_path(self) -> Path:
        return self.folder / "drawings" / f"{self.name}.geojson"

    @property
    def is_there(self) -> bool:
        """Whether all its files are."""
        drawn = self.drawing_path.exists() or not self.drawn_on
        return drawn and self.path.exists() and self.regions_path.exists()


def simulate_cohort(
    settings: SimulationSettings,
    out: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> SimulatedCohort:
    """Write a virtual cohort; whole slides that are already there are kept.

    Parameters
    ----------
    settings
        Size, effects, stains, seed, workers.
    out
        Folder of the cohort; made if it does not exist.
    progress
        Called with (slides done, slides in all) as they are finished.

    Returns
    -------
    SimulatedCohort
        Paths, and what an oracle would reach.

    Raises
    ------
    SimulationError
        If the folder holds a cohort of other settings or cannot be written, or a worker dies.
    """
    patients = draw_patients(settings)
    orders = _slide_orders(settings, patients, out)
    by_patient = _names_by_patient(settings, patients)
    oracle = _oracle(patients)
    truth = _truth(settings, patients, orders, oracle)
    try:
        for folder in (out, out / "slides", out / "truth"):
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(".*.part*"):  # of a run that was killed
                leftover.unlink(missing_ok=True)
        _claim(out / "truth.json", truth)
        if settings.drawings:
            (out / "drawings").mkdir(exist_ok=True)
        missing = [o for o in orders if not o.is_there]
        n_kept = len(orders) - len(missing)
        for done, _ in enumerate(_render_all(missing, settings.workers), start=n_kept + 1):
            if progress is not None:
                progress(done, len(orders))
        clinical = _write_clinical(out / "clinical.csv", patients, by_patient)
    except OSError as error:
        raise SimulationError(
            f"expected a folder that can be written, found {error.strerror or error} at {out}; "
            "choose another"
        ) from error
    slides = tuple(order.path for order in orders)
    return SimulatedCohort(out, clinical, out / "truth.json", slides, len(missing), oracle)


def draw_patients(settings: SimulationSettings) -> VirtualPatients:
    """Patients of the cohort that `simulate_cohort` writes for these settings."""
    return draw_cohort(settings, np.random.default_rng(_stream(settings, _TABLE_STREAM)))


def _stream(settings: SimulationSettings, *key: int) -> np.random.SeedSequence:
    """Independent random stream named by ``key``."""
    return np.random.SeedSequence(settings.seed, spawn_key=key)


def _names_by_patient(settings: SimulationSettings, patients: VirtualPatients) -> list[list[str]]:
    """Names of each patient's slides, without suffix."""
    ids = patients.table["patient_id"].tolist()
    if settings.slides_per_patient == 1:
        return [[name] for name in ids]
    return [[f"{name}-{k + 1}" for k in range(settings.slides_per_patient)] for name in ids]


def _slide_orders(
    settings: SimulationSettings, patients: VirtualPatients, out: Path
) -> list[_SlideTask]:
    """One order a slide, in the order of the table."""
    sites = [
        site_stain(
            np.random.default_rng(_stream(settings, _SITE_STREAM, k)),
            angle_deg=settings.site_angle_deg,
            intensity_sd=settings.site_intensity_sd,
        )
        for k in range(settings.n_sites)
    ]
    orders = []
    for row, names in enumerate(_names_by_patient(settings, patients)):
        for k, name in enumerate(names):
            rng = np.random.default_rng(_stream(settings, _STAIN_STREAM, row, k))
            stray = rng.normal(scale=settings.slide_spread, size=4)
            values = np.clip(patients.features[row] + stray, 0.0, 1.0)
            stain = slide_stain(
                sites[patients.site[row]],
                rng,
                angle_deg=settings.slide_angle_deg,
                intensity_sd=settings.slide_intensity_sd,
            )
            features = TissueFeatures(
                **dict(zip(FEATURES, values.tolist(), strict=True)),
                **_arranged(settings, patients, row, rng),
            )
            seed = _stream(settings, _SLIDE_STREAM, row, k)
            drawn_on = row < min(settings.drawings, settings.n_training)
            orders.append(_SlideTask(name, out, features, stain, seed, settings, drawn_on))
    return orders


def _arranged(
    settings: SimulationSettings, patients: VirtualPatients, row: int, rng: np.random.Generator
) -> dict[str, float]:
    """Arrangement of the nuclei on a slide: what is planted, around its patient's."""
    if patients.arrangement is None:
        return {}
    name = {"architecture": "disorder", "til": "til_apart"}[settings.plant]
    stray = rng.normal(scale=settings.slide_spread)
    return {name: float(np.clip(patients.arrangement[row] + stray, 0.0, 1.0))}


def _render_all(orders: list[_SlideTask], workers: int) -> Iterator[str]:
    """Draw slides here or in fresh processes; yield each name when its files are whole."""
    for outcome in run_all(
        _drawn, orders, workers=workers, progress=SilentProgress(), title="Drawing slides"
    ):
        if isinstance(outcome.result, Failure):
            error = outcome.result.error.within(outcome.item.name)
            raise SimulationError(error.message, code=error.code)
        yield outcome.result


def _drawn(order: _SlideTask) -> str:
    try:
        return _render(order)
    except OSError as error:
        raise refusal(error, order.folder) from error


def _render(order: _SlideTask) -> str:
    """Draw one slide and the truth of its regions."""
    rng = np.random.default_rng(order.seed)
    settings = order.settings
    tissue = render_tissue(
        order.features,
        (settings.size_px, settings.size_px),
        settings.um_per_px,
        rng,
        tissue_fraction=settings.tissue_fraction,
        heterogeneity=settings.heterogeneity,
    )
    regions = order.regions_path
    partial = regions.with_name(f".{regions.stem}.{os.getpid()}.part.npy")
    np.save(partial, tissue.plan.regions(REGION_PX), allow_pickle=False)
    partial.replace(regions)
    if order.drawn_on:
        _write_text(order.drawing_path, json.dumps(drawn_regions(tissue.plan)))
    image = render_rgb(tissue, order.stain, rng)
    write_slide(order.path, image, um_per_px=settings.um_per_px, quality=settings.jpeg_quality)
    return order.name


def _oracle(patients: VirtualPatients) -> dict[str, float]:
    """Concordance of the true log hazard on each role that has patients."""
    table = patients.table
    months = table["months"].to_numpy(dtype=np.float64)
    event = table["recurrence"].to_numpy() == 1
    found = {}
    for role in ("training", "validation"):
        rows = (table["role"] == role).to_numpy()
        value = concordance(patients.log_hazard[rows], months[rows], event[rows])
        if np.isfinite(value):
            found[role] = round(value, 6)
    return found


def _truth(
    settings: SimulationSettings,
    patients: VirtualPatients,
    orders: list[_SlideTask],
    oracle: dict[str, float],
) -> dict[str, object]:
    """Everything that was planted, as plain JSON."""
    ids = patients.table["patient_id"].tolist()
    kept = msgspec.to_builtins(settings)
    del kept["workers"], kept["drawings"]  # change nothing that is drawn
    if settings.plant == "tissue":  # cohorts made before there was another are the same
        del kept["plant"], kept["plant_log_hazard"]
    return {
        "settings": kept,
        "betas_per_sd": dict(zip(FEATURES, patients.betas.tolist(), strict=True)),
        "oracle_concordance": oracle,
        "patients": {
            name: {
                **dict(zip(FEATURES, np.round(patients.features[k], 6).tolist(), strict=True)),
                "log_hazard": round(float(patients.log_hazard[k]), 6),
                "feature_log_hazard": round(float(patients.feature_log_hazard[k]), 6),
                **_arrangement_truth(patients, k),
            }
            for k, name in enumerate(ids)
        },
        "slides": {
            order.path.name: {
                **dict(zip(FEATURES, np.round(order.features.to_array(), 6).tolist(), strict=True)),
                "stain_matrix": order.stain.vectors.tolist(),
                "intensity": order.stain.intensity.tolist(),
                "white": order.stain.white.tolist(),
            }
            for order in orders
        },
    }


def _arrangement_truth(patients: VirtualPatients, k: int) -> dict[str, float]:
    if patients.arrangement is None:
        return {}
    return {"arrangement": round(float(patients.arrangement[k]), 6)}


def _claim(path: Path, truth: dict[str, object]) -> None:
    """Write the truth before the first slide; refuse a folder that holds another cohort's."""
    text = json.dumps(truth, indent=1, allow_nan=False) + "\n"
    if path.exists():
        if path.read_text(encoding="utf-8") != text:
            raise SimulationError(
                f"expected {path.parent} to be empty or to hold this cohort, found one of other "
                "settings; choose another folder or delete it"
            )
        return
    _write_text(path, text)


def _write_clinical(path: Path, patients: VirtualPatients, by_patient: list[list[str]]) -> Path:
    """Write the table with the slides' file names, ``;`` between several."""
    table = patients.table.copy()
    table["slide"] = [";".join(f"{name}.tiff" for name in names) for names in by_patient]
    _write_text(path, csv_text(table))
    return path


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)

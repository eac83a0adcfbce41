"""A row of numbers a patient from the nuclei of their slides: what the nuclear baselines are fitted to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from jecur.arrays import BoolVector, Matrix
from jecur.cohort.cohort import Exclusion, Patient
from jecur.errors import RunFolderError, SettingsError
from jecur.nuclei.arrangement.architecture import architecture_measures
from jecur.nuclei.arrangement.flock import flock_measures
from jecur.nuclei.arrangement.lymphocytes import lymphocyte_measures
from jecur.nuclei.arrangement.pattern import Measures, NuclearPattern, read_pattern
from jecur.nuclei.features import NuclearFeatures
from jecur.nuclei.whole_slide import EACH_NUCLEUS
from jecur.runs.folder import RunFolder
from jecur.runs.progress import Progress
from jecur.runs.workers import Failure, run_all
from jecur.study.measured import NUCLEI_OF_TILES

__all__ = [
    "NUCLEAR_KINDS",
    "MeasuredPatients",
    "NuclearKind",
    "measure_patients",
    "nuclear_kind",
    "nuclear_tables",
]


@dataclass(frozen=True, slots=True)
class NuclearKind:
    """One way of making numbers of a patient's nuclei."""

    name: str
    """What the command line calls it."""
    label: str
    """What reports call the model."""
    file: str
    """Table that a slide's folder must hold."""
    made_by: str
    """Command that writes it."""
    of_slide: Callable[[NuclearPattern], Measures] | None
    """Measures of one slide's nuclei; None for the measurements of tiles."""


NUCLEAR_KINDS = (
    NuclearKind(
        "nuclear-features",
        "Nuclear features, elastic-net Cox",
        NUCLEI_OF_TILES,
        "jecur nuclei features RUN",
        None,
    ),
    NuclearKind(
        "architecture",
        "Nuclear shape, architecture and orientation (Ji 2019), elastic-net Cox",
        EACH_NUCLEUS,
        "jecur nuclei each STUDY --run RUN",
        architecture_measures,
    ),
    NuclearKind(
        "flock",
        "Local cell graphs (FLocK, Lu 2021), elastic-net Cox",
        EACH_NUCLEUS,
        "jecur nuclei each STUDY --run RUN",
        flock_measures,
    ),
    NuclearKind(
        "til",
        "Arrangement of lymphocytes (Corredor 2019), elastic-net Cox",
        EACH_NUCLEUS,
        "jecur nuclei each STUDY --run RUN",
        lymphocyte_measures,
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredPatients:
    """Patients and their numbers."""

    patients: tuple[Patient, ...]
    names: tuple[str, ...]
    columns: Matrix
    """(patients, names), NaN where a patient's nuclei do not determine one."""
    left_out: tuple[Exclusion, ...]
    """Patients without a measured slide."""

    def table(self) -> pd.DataFrame:
        """One row a patient: ``patient_id`` and the numbers."""
        table = pd.DataFrame(self.columns, columns=list(self.names))
        table.insert(0, "patient_id", [p.id for p in self.patients])
        return table

    def filled(self, trained_on: BoolVector) -> Matrix:
        """Give what is missing the median of the patients trained on; nothing is taken from the others."""
        known = np.isfinite(self.columns)
        middle = [
            float(np.median(column[there])) if (there := trained_on & at).any() else 0.0
            for column, at in zip(self.columns.T, known.T, strict=True)
        ]
        return np.where(known, self.columns, middle)


def nuclear_kind(name: str) -> NuclearKind:
    """Kind by name.

    Raises
    ------
    SettingsError
        If there is none.
    """
    for kind in NUCLEAR_KINDS:
        if kind.name == name:
            return kind
    known = ", ".join(kind.name for kind in NUCLEAR_KINDS)
    raise SettingsError(f"expected a nuclear baseline among {known}, found {name}; choose one")


def measure_patients(
    kind: NuclearKind,
    patients: Sequence[Patient],
    prepared: RunFolder,
    *,
    workers: int,
    progress: Progress,
) -> MeasuredPatients:
    """Measure the nuclei of all patients; their order is kept.

    Parameters
    ----------
    kind
        What is measured.
    patients
        All of a study.
    prepared
        Run folder whose slides have the kind's table; only read.
    workers
        Processes.
    progress
        Shows a bar.

    Raises
    ------
    RunFolderError
        If no slide has the table.
    """
    files = {p.id: nuclear_tables(kind, p, prepared) for p in patients}
    there = [_Tables(p.id, files[p.id]) for p in patients if files[p.id]]
    if not there:
        raise RunFolderError(
            f"expected slides with measured nuclei ({kind.file}) in {prepared.root}, found none; "
            f"measure them with: {kind.made_by.replace('RUN', str(prepared.root))}"
        )
    rows: dict[str, Measures] = {}
    for done in run_all(
        partial(_measure, kind.name), there, workers=workers, progress=progress, title="Measuring"
    ):
        if isinstance(done.result, Failure):
            raise done.result.error.within(done.item.patient)
        rows[done.item.patient] = done.result
    used = tuple(p for p in patients if p.id in rows)
    names = tuple(rows[used[0].id])
    reason = f"no slide with measured nuclei ({kind.file})"
    return MeasuredPatients(
        used,
        names,
        np.array([[rows[p.id][name] for name in names] for p in used]),
        tuple(Exclusion(p.id, p.role, reason) for p in patients if p.id not in rows),
    )


def nuclear_tables(kind: NuclearKind, patient: Patient, prepared: RunFolder) -> tuple[Path, ...]:
    """Tables of a kind that a patient's slides have."""
    paths = (prepared.slide_folder(entry.id) / kind.file for entry in patient.slides)
    return tuple(path for path in paths if path.is_file())


@dataclass(frozen=True, slots=True)
class _Tables:
    patient: str
    files: tuple[Path, ...]


def _measure(kind: str, tables: _Tables) -> Measures:
    of_slide = nuclear_kind(kind).of_slide
    if of_slide is None:
        return _tile_measures(tables.files)
    slides = [read_pattern(path) for path in tables.files]
    return _weighed([of_slide(slide) for slide in slides], [len(slide) for slide in slides])


def _weighed(slides: Sequence[Mapping[str, float]], nuclei: Sequence[int]) -> Measures:
    """Mean over a patient's slides, each weighed by its nuclei; what one leaves open, the others say."""
    found: Measures = {}
    for name in slides[0]:
        values = np.array([slide[name] for slide in slides])
        known = np.isfinite(values)
        weight = np.where(known, nuclei, 0)
        total = float(weight.sum())
        found[name] = float(weight @ np.where(known, values, 0.0)) / total if total else np.nan
    return found


def _tile_measures(files: Sequence[Path]) -> Measures:
    """Mean and spread of each measurement over all tiles of a patient."""
    tiles = pd.concat([pd.read_parquet(path) for path in files])[list(NuclearFeatures.names())]
    mean, spread = tiles.mean(), tiles.std(ddof=0)
    return {f"{name}, mean": float(value) for name, value in mean.items()} | {
        f"{name}, spread": float(value) for name, value in spread.items()
    }

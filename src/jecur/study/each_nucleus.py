"""Every nucleus of a run's slides: one table beside each slide's tiles."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from jecur.cohort.cohort import Patient
from jecur.errors import RunFolderError, SlideError
from jecur.mil.feature_file import FEATURE_SUFFIXES
from jecur.nuclei.whole_slide import (
    EACH_NUCLEUS,
    CoveredTiles,
    SegmentedSlide,
    write_each_nucleus,
)
from jecur.runs.finished import damage, read_marker, write_marker
from jecur.runs.folder import RunFolder
from jecur.runs.progress import Progress
from jecur.runs.workers import Outcome, run_all
from jecur.settings import StudySettings
from jecur.slide.reader import open_slide
from jecur.study.cohort_slides import slide_tasks
from jecur.study.measured import NUCLEI_MARKER, nuclei_mark
from jecur.study.nuclear_feature_files import failed_slides
from jecur.study.recipe import nuclei_network, recipe_of_study
from jecur.study.slide_task import SlideTask
from jecur.study.survey import lay_tiles

__all__ = ["prepared_tasks", "segment_slide", "segment_slides"]


def segment_slides(
    tasks: Sequence[SlideTask], *, workers: int, progress: Progress
) -> Iterator[Outcome[SlideTask, SegmentedSlide | None]]:
    """Write ``each_nucleus.parquet`` of prepared slides; those that have it are passed over.

    Parameters
    ----------
    tasks
        Of `prepared_tasks`.
    workers
        Processes.
    progress
        Shows a bar.

    Yields
    ------
    Outcome
        A slide and its table; None in its place where it was there already; or a `Failure`.
    """
    yield from run_all(
        segment_slide, tasks, workers=workers, progress=progress, title="Nuclei of whole slides"
    )


def prepared_tasks(
    study: StudySettings, patients: Sequence[Patient], run: RunFolder
) -> list[SlideTask]:
    """Slides of patients that are prepared in the run folder of a study, and have not failed since.

    Raises
    ------
    RunFolderError
        If none is.
    """
    tasks = slide_tasks(study, Path(), patients, recipe_of_study(study), run.root)
    failed = failed_slides(run)
    tasks = [t for t in tasks if t.slide not in failed]
    ready = [t for t in tasks if (run.slide_folder(t.slide) / "tiles.parquet").is_file()]
    if not ready:
        raise RunFolderError(
            f"expected slides of this study prepared in {run.root}, found none; "
            "name the folder of its run"
        )
    return ready


def segment_slide(task: SlideTask) -> SegmentedSlide | None:
    """Write the table of one slide; None if it is there, made of the same slide in the same way.

    Raises
    ------
    SlideError
        If the slide comes as features, or cannot be read any more.
    """
    folder = task.run.slide_folder(task.slide)
    mark = nuclei_mark(task)
    made = read_marker(folder / NUCLEI_MARKER)
    if made is not None and made.mark == mark and not damage(folder, made):
        return None
    if task.path.suffix.lower() in FEATURE_SUFFIXES:
        raise SlideError(
            f"{task.path.name}: expected a slide, found a file of features; nuclei cannot be seen in it",
            code="no-pixels",
        )
    with open_slide(task.path, mpp=task.mpp) as whole:
        laid = lay_tiles(whole, task.recipe, core=task.core, annotation=task.annotation)
        laid.require_walked()
        if laid.normalizer is None:
            raise ValueError("expected stains to be fitted")
        found = write_each_nucleus(
            folder / EACH_NUCLEUS,
            laid.slide,
            _tiles(folder, laid.slide.origin),
            laid.normalizer,
            nuclei_network(task),
        )
    write_marker(folder / NUCLEI_MARKER, folder, mark, (EACH_NUCLEUS,))
    return found


def _tiles(folder: Path, origin: tuple[float, float]) -> CoveredTiles:
    """Tiles that the run kept, in pixels of the slide, or of the window that holds a core."""
    table = pd.read_parquet(folder / "tiles.parquet", columns=["x", "y", "side_px"])
    corner = np.round(origin).astype(np.int64)
    positions = table[["x", "y"]].to_numpy(np.int64) - corner
    return CoveredTiles(positions, int(table["side_px"].iloc[0]) if len(table) else 1)

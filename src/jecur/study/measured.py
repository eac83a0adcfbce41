"""What later commands measured on a slide's tiles, and when that is of other tiles than are there."""

from dataclasses import replace

import jecur
from jecur.nuclei.whole_slide import EACH_NUCLEUS
from jecur.runs.finished import read_marker
from jecur.runs.folder import fingerprint
from jecur.study.slide_task import SlideTask

__all__ = ["NUCLEI_MARKER", "NUCLEI_OF_TILES", "drop_measured", "nuclei_mark"]

NUCLEI_OF_TILES = "nuclei.parquet"
NUCLEI_MARKER = "each_nucleus.complete"


def nuclei_mark(task: SlideTask) -> str:
    """Fingerprint of the search for every nucleus of a slide, whichever network sees its tiles."""
    plain = replace(task, model_sha256="", encoder_sha256="")
    return fingerprint(plain.mark, EACH_NUCLEUS, jecur.__version__)


def drop_measured(task: SlideTask) -> None:
    """Delete what was measured on other tiles of a slide that is prepared anew."""
    folder = task.run.slide_folder(task.slide)
    (folder / NUCLEI_OF_TILES).unlink(missing_ok=True)
    made = read_marker(folder / NUCLEI_MARKER)
    if made is None or made.mark != nuclei_mark(task):
        for name in (EACH_NUCLEUS, NUCLEI_MARKER):
            (folder / name).unlink(missing_ok=True)

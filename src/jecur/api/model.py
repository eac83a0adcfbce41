"""A model file, and the risk it gives a slide."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image

from jecur.api.door import door
from jecur.arrays import RGB
from jecur.cohort.cohort import SlideEntry
from jecur.errors import SlideError
from jecur.mil.passport import admit_model
from jecur.model.card import ModelCard
from jecur.pipeline import score_slides
from jecur.printable import counted, plain_number
from jecur.runs.folder import RunFolder
from jecur.runs.progress import LineProgress
from jecur.settings import Recipe
from jecur.settings.base import Count

__all__ = ["Model", "Risk", "load_model"]


@dataclass(frozen=True, slots=True, eq=False)
class Risk:
    """The risk of one patient's slide; a notebook shows its heat map.

    Parameters
    ----------
    risk
        In (0, 1); higher means an earlier event.
    group
        "high" if the risk is above the model's cut-off, else "low".
    tiles
        One row a tile: ``x``, ``y``, ``side_um``, ``score``, ``contribution``.
    flags
        What was found on the slide.
    seen_in_training
        Whether the model was trained on these tiles: then the risk proves nothing.
    virtual
        The model was trained on simulated patients: the risk means nothing for real ones.
    """

    risk: float
    group: str
    tiles: pd.DataFrame
    flags: tuple[str, ...]
    seen_in_training: bool
    virtual: bool
    _png: bytes

    def heatmap(self) -> RGB:
        """Slide and heat map side by side, (h, w, 3) uint8."""
        with Image.open(BytesIO(self._png)) as picture:
            return np.asarray(picture.convert("RGB"))

    def __repr__(self) -> str:
        notes = ", virtual model: no meaning for real slides" if self.virtual else ""
        return f"Risk({self.risk:.3f}, {self.group}, {counted(len(self.tiles), 'tile')}{notes})"

    def _repr_png_(self) -> bytes:
        return self._png


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model file that was read and checked.

    Parameters
    ----------
    path
        The ``.jecur`` file.
    card
        What the model is, see `docs/model_card.md`.
    """

    path: Path
    card: ModelCard

    @property
    def cutoff(self) -> float:
        """High risk if and only if the risk is above this."""
        return self.card.cutoff

    @property
    def direction(self) -> str:
        """What a higher risk means."""
        return self.card.direction

    @property
    def recipe(self) -> Recipe:
        """Settings by which slides are prepared for it."""
        return self.card.recipe

    @door
    def score(self, slide: str | Path, *, mpp: float | None = None, workers: Count = 1) -> Risk:
        """Score a slide.

        Parameters
        ----------
        slide
            A slide file, or a folder that holds one DICOM slide.
        mpp
            Micrometers per pixel, in place of the file's own.
        workers
            Threads of the network.

        Raises
        ------
        SlideError
            If the slide cannot be scored, with what is wrong with it.
        """
        path = Path(slide)
        entry = SlideEntry(path.stem, path, mpp)
        with TemporaryDirectory() as scratch:
            run = RunFolder.open(Path(scratch) / "run")
            found = score_slides(
                [(entry.id, entry)], self.path, run, workers=workers, progress=LineProgress()
            )
            row = found.slides[0]
            if not found.patients:
                raise SlideError(f"{path.name}: {row.reason}", code=row.code)
            patient = found.patients[0]
            tiles = pd.read_parquet(run.root / "tile_scores.parquet")
            picture = run.slide_folder(entry.id) / "heatmap.png"
            png = picture.read_bytes() if picture.is_file() else b""
        return Risk(
            patient.score.risk,
            patient.score.group,
            tiles.drop(columns=["slide", "patient_id"]),
            row.flags,
            patient.seen_in_training,
            found.virtual,
            png,
        )

    def __repr__(self) -> str:
        return f"Model({self.card.name!r}, {self.card.endpoint.kind}, cut-off {plain_number(self.cutoff)})"


@door
def load_model(path: str | Path) -> Model:
    """Read a model file and check all of it.

    Raises
    ------
    BundleError
        If there is no such file, or it is damaged or no model.
    """
    file = Path(path)
    return Model(file, admit_model(file).card)

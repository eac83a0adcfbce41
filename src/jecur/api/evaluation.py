"""Scores held against follow-up, from DataFrames."""

import re
import shutil
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal

import numpy as np
import pandas as pd

from jecur.api.door import door
from jecur.errors import JecurError, SettingsError, TableError, require_choice
from jecur.evaluation.given import Evaluation, ScoreFiles, evaluate_scores
from jecur.evaluation.score_table import OWN_COLUMN
from jecur.report.shown import Shown
from jecur.runs.folder import RunFolder
from jecur.settings import (
    CohortSettings,
    ColumnSettings,
    Covariate,
    EndpointSettings,
    ScoreSettings,
    StatisticsSettings,
    StudySettings,
    TableFormat,
)

__all__ = ["Figure", "Result", "evaluate"]

Higher = Literal["worse", "better"]
_TABLES = {"cox": ("multivariable", "univariable")}
_FIGURES: Mapping[str, tuple[str, ...]] = {"cox": ("multivariable",)}
"""Usual names -> those of the report's files, the first that exists."""
_ROWS = re.compile(r"\brows? ([0-9]+)(, [0-9]+)*( and [0-9]+ more)?")
_INEXACT = 2.0**53
"""From here on a float64 does not hold every whole number."""
_TEXTS = ("factor", "level", "contrast", "marker", "all", "high_risk", "low_risk")
"""Columns of tables that hold names or counts with shares, whatever they look like."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as SVG text; a notebook shows it."""

    svg: str = field(repr=False)

    @door
    def save(self, path: str | Path) -> Path:
        """Write the SVG file."""
        file = Path(path)
        file.write_text(self.svg, encoding="utf-8")
        return file

    def _repr_svg_(self) -> str:
        return self.svg


class Result(Shown):
    """What was found; a notebook shows the finding. Tables and figures are those of the report."""

    def __init__(self, found: Evaluation) -> None:
        self.statistics, self.verdict = found.statistics, found.verdict
        self.features = found.features
        self.excluded = pd.DataFrame(
            [(e.patient, e.role, e.reason) for e in found.excluded],
            columns=["patient_id", "role", "reason"],
        )
        self._root = found.report.parent

    @property
    def tables(self) -> tuple[str, ...]:
        """Names that `table` takes."""
        return tuple(sorted(p.stem for p in (self._root / "tables").glob("*.csv")))

    @property
    def figures(self) -> tuple[str, ...]:
        """Names that `figure` takes."""
        return tuple(sorted(p.stem for p in (self._root / "figures").glob("*.svg")))

    @door
    def table(self, name: str) -> pd.DataFrame:
        """One table of the report with all digits; "cox" is the fullest Cox model there is."""
        known = _named(name, _TABLES, self.tables)
        # a level called None, NA or 01 is a text: nothing but an empty cell is missing
        return pd.read_csv(
            self._root / "tables" / f"{known}.csv",
            keep_default_na=False,
            na_values=[""],
            dtype=dict.fromkeys(_TEXTS, str),
        )

    @door
    def figure(self, name: str) -> Figure:
        """One figure of the report, such as "kaplan_meier"."""
        known = _named(name, _FIGURES, self.figures)
        return Figure((self._root / "figures" / f"{known}.svg").read_text(encoding="utf-8"))

    @door
    def report(self, out: str | Path) -> Path:
        """Write report, tables and figures into a folder that does not exist yet or is empty.

        Returns
        -------
        Path
            Of ``report.html``.
        """
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SettingsError(f"out: expected a new or an empty folder, found {folder}")
        shutil.copytree(self._root, folder, dirs_exist_ok=True)
        return folder / "report.html"

    def said(self) -> tuple[str, str, Path | None]:
        """Give the finding; `report` writes the rest."""
        return self.verdict.headline, self.verdict.detail, None


def _named(name: str, usual: Mapping[str, tuple[str, ...]], known: tuple[str, ...]) -> str:
    for candidate in (name, *usual.get(name, ())):
        if candidate in known:
            return candidate
    raise SettingsError(f"name: expected one of {', '.join(known)}, found {name!r}")


@door
def evaluate(  # noqa: PLR0913 -- two tables, and what their columns mean
    scores: pd.DataFrame,
    clinical: pd.DataFrame,
    *,
    tiles: pd.DataFrame | None = None,
    endpoint: EndpointSettings,
    score: str = "risk",
    higher: Higher | None = None,
    high_value: str = "",
    cutoff: float | None = None,
    probability: bool | None = None,
    patient: str = "patient_id",
    time: str = "time",
    event: str = "event",
    role: str = "role",
    label: str = "",
    covariates: tuple[Covariate, ...] = (),
    statistics: StatisticsSettings | None = None,
    name: str = "Evaluation",
) -> Result:
    """Hold scores against follow-up: every statistic, table and figure of a report.

    Parameters
    ----------
    scores
        One row a patient: ``patient`` and ``score``, as columns or as the name of the index.
    clinical
        One row a patient: ``patient``, ``time``, ``event`` and the covariates.
    tiles
        Features recorded in tiles, one row a tile: ``patient_id``, ``end`` ("high" or "low" score), and a
        column of 1 (seen), 0 (not seen) or nothing a feature; compared in ``Result.table("tile_features")``.
    endpoint
        What the time runs to, its unit, and how the event is coded.
    score
        Column of the score.
    higher
        Whether a higher number is "worse" or "better"; needed for every column of numbers but "risk",
        in which it is worse.
    high_value
        Text that means high risk, where ``score`` holds two texts; ``higher`` is left out then.
    cutoff
        High risk lies beyond it; fixed before these patients were seen. The median if left out.
    probability
        Whether the score is the probability of the event by the landmark, which calibration, Brier score
        and decision curve need. If left out, so for a column named "risk" alone.
    patient, time, event
        Columns of the two tables.
    role
        Column of roles in ``clinical``: if it is there, patients of training and tuning are left out, as
        the command line leaves them out. "" takes everybody.
    label
        Name of the score in tables and figures; that of its column if left out.
    covariates
        Clinical factors to set beside the score.
    statistics
        Horizons, intervals and so on; the usual ones if left out.
    name
        Title of the report.

    Raises
    ------
    TableError, EndpointError, SettingsError
        If a table is not as declared. Rows are counted as in a file, the heading being row 1; of the first
        one the place and the label in the DataFrame are told too.
    """
    if higher is not None or not (high_value or score == OWN_COLUMN):
        require_choice("higher", higher, Higher)
    given = ScoreSettings(
        patient=patient,
        column=score,
        higher=higher or "",
        high_value=high_value,
        cutoff=cutoff,
        probability=probability,
        label=label,
    )
    columns = ColumnSettings(patient=patient, time=time, event=event, role=role, slide="")
    cohort = CohortSettings(
        endpoint=endpoint,
        columns=columns,
        covariates=covariates,
        format=TableFormat(encoding="utf-8", delimiter=",", decimal="."),
    )
    study = StudySettings(name=name, cohort=cohort, statistics=statistics or StatisticsSettings())
    root = Path(mkdtemp(prefix="jecur-"))
    frames = {"scores": scores, "clinical": clinical} | ({} if tiles is None else {"tiles": tiles})
    try:
        paths = {
            name: _write(frame, root / f"{name}.csv", "patient_id" if name == "tiles" else patient)
            for name, frame in frames.items()
        }
        files = ScoreFiles(paths["scores"], paths["clinical"], paths.get("tiles"))
        found = evaluate_scores(files, study, root, given, RunFolder.open(root / "out"))
    except BaseException as error:
        shutil.rmtree(root, ignore_errors=True)
        if isinstance(error, JecurError):
            error.message = _with_labels(error.message, frames)
            error.args = (error.message,)
        raise
    result = Result(found)
    weakref.finalize(
        result, shutil.rmtree, root, ignore_errors=True
    )  # the files live as long as it
    return result


def _with_labels(message: str, frames: Mapping[str, pd.DataFrame]) -> str:
    """Say where the first row that a message names stands in its DataFrame: a file counts its heading too."""
    parts = re.split(rf"({'|'.join(frames)})(?=\.csv: )", message)
    for k in range(1, len(parts), 2):
        parts[k + 1] = _ROWS.sub(
            partial(_labeled, name=parts[k], index=frames[parts[k]].index), parts[k + 1], count=1
        )
    return "".join(parts)


def _labeled(found: re.Match[str], *, name: str, index: pd.Index) -> str:
    k = int(found[1]) - 2
    if not 0 <= k < len(index):
        return found.group()
    return f"{found.group()} (row {found[1]} is {name}.iloc[{k}], index {index.tolist()[k]!r})"


def _write(table: pd.DataFrame, path: Path, patient: str) -> Path:
    """Write a DataFrame as the text that the readers take: 1.0 beside a missing value is a 1.

    An index with a name is a column like the others: patients are often kept there.
    """
    if table.columns.nlevels > 1:
        raise TableError(
            f"{path.name}: expected one name a column, found {table.columns.nlevels} levels of names "
            f"({table.columns[0]!r}); join them: df.columns = df.columns.map('_'.join)"
        )
    named = [name for name in table.index.names if name is not None and name not in table.columns]
    table = table.reset_index(level=named) if named else table
    odd = [
        str(name)
        for name, cells in table.items()
        if cells.dtype.kind == "c" or (cells.dtype == object and any(map(np.iscomplexobj, cells)))
    ]
    if odd:
        raise TableError(
            f"{path.name}: expected real numbers, found complex ones in column {', '.join(odd)}"
        )
    if patient in table and table[patient].dtype.kind == "f":
        ids = table[patient].to_numpy(dtype=np.float64, na_value=np.nan)
        large = np.flatnonzero(np.abs(ids) >= _INEXACT)
        if large.size:
            raise TableError(
                f"{path.name}: expected ids in column '{patient}', found {ids[large[0]]:.17g} in row "
                f"{large[0] + 2}, a float, which does not hold all digits of so long a number; read it "
                "as text (dtype=str)"
            )
    table.convert_dtypes().to_csv(path, index=False)
    return path

"""A study from its file to its report."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jecur.api.door import door
from jecur.doctor.visit import Visit, examine
from jecur.pipeline import run_study, train_study
from jecur.preview.cohort import CohortPreview
from jecur.runs.cores import cores
from jecur.runs.folder import RunFolder
from jecur.runs.progress import LineProgress
from jecur.settings import CrossvalSettings, StudySettings
from jecur.settings import read_study as read_settings
from jecur.settings.base import CountOrZero
from jecur.study.cross_validate import cross_validate as cross_validate_study
from jecur.study.cross_validation_report import CrossValidationReport
from jecur.study.devices import on_devices
from jecur.study.machines import at_work
from jecur.study.preflight import Plan, Purpose, require_ready
from jecur.study.report import StudyReport

__all__ = ["Study", "check", "cross_validate", "read_study", "run", "train"]


@dataclass(frozen=True, slots=True, repr=False)
class Study:
    """A study file that was read.

    Parameters
    ----------
    settings
        Every setting.
    folder
        What the paths in it are relative to.
    """

    settings: StudySettings
    folder: Path

    def __repr__(self) -> str:
        return f"Study({self.settings.name!r}, {self.folder})"


@door
def read_study(path: str | Path) -> Study:
    """Read a study file.

    Raises
    ------
    SettingsError
        Naming everything that is wrong with it.
    """
    file = Path(path)
    return Study(read_settings(file), file.resolve().parent)


@door
def check(study: Study) -> CohortPreview:
    """Look over table and slides before a long run, as ``jecur doctor`` does."""
    return examine(Visit(study.settings, study.folder), LineProgress())


@door
def run(study: Study, *, out: str | Path, workers: CountOrZero = 0) -> StudyReport:
    """Run a study from slides and a clinical table to the report; again does what is missing.

    Parameters
    ----------
    study
        Of `read_study`.
    out
        Run folder.
    workers
        Processes; 0 takes one a core.
    """
    with _ready(study, "run", out, workers) as progress:
        return run_study(
            study.settings,
            study.folder,
            RunFolder.open(Path(out)),
            workers=workers or cores(),
            progress=progress,
        )


@door
def train(study: Study, *, out: str | Path, workers: CountOrZero = 0) -> Path:
    """Train the model of a study and return its file; parameters as `run`."""
    with _ready(study, "train", out, workers) as progress:
        model, _ = train_study(
            study.settings,
            study.folder,
            RunFolder.open(Path(out)),
            workers=workers or cores(),
            progress=progress,
        )
    return model


@door
def cross_validate(  # noqa: PLR0913 -- how patients are divided, one argument a setting
    study: Study,
    *,
    out: str | Path,
    folds: int = 5,
    repeats: int = 1,
    site_preserving: bool = False,
    inner_folds: int = 0,
    seed: int = 0,
    workers: CountOrZero = 0,
) -> CrossValidationReport:
    """Cross-validate a study: every risk is from a model that never saw the patient.

    Parameters
    ----------
    study, out, workers
        As `run`.
    folds
        Parts; each is held out once.
    repeats
        Times the patients are divided anew.
    site_preserving
        Keep all patients of a site in one fold, inner folds too.
    inner_folds
        Folds within the training patients that choose the number of epochs; 0 does not choose.
    seed
        Of the folds.
    """
    division = CrossvalSettings(
        folds=folds,
        repeats=repeats,
        site_preserving=site_preserving,
        inner_folds=inner_folds,
        seed=seed,
    )
    with _ready(study, "crossval", out, workers, division) as progress:
        return cross_validate_study(
            study.settings,
            study.folder,
            RunFolder.open(Path(out)),
            division,
            workers=workers or cores(),
            progress=progress,
        )


@contextmanager
def _ready(
    study: Study,
    purpose: Purpose,
    out: str | Path,
    workers: CountOrZero,
    division: CrossvalSettings | None = None,
) -> Iterator[LineProgress]:
    """Refuse a study that is not ready, before anything is written; else settle where networks run.

    The machines that the study names are at work for the length of the block, as on the command line.
    """
    progress = LineProgress()
    processes = workers or cores()
    plan = Plan(study.settings, study.folder, purpose, Path(out), division, processes)
    compute = study.settings.compute
    with on_devices(compute, Path(out), parts=("slides", "torch"), say=progress.say):
        require_ready(plan, progress)
        with at_work(compute, Path(out), workers=processes, say=progress.say):
            yield progress

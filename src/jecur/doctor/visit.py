"""A whole study looked over: what a run would refuse, and every slide opened and held against the table."""

from dataclasses import dataclass, replace
from pathlib import Path

from jecur.errors import JecurError
from jecur.preview.cohort import CohortPreview, preview_cohort
from jecur.runs.progress import Progress
from jecur.settings import StudySettings
from jecur.study.devices import devices_line
from jecur.study.findings import Finding
from jecur.study.preflight import Plan, Purpose, look_over
from jecur.study.recipe import recipe_of_study

__all__ = ["Visit", "examine"]


@dataclass(frozen=True, slots=True)
class Visit:
    """What is to be looked at.

    Parameters
    ----------
    study, folder
        As `jecur.pipeline.run_study`.
    out
        Run folder that is planned; nothing is written there. None asks for no disk and time.
    tiles
        Read every tile of every slide too.
    workers
        Processes that a run would have.
    """

    study: StudySettings
    folder: Path
    out: Path | None = None
    tiles: bool = False
    workers: int = 1


_NO_ROLES = Finding(
    "warning",
    "no-roles",
    "roles",
    "no column of roles and no [cohort.split]: jecur crossval takes everybody who has follow-up; "
    'jecur run needs validation patients: add [cohort.split] (by = "fraction", "site" or "date")',
)


def examine(visit: Visit, progress: Progress) -> CohortPreview:
    """Look a study over, and open every slide.

    Raises
    ------
    JecurError
        If the table cannot be read: then nothing can be held against it. Everything else that a run
        would refuse is named beside it.
    """
    study = visit.study
    roles = study.cohort.columns.role or study.cohort.split
    purpose: Purpose = "run" if roles else "crossval"
    found = look_over(
        Plan(study, visit.folder, purpose, visit.out, workers=visit.workers), progress
    )
    if found.cohort is None:
        found.refuse()
        raise ValueError("expected a reason for which the table was not read")
    devices, refused = _devices(visit)
    recipe = recipe_of_study(study) if visit.tiles else None
    seen = preview_cohort(found.cohort, progress=progress, recipe=recipe)
    known = {(f.code, f.subject) for f in seen.findings}
    both = [
        *(() if roles else (_NO_ROLES,)),
        *refused,
        *(f for f in found.findings if (f.code, f.subject) not in known),
        *seen.findings,
    ]
    return replace(
        seen,
        findings=tuple(sorted(both, key=lambda f: f.severity)),
        outcomes=found.outcomes,
        expected=found.expected.line() if found.expected else "",
        devices=devices,
    )


def _devices(visit: Visit) -> tuple[str, tuple[Finding, ...]]:
    """Say where networks would run, or for what a run would refuse to begin."""
    try:
        return devices_line(visit.study.compute, visit.out), ()
    except JecurError as error:
        return "", (Finding("error", error.code, "device", error.message),)

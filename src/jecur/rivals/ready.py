"""What a comparison lacks, looked for before the first slide: all in one list."""

from dataclasses import replace
from pathlib import Path

from jecur.runs.progress import Progress
from jecur.settings import CompareSettings, CrossvalSettings, StudySettings
from jecur.study.preflight import Plan, Purpose, look_over

__all__ = ["require_ready_to_compare"]

_OF_A_MODEL = frozenset({"labels-all-alike", "no-torch", "other-recipe"})
"""What the recipe of the study file lacks, another model may not; each is asked what it needs itself."""


def require_ready_to_compare(
    study: StudySettings,
    folder: Path,
    out: Path,
    settings: CompareSettings,
    *,
    workers: int,
    progress: Progress,
) -> None:
    """Refuse a study that cannot be compared, with all that it lacks; else say what its slides will take.

    Parameters
    ----------
    study, folder, workers
        As `jecur.pipeline.run_study`.
    out
        Run folder.
    settings
        Folds, or the validation role.
    progress
        Shows messages.

    Raises
    ------
    JecurError
        All problems at once.
    """
    division = (
        CrossvalSettings(
            folds=settings.folds, site_preserving=settings.site_preserving, seed=settings.seed
        )
        if settings.folds
        else None
    )
    purpose: Purpose = "crossval" if settings.folds else "run"
    found = look_over(Plan(study, folder, purpose, out, division, workers), progress)
    found = replace(found, findings=tuple(f for f in found.findings if f.code not in _OF_A_MODEL))
    found.refuse()
    for finding in found.findings:
        progress.say(f"{finding.subject}: {finding.message} [{finding.code}]")
    if found.expected is not None:
        progress.say(replace(found.expected, training_s=None).line())

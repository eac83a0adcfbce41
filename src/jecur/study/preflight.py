"""Everything a study needs, looked at before the first slide: all that is wrong in one list.

`doctor`, `run`, `train`, `crossval` and `score` share it. Nothing is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from jecur.cohort.cohort import Cohort, Patient
from jecur.cohort.selection import refuse_labels_alike
from jecur.errors import JecurError, Problems, TableError
from jecur.printable import counted
from jecur.runs.folder import MANIFEST, RunFolder
from jecur.runs.progress import Progress
from jecur.settings import CrossvalSettings, Recipe, StudySettings
from jecur.study.cohort_slides import slide_tasks, study_cohort
from jecur.study.expected import Expected, expect, pending, training_seconds, try_two_slides
from jecur.study.findings import Finding
from jecur.study.folds import divide_study
from jecur.study.model_name import (
    model_path,
    refuse_other_crossval,
    refuse_other_report,
    refuse_other_study,
)
from jecur.study.needs import (
    missing_extras,
    missing_places,
    missing_slides,
    none_is_there,
    reader_of_features,
    too_little_disk,
    writable,
)
from jecur.study.recipe import recipe_of_study
from jecur.study.slide_task import SlideTask
from jecur.study.training_task import outcomes_of

__all__ = ["Plan", "Preflight", "Purpose", "look_over", "require_ready", "require_ready_slides"]

Purpose = Literal["run", "train", "crossval", "prepare"]

_FEW = 4
"""Slides to score that are sooner done than tried."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found.

    Parameters
    ----------
    findings
        Errors first.
    outcomes
        A line each role or fold: patients, and how many with the event.
    expected
        Tiles, disk and time; None where nothing is to be prepared, or it was not asked for.
    cohort
        The cohort, if the table could be read.
    """

    findings: tuple[Finding, ...]
    outcomes: tuple[str, ...]
    expected: Expected | None
    cohort: Cohort | None

    def refuse(self) -> None:
        """Raise all errors among the findings, in one.

        Raises
        ------
        JecurError
            Of the first one's code.
        """
        problems = Problems()
        problems.found += [
            TableError(f"{f.subject}: {f.message}" if f.subject else f.message, code=f.code)
            for f in self.findings
            if f.severity == "error"
        ]
        problems.refuse()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with a study.

    Parameters
    ----------
    study, folder
        As `jecur.pipeline.run_study`.
    purpose
        Run it, train alone, cross-validate, or prepare slides alone.
    out
        Run folder; None where none is known.
    division
        Folds of a cross-validation.
    workers
        Processes that will prepare slides.
    """

    study: StudySettings
    folder: Path
    purpose: Purpose
    out: Path | None = None
    division: CrossvalSettings | None = None
    workers: int = 1
    everybody: bool = False
    """Whether patients take part whatever their role, as in cross-validation."""


def look_over(plan: Plan, progress: Progress, *, trial: bool = True) -> Preflight:
    """Look a study over; nothing is written.

    Parameters
    ----------
    plan
        What is to be done.
    progress
        Shows a bar while slides are tried.
    trial
        Try two slides, where any are to be prepared.
    """
    study, folder, purpose, out = plan.study, plan.folder, plan.purpose, plan.out
    everybody = plan.everybody or purpose == "crossval"
    trains = purpose != "prepare"
    found = [*(missing_extras(study, out) if trains else ()), *missing_places(study, folder, out)]
    try:
        recipe: Recipe | None = recipe_of_study(study)
    except JecurError as error:
        found += _told(error, "[nuclei]")
        recipe = None
    try:
        cohort = study_cohort(study, folder, everybody=everybody)
    except JecurError as error:
        found += _told(error, "")
        return Preflight(_sorted(found), (), None, None)
    found += missing_slides(study, folder, cohort)
    if recipe is not None and out is not None and (out / MANIFEST).is_file():
        found += _other_recipe(study, recipe, purpose, RunFolder(out))
    outcomes, lacking = _outcomes(study, cohort, purpose, plan.division)
    found += lacking
    expected = None
    if recipe is not None and out is not None and trial:
        ready = not any(f.severity == "error" for f in found)
        expected = _expected(plan, cohort, recipe, out, progress, train=trains and ready)
        found += too_little_disk(expected, out)
    return Preflight(_sorted(found), outcomes, expected, cohort)


def require_ready(plan: Plan, progress: Progress) -> None:
    """Refuse a study that is not ready, with all that it lacks; else say what it will take.

    Raises
    ------
    JecurError
        All problems at once.
    """
    found = look_over(plan, progress)
    found.refuse()
    for finding in found.findings:
        progress.say(f"{finding.subject}: {finding.message} [{finding.code}]")
    for line in found.outcomes:
        progress.say(line)
    if found.expected is not None:
        progress.say(found.expected.line())


def require_ready_slides(
    slides: Sequence[SlideTask], recipe: Recipe, *, out: Path, workers: int, progress: Progress
) -> None:
    """Refuse to score slides for which something is lacking; else say what it will take.

    Raises
    ------
    JecurError
        All problems at once.
    """
    paths = [order.path for order in slides]
    found = [*reader_of_features(paths), *writable(out), *none_is_there(paths)]
    orders = pending(slides, out)
    expected = None
    if len(orders) > _FEW:
        expected = expect(
            orders, try_two_slides(orders, recipe, progress), recipe, out, workers=workers
        )
    found += too_little_disk(expected, out)
    Preflight(_sorted(found), (), expected, None).refuse()
    if expected is not None:
        progress.say(expected.line())


def _told(error: JecurError, subject: str) -> list[Finding]:
    parts = error.parts or (error,)
    return [Finding("error", part.code, subject, part.message) for part in parts]


def _sorted(found: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda finding: finding.severity != "error"))


def _other_recipe(
    study: StudySettings, recipe: Recipe, purpose: Purpose, run: RunFolder
) -> list[Finding]:
    """Say if the folder holds results of another recipe or command, which are not written over."""
    try:
        if purpose == "crossval":
            refuse_other_crossval(study, run)
        else:
            refuse_other_study(purpose, study, run)
        if purpose == "run":
            refuse_other_report(model_path(study, recipe, run), run)
    except JecurError as error:
        return _told(error, "--out")
    return []


def _outcomes(
    study: StudySettings, cohort: Cohort, purpose: Purpose, division: CrossvalSettings | None
) -> tuple[tuple[str, ...], list[Finding]]:
    """Count patients and events of every role or fold, and say which are lacking."""
    if purpose == "crossval":
        return _fold_outcomes(study, cohort, division or CrossvalSettings())
    roles = {role: cohort.of_role(role) for role in ("training", "tuning", "validation")}
    lines = [f"{role}: {_counted(group)}" for role, group in roles.items() if group]
    found = []
    someone = roles["training"] or (purpose == "prepare" and cohort.patients)
    if not someone or (purpose == "run" and not roles["validation"]):
        found.append(_no_role(study, roles["training"], roles["validation"]))
    elif roles["training"]:
        try:
            refuse_labels_alike(outcomes_of(roles["training"], study.training), "training role")
        except JecurError as error:
            found += _told(error, "")
    if purpose == "run" and roles["validation"] and not any(p.event for p in roles["validation"]):
        message = (
            f"expected an event, found none in {len(roles['validation'])}; nothing can be estimated"
        )
        found.append(Finding("warning", "few-events", "validation", message))
    return tuple(lines), found


def _no_role(
    study: StudySettings, training: Sequence[Patient], validation: Sequence[Patient]
) -> Finding:
    """Say that there is nobody to train on, or to validate on, and both ways out."""
    column = study.cohort.columns.role
    where = f"in column '{column}'" if column else "for anybody: there is no column of roles"
    return Finding(
        "error",
        "no-roles",
        "roles",
        f"expected training and validation patients, found {len(training)} and {len(validation)} {where}; "
        'have the patients divided by [cohort.split] (by = "fraction", "site" or "date", and role = "" '
        "under [cohort.columns]), or cross-validate: jecur crossval needs no validation patients",
    )


def _fold_outcomes(
    study: StudySettings, cohort: Cohort, division: CrossvalSettings
) -> tuple[tuple[str, ...], list[Finding]]:
    patients = [p for p in cohort.patients if p.role != "validation"]
    try:
        divisions = divide_study(patients, study, division)
    except JecurError as error:
        return (f"cross-validation: {_counted(patients)}",), _told(error, "")
    lines = [
        f"repeat {repeat + 1}, fold {fold + 1}: "
        + _counted([p for p, k in zip(patients, folds.fold_of, strict=True) if k == fold])
        for repeat, folds in enumerate(divisions)
        for fold in range(division.folds)
    ]
    return tuple(lines), []


def _counted(patients: Sequence[Patient]) -> str:
    return f"{counted(len(patients), 'patient')}, {sum(p.event for p in patients)} with the event"


def _needed(study: StudySettings, cohort: Cohort, *, everybody: bool) -> list[Patient]:
    """Patients whose slides are prepared."""
    if everybody:
        return list(cohort.patients)
    needed = list(cohort.of_role("validation"))
    for role in ("training", "tuning"):
        outcome = outcomes_of(cohort.of_role(role), study.training)
        needed += [*outcome.good, *outcome.poor]
    return needed


def _expected(
    plan: Plan, cohort: Cohort, recipe: Recipe, out: Path, progress: Progress, *, train: bool
) -> Expected | None:
    """Say what is to be expected; None where every slide was prepared before."""
    everybody = plan.everybody or plan.purpose == "crossval"
    study, needed = plan.study, _needed(plan.study, cohort, everybody=everybody)
    orders = pending(slide_tasks(study, plan.folder, needed, recipe, out), out)
    kept = everybody or plan.purpose == "prepare" or study.run.keep_tiles or study.run.cache
    if not kept:
        unseen = {p.id for p in needed if p.role == "validation"}
        orders = [_passing(order, study, unseen=order.patient in unseen) for order in orders]
    if not orders:
        return None
    trial = try_two_slides(orders, recipe, progress)
    expected = expect(orders, trial, recipe, out, workers=plan.workers, bags=study.bags)
    if not train:
        return expected
    trained = [p for p in needed if p.role != "validation"]
    n_tiles = int(expected.n_tiles * len(trained) / max(1, len(needed)))
    px = study.tiling.output_px
    seconds = training_seconds(study.training, px, n_tiles, len(trained), plan.division)
    return replace(expected, training_s=seconds, preset=study.training.preset)


def _passing(order: SlideTask, study: StudySettings, *, unseen: bool) -> SlideTask:
    """Mark a slide whose tiles will not be kept: what sees them is not there yet."""
    if unseen:
        return replace(order, model_sha256="later")
    return order if study.training.encoder.trained else replace(order, encoder_sha256="later")

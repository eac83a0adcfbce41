"""Everything a study needs, looked at before the first slide: all that is wrong in one list.

`doctor`, `run`, `train`, `crossval` and `score` share it. Nothing is written.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from jecur.cohort.cohort import Cohort, Patient
from jecur.cohort.selection import refuse_labels_alike
from jecur.errors import JecurError, Problems, TableError
from jecur.mil.feature_file import FEATURE_SUFFIXES
from jecur.printable import counted
from jecur.runs.files import free_bytes
from jecur.runs.folder import MANIFEST, RunFolder
from jecur.runs.progress import Progress
from jecur.settings import CrossvalSettings, Recipe, StudySettings
from jecur.study.cohort_slides import slide_tasks, study_cohort
from jecur.study.expected import Expected, expect, pending, training_seconds, try_two_slides
from jecur.study.findings import Finding
from jecur.study.folds import divide_study
from jecur.study.model_name import model_path, refuse_other_crossval, refuse_other_report
from jecur.study.prepare import SlideTask, recipe_of_study
from jecur.study.torch_wing import no_torch
from jecur.study.train import outcomes_of

__all__ = ["Plan", "Preflight", "Purpose", "look_over", "require_ready", "require_ready_slides"]

Purpose = Literal["run", "train", "crossval", "prepare"]

_EXTRAS = ("torch", "timm", "onnx")
_FEW = 4
"""Slides to score that are sooner done than tried."""
_MANY = 12
"""Missing files that are named one by one."""


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


def look_over(plan: Plan, *, trial: bool = True) -> Preflight:
    """Look a study over; nothing is written.

    Parameters
    ----------
    plan
        What is to be done.
    trial
        Try two slides, where any are to be prepared.
    """
    study, folder, purpose, out = plan.study, plan.folder, plan.purpose, plan.out
    everybody = plan.everybody or purpose == "crossval"
    trains = purpose != "prepare"
    found = [*(_missing_extras(study, out) if trains else ()), *_paths(study, folder, out)]
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
    found += _slide_files(study, folder, cohort)
    if recipe is not None and out is not None and (out / MANIFEST).is_file():
        found += _other_recipe(study, recipe, purpose, RunFolder(out))
    outcomes, lacking = _outcomes(study, cohort, purpose, plan.division)
    found += lacking
    expected = None
    if recipe is not None and out is not None and trial:
        ready = not any(f.severity == "error" for f in found)
        expected = _expected(plan, cohort, recipe, out, train=trains and ready)
        found += _too_little_disk(expected, out)
    return Preflight(_sorted(found), outcomes, expected, cohort)


def require_ready(plan: Plan, progress: Progress) -> None:
    """Refuse a study that is not ready, with all that it lacks; else say what it will take.

    Raises
    ------
    JecurError
        All problems at once.
    """
    found = look_over(plan)
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
    found = [*_reader_of_features(paths), *_writable(out), *_none_is_there(paths)]
    orders = pending(slides, out)
    expected = None
    if len(orders) > _FEW:
        expected = expect(orders, try_two_slides(orders, recipe), recipe, out, workers=workers)
    found += _too_little_disk(expected, out)
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
        if purpose == "run":
            refuse_other_report(model_path(study, recipe, run), run)
        elif purpose == "crossval":
            refuse_other_crossval(study, run)
    except JecurError as error:
        return _told(error, "--out")
    return []


def _missing_extras(study: StudySettings, out: Path | None) -> Iterator[Finding]:
    """Libraries that training needs; with a model in the folder it may need none."""
    absent = [name for name in _EXTRAS if not _is_installed(name)]
    if not absent:
        return
    has_model = out is not None and any((out / "models").glob("*.jecur"))
    found = no_torch("torch, timm and onnx", "training", ", ".join(absent))
    yield Finding(
        "warning" if has_model else "error",
        found.code,
        f"preset {study.training.preset}",
        found.message,
    )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _reader_of_features(paths: Sequence[Path]) -> Iterator[Finding]:
    features = [path for path in paths if path.suffix.lower() in FEATURE_SUFFIXES]
    if features and not _is_installed("h5py"):
        yield Finding(
            "error",
            "no-h5py",
            f"{len(features)} feature files",
            "expected h5py to read features, found none; install it with: "
            'pip install "jecur[features]"',
        )


def _paths(study: StudySettings, folder: Path, out: Path | None) -> Iterator[Finding]:
    cohort = study.cohort
    if (cohort.columns.slide or cohort.slide_list) and not (folder / cohort.slide_folder).is_dir():
        yield _absent_folder("slide_folder", (folder / cohort.slide_folder).resolve())
    if cohort.annotation_folder and not (folder / cohort.annotation_folder).is_dir():
        yield _absent_folder("annotation_folder", (folder / cohort.annotation_folder).resolve())
    start = study.training.encoder.start
    if start not in {"builtin", "imagenet", "random"} and not Path(start).is_file():
        yield Finding(
            "error",
            "missing-file",
            "training.encoder.start",
            f'expected "builtin", "imagenet", "random" or a safetensors file, found none at {start}; '
            "correct it",
        )
    if out is not None:
        yield from _writable(out)


def _absent_folder(setting: str, path: Path) -> Finding:
    parent = path.parent
    near = sorted(p.name for p in parent.iterdir() if p.is_dir()) if parent.is_dir() else []
    there = f" (there are: {', '.join(near[:8])})" if near else ""
    return Finding(
        "error",
        "missing-folder",
        f"cohort.{setting}",
        f"expected a folder at {path}, found none{there}; correct it in the study file",
    )


def _writable(out: Path) -> Iterator[Finding]:
    there = out.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if there.is_dir() and os.access(there, os.W_OK):
        return
    kind = "a folder that cannot be written" if there.is_dir() else "a file"
    frozen = hasattr(os, "statvfs") and bool(os.statvfs(there).f_flag & os.ST_RDONLY)
    yield Finding(
        "error",
        "read-only" if frozen else "no-permission",
        "--out",
        f"expected a folder for the run, found {kind} at {there}; name another",
    )


def _slide_files(study: StudySettings, folder: Path, cohort: Cohort) -> Iterator[Finding]:
    """Slides that are named and not there: an error if it is all of them."""
    entries = [entry for patient in cohort.patients for entry in patient.slides]
    absent = [e for e in entries if not e.path.exists()]
    yield from _reader_of_features([entry.path for entry in entries])
    if not absent or not (folder / study.cohort.slide_folder).is_dir():
        return
    every = len(absent) == len(entries)
    names = ", ".join(e.path.name for e in absent[:_MANY])
    more = f" and {len(absent) - _MANY} more" if len(absent) > _MANY else ""
    remedy = (
        "correct slide_folder or the names"
        if every
        else "their patients are left out if no slide of theirs remains"
    )
    yield Finding(
        "error" if every else "warning",
        "missing-file",
        f"{len(absent)} of {len(entries)} slides",
        f"expected files in {study.cohort.slide_folder}, found no {names}{more}; {remedy}",
    )


def _none_is_there(paths: Sequence[Path]) -> Iterator[Finding]:
    """Say if no slide that was asked for exists: then a folder or a name is misspelt."""
    if any(path.exists() for path in paths):
        return
    names = ", ".join(map(str, paths[:_MANY]))
    more = f" and {len(paths) - _MANY} more" if len(paths) > _MANY else ""
    yield Finding(
        "error",
        "missing-file",
        f"{len(paths)} of {counted(len(paths), 'slide')}",
        f"expected slide files, found nothing at {names}{more}; correct the names",
    )


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
    plan: Plan, cohort: Cohort, recipe: Recipe, out: Path, *, train: bool
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
    trial = try_two_slides(orders, recipe)
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


_LESS = {None: "", "jxl": "", "raw": 'set bags.format to "jxl", '}
"""What else would help, by the form in which tiles are kept."""


def _too_little_disk(expected: Expected | None, out: Path) -> Iterator[Finding]:
    if expected is None:
        return
    free = free_bytes(out)
    if expected.disk_bytes > free:
        yield Finding(
            "error",
            "disk-full",
            "--out",
            f"expected {expected.disk_bytes / 1e9:.3g} GB free for {expected.n_tiles:,} tiles of "
            f"{counted(expected.n_slides, 'slide')}, found {free / 1e9:.3g} GB at {out}; make room, "
            f"name another --out, {_LESS[expected.bags]}or set tiling.max_tiles",
        )
    elif expected.disk_bytes > 0.8 * free:
        yield Finding(
            "warning",
            "disk-full",
            "--out",
            f"expected room to spare, found that the tiles take about {expected.disk_bytes / 1e9:.1f} of "
            f"{free / 1e9:.1f} GB",
        )

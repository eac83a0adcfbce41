"""A run folder owns its recipe: another recipe makes a second model beside the first, never over it.

The recipe of a model file is on its card: all settings of training and of preparation. The first model
of a study is ``models/<name>.jecur``; one of another recipe ``models/<name>-<preset>.jecur``, or, if that
is taken by yet another, with a few letters of the recipe's fingerprint behind it.
"""

import csv
import re
from pathlib import Path
from typing import Any

import msgspec

from jecur.errors import JecurError, RunFolderError
from jecur.model.file import read_bundle
from jecur.runs.folder import RunFolder, fingerprint
from jecur.runs.opening import read_manifest
from jecur.settings import Recipe, StudySettings
from jecur.study.training_card import shown_recipe, shown_training

__all__ = [
    "beside_first",
    "goes_beside",
    "model_path",
    "refuse_other_crossval",
    "refuse_other_preparation",
    "refuse_other_report",
    "refuse_other_study",
    "scored_model",
]

GOES_ON_FROM = {
    "prepare": ("train", "run", "crossval"),
    "train": ("prepare", "run", "crossval"),
    "run": ("prepare", "train"),
    "crossval": ("prepare",),
    "validate": (),
}
"""Command on a whole study -> whose folders it goes on in, beside its own."""

_REPORTED = ("run", "crossval")
"""Commands whose tables stay as they are where slides are prepared, or a model trained, beside them."""

_PREPARES = ("tissue", "tiling", "quality", "stain", "nuclei", "annotations")


def model_path(study: StudySettings, recipe: Recipe, run: RunFolder) -> Path:
    """Where the model of this study and recipe lies or will lie in a run folder."""
    slug = re.sub(r"[^a-z0-9]+", "-", study.name.lower()).strip("-") or "model"
    preset = study.training.preset
    letters = fingerprint(shown_training(study.training), shown_recipe(recipe))[:6]
    names = (slug, f"{slug}-{preset}", f"{slug}-{preset}-{letters}")
    paths = [run.root / "models" / f"{name}.jecur" for name in names]
    own = [path for path in paths if _has_recipe(path, study, recipe)]
    return next((path for path in (*own, *paths) if path in own or not _is_model(path)), paths[-1])


def beside_first(path: Path, study: StudySettings) -> str:
    """Tell the files of a second model from those of the first: "" for it, else ``-<recipe>``."""
    slug = re.sub(r"[^a-z0-9]+", "-", study.name.lower()).strip("-") or "model"
    return path.stem.removeprefix(slug)


def refuse_other_report(model: Path, run: RunFolder) -> None:
    """Refuse to write scores and report over those of another model.

    Raises
    ------
    RunFolderError
        With code ``other-recipe``: which model they are of, and how to get both.
    """
    other = scored_model(run) or model.name
    if other != model.name:
        raise RunFolderError(
            f"expected scores and report of {model.name} in {run.root}, found those of {other}, another "
            "recipe; name another --out, or ask for that recipe (--preset); `jecur train` puts both models "
            "into one folder, and [run] cache shares the prepared slides",
            code="other-recipe",
        )


def scored_model(run: RunFolder) -> str:
    """Name of the model file that the scores of a run folder are of; "" where there are none."""
    scores = run.root / "scores.csv"
    if not scores.is_file():
        return ""
    with scores.open(encoding="utf-8", newline="") as stream:
        first = next(csv.DictReader(stream), {})
    return first.get("model") or ""


def goes_beside(command: str, run: RunFolder) -> bool:
    """Whether a command leaves tables and manifest to the finished run or cross-validation that is there."""
    return command not in _REPORTED and run.command in _REPORTED


def refuse_other_study(command: str, study: StudySettings, run: RunFolder) -> None:
    """Refuse to write over the results of a command that this one does not go on from.

    Slides of a finished run, too, are not prepared by other settings than those that its tables are of.

    Raises
    ------
    RunFolderError
        With code ``other-recipe``.
    """
    remedy = "name another --out ([run] cache shares the prepared slides)"
    run.refuse_other_command(command, *GOES_ON_FROM[command], remedy=remedy)
    if not goes_beside(command, run):
        return
    other = _prepared_otherwise(study, run)
    if other:
        raise RunFolderError(
            f"expected slides as those of the finished jecur {run.command} at {run.root}, found other "
            f"settings of [{'], ['.join(other)}], by which they would no longer be what its tables tell "
            f"of; {remedy}",
            code="other-recipe",
        )


def refuse_other_preparation(study: StudySettings, run: RunFolder) -> None:
    """Refuse to look at the slides of a finished run under other settings than its tiles were made by.

    Raises
    ------
    RunFolderError
        With code ``other-recipe``.
    """
    other = _prepared_otherwise(study, run) if run.command else []
    if other:
        raise RunFolderError(
            f"expected the settings of the finished jecur {run.command} at {run.root}, found others of "
            f"[{'], ['.join(other)}], under which its tiles would not be what is looked at; name the study "
            "file that the run keeps, study.toml, or run it anew",
            code="other-recipe",
        )


def _prepared_otherwise(study: StudySettings, run: RunFolder) -> list[str]:
    """Tables of settings by which slides would be prepared otherwise than the manifest says."""
    before, now = read_manifest(run.root).get("study", {}), _as_written(study)
    return [name for name in _PREPARES if before.get(name) != now[name]]


def refuse_other_crossval(study: StudySettings, run: RunFolder) -> None:
    """Refuse to write a cross-validation over a run, or over one of another recipe.

    Raises
    ------
    RunFolderError
        With code ``other-recipe``.
    """
    refuse_other_study("crossval", study, run)
    before = read_manifest(run.root).get("study", {}).get("training")
    if run.command == "crossval" and before != _as_written(study)["training"]:
        raise RunFolderError(
            f"expected an empty folder or this cross-validation at {run.root}, found a cross-validation "
            "of another recipe; name another --out ([run] cache shares the prepared slides)",
            code="other-recipe",
        )


def _as_written(study: StudySettings) -> dict[str, Any]:
    """Give settings as the manifest has them once it is read."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(study))
    return found


def _is_model(path: Path) -> bool:
    try:
        read_bundle(path)
    except JecurError:
        return False
    return True


def _has_recipe(path: Path, study: StudySettings, recipe: Recipe) -> bool:
    try:
        card = read_bundle(path).card
    except JecurError:
        return False
    same = card.training == shown_training(study.training)
    return same and card.recipe == shown_recipe(recipe)

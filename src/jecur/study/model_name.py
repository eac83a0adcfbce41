"""A run folder owns its recipe: another recipe makes a second model beside the first, never over it.

The recipe of a model file is on its card: all settings of training and of preparation. The first model
of a study is ``models/<name>.jecur``; one of another recipe ``models/<name>-<preset>.jecur``, or, if that
is taken by yet another, with a few letters of the recipe's fingerprint behind it.
"""

import csv
import json
import re
from pathlib import Path

import msgspec

from jecur.errors import JecurError, RunFolderError
from jecur.model.file import read_bundle
from jecur.runs.folder import MANIFEST, RunFolder, fingerprint
from jecur.settings import Recipe, StudySettings
from jecur.study.training_card import shown_recipe, shown_training

__all__ = ["beside_first", "model_path", "refuse_other_crossval", "refuse_other_report"]


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
    scores = run.root / "scores.csv"
    if not scores.is_file():
        return
    with scores.open(encoding="utf-8", newline="") as stream:
        first = next(csv.DictReader(stream), {})
    other = first.get("model") or model.name
    if other != model.name:
        raise RunFolderError(
            f"expected scores and report of {model.name} in {run.root}, found those of {other}, another "
            "recipe; name another --out, or ask for that recipe (--preset); `jecur train` puts both models "
            "into one folder, and [run] cache shares the prepared slides",
            code="other-recipe",
        )


def refuse_other_crossval(study: StudySettings, run: RunFolder) -> None:
    """Refuse to write a cross-validation over a run, or over one of another recipe.

    Raises
    ------
    RunFolderError
        With code ``other-recipe``.
    """
    facts = json.loads((run.root / MANIFEST).read_text(encoding="utf-8"))
    command, before = facts.get("command"), facts.get("study", {}).get("training")
    if command is None:
        return
    if command != "crossval":
        found = f"the results of jecur {command}"
    elif before != msgspec.to_builtins(study.training):
        found = "a cross-validation of another recipe"
    else:
        return
    raise RunFolderError(
        f"expected an empty folder or this cross-validation at {run.root}, found {found}; name another "
        "--out ([run] cache shares the prepared slides)",
        code="other-recipe",
    )


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

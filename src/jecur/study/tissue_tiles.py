"""Tiles of a study as the classifier of tissue sees them: prepared, and described by a frozen encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jecur.cohort.cohort import Patient
from jecur.errors import RunFolderError, SettingsError
from jecur.mil.tile_digest import TileDigests, read_digests
from jecur.model.card import NetworkInput
from jecur.model.tissue_file import TissueCard
from jecur.runs.device import device_record
from jecur.runs.folder import RunFolder
from jecur.runs.progress import Progress
from jecur.settings import Recipe, StudySettings, preset_training
from jecur.study.bag_form import in_bags
from jecur.study.cohort_slides import prepare_slides, slide_tasks
from jecur.study.described import describe_tiles, require_one_kind, starting_encoder
from jecur.study.prepare import finished_slide
from jecur.study.recipe import recipe_of_study
from jecur.study.slide_task import PreparedSlide
from jecur.study.torch_wing import needing_torch
from jecur.study.training_card import input_of, shown_recipe

__all__ = [
    "TileSource",
    "TissueInput",
    "prepare_for_tissue",
    "require_same_input",
    "require_same_recipe",
    "tissue_input",
]

ENCODER = preset_training("jecur")
"""Recipe whose frozen encoder describes the tiles: others of a comparison share what it saw."""


@dataclass(frozen=True, slots=True)
class TileSource:
    """Prepared slides."""

    prepared: Mapping[str, PreparedSlide]
    """Slide -> what became of it."""
    run: RunFolder
    """Its slides' folders hold the tiles."""
    recipe: Recipe

    def usable(self, patient: Patient) -> list[str]:
        """Slides of a patient that have tiles."""
        return [
            e.id for e in patient.slides if e.id in self.prepared and self.prepared[e.id].usable
        ]

    def digests(self, slide: str) -> TileDigests:
        """Give what the tiles of a slide are recognized by."""
        return read_digests(self.run.slide_folder(slide))


@dataclass(frozen=True, slots=True)
class TissueInput:
    """Tiles as features, and what made them."""

    run: RunFolder
    """Its slides' folders hold (n, d) features."""
    encoder: str
    encoder_sha256: str
    input: NetworkInput
    n_features: int


def prepare_for_tissue(  # noqa: PLR0913 - the study, whose slides, where from, where to
    study: StudySettings,
    folder: Path,
    patients: Sequence[Patient],
    run: RunFolder,
    prepared_in: Path | None,
    *,
    workers: int,
    progress: Progress,
) -> TileSource:
    """Prepare the slides of some patients, or take them from the folder of a finished run.

    Parameters
    ----------
    study, folder, run, workers, progress
        As `jecur.pipeline.run_study`.
    patients
        Whose slides are wanted.
    prepared_in
        Run folder, only read, whose slides were prepared with their tiles; None prepares them in ``run``.

    Raises
    ------
    RunFolderError
        If ``prepared_in`` holds none of them.
    """
    recipe = recipe_of_study(study)
    if prepared_in is None:
        tasks = slide_tasks(study, folder, patients, recipe, run.root)
        tasks = in_bags(
            [replace(task, run=run) for task in tasks],
            study.bags,
            recipe,
            run.root,
            progress=progress,
        )
        prepared = prepare_slides(
            tasks, run, workers=workers, progress=progress, compute=study.compute
        )
        return TileSource(prepared, run, recipe)
    found = {}
    device = device_record(prepared_in).get("slides", "cpu")
    for task in slide_tasks(study, folder, patients, recipe, prepared_in):
        slide, _ = finished_slide(replace(task, device=device))
        if slide is None:
            progress.say(f"{task.slide}: not prepared with its tiles in {prepared_in}; left out")
        else:
            found[task.slide] = slide
    if not found:
        raise RunFolderError(
            f"expected slides of this study prepared with their tiles in {prepared_in}, found none; leave "
            "--run out, or name the folder of a run with [run] keep_tiles = true and the same settings"
        )
    return TileSource(found, replace(run, slides=prepared_in / "slides"), recipe)


def tissue_input(source: TileSource, slides: Sequence[str], progress: Progress) -> TissueInput:
    """Describe the tiles of slides by the frozen encoder; features are taken as they are.

    Parameters
    ----------
    source
        Prepared slides.
    slides
        Those with tiles, at least one.
    progress
        Shows a bar.

    Raises
    ------
    TrainingError
        As `describe_tiles`.
    """
    bag = require_one_kind(source.run, slides)
    if bag.holds_features:
        width = bag.tile_shape[0]
        return TissueInput(source.run, "features as given", "", input_of(bag, 0), width)
    encoder = starting_encoder(ENCODER)
    described = describe_tiles(source.run, slides, ENCODER, progress, encoder)
    with needing_torch("an encoder"):
        from jecur.training.frozen_encoder import encoder_digest  # noqa: PLC0415
    named = f"{ENCODER.encoder.architecture}, {ENCODER.encoder.start} starting weights"
    return TissueInput(
        described,
        named,
        encoder_digest(encoder),
        input_of(bag, ENCODER.n_channels),
        len(encoder.feature_mean),
    )


def require_same_recipe(card: TissueCard, recipe: Recipe) -> None:
    """Refuse a recipe under which tiles look unlike those that the classifier was trained on.

    What decides which tiles there are (tissue, quality, drawings) may differ; what decides how one looks may
    not. A classifier of features knows no recipe.

    Raises
    ------
    SettingsError
        With code ``other-recipe``; all differences are named.
    """
    if card.input.kind == "features":
        return
    own, theirs = shown_recipe(recipe), card.recipe
    pairs = {
        "tiling.side_um": (theirs.tiling.side_um, own.tiling.side_um),
        "tiling.output_px": (theirs.tiling.output_px, own.tiling.output_px),
        "stain": (theirs.stain, own.stain),
        "stain reference": (theirs.stain_reference, own.stain_reference),
        "nuclei network": (theirs.nuclei_sha256, own.nuclei_sha256),
    }
    _refuse_other([name for name, (there, here) in pairs.items() if there != here])


def require_same_input(card: TissueCard, seen: TissueInput) -> None:
    """Refuse tiles that another encoder described than the one that the classifier was trained on.

    Raises
    ------
    SettingsError
        With code ``other-recipe``.
    """
    pairs = {
        f"number of features ({card.n_features} there, {seen.n_features} here)": (
            card.n_features,
            seen.n_features,
        ),
        "encoder": (card.encoder_sha256, seen.encoder_sha256),
    }
    _refuse_other([name for name, (there, here) in pairs.items() if there != here])


def _refuse_other(names: Sequence[str]) -> None:
    if names:
        raise SettingsError(
            "expected tiles as those that the tissue classifier was trained on, found another "
            f"{', another '.join(names)}; train it again on this study, or take its settings",
            code="other-recipe",
        )

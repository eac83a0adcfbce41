"""Where a `Recipe` comes from: everything that decides the pixels the networks see.

It is written into the model file, so that a slide is prepared for scoring exactly as those the model was
trained on.
"""

from functools import cache
from pathlib import Path

import msgspec

from jecur.errors import SlideError
from jecur.model.file import Bundle, read_bundle
from jecur.nuclei.segmentation import NucleiModel
from jecur.runs.device import Device
from jecur.settings import NucleiSettings, Recipe, StudySettings
from jecur.stain.reference import builtin_reference
from jecur.study.slide_task import SlideTask

__all__ = ["nuclei_network", "recipe_of_bundle", "recipe_of_study", "recipe_without_nuclei"]


def recipe_of_study(study: StudySettings) -> Recipe:
    """Recipe of a study that trains its own model, with the built-in stain reference.

    Raises
    ------
    NucleiModelError
        If the study's nuclei network cannot be used, or sees tissue at another scale.
    """
    network = NucleiModel.load(study.nuclei, threads=1)
    network.require_working_scale()
    return msgspec.structs.replace(recipe_without_nuclei(study), nuclei_sha256=network.sha256)


def recipe_without_nuclei(study: StudySettings) -> Recipe:
    """Recipe of a study for what needs no nuclei network: colors, tissue, tiles and a verdict."""
    return Recipe(
        tissue=study.tissue,
        tiling=study.tiling,
        quality=study.quality,
        stain=study.stain,
        stain_reference=builtin_reference().to_dict(),
        nuclei=study.nuclei,
        nuclei_sha256="",
        annotations=study.annotations,
    )


def recipe_of_bundle(bundle: Bundle) -> Recipe:
    """Recipe that a model file demands."""
    return bundle.card.recipe


def nuclei_network(order: SlideTask) -> NucleiModel:
    """Nuclei network that a slide is prepared with, opened once a process.

    Raises
    ------
    SlideError
        If it is not the one that the recipe names by its digest.
    """
    recipe = order.recipe
    network = _cached_network(recipe.nuclei, order.bundle, recipe.nuclei_sha256, order.device)
    if network.sha256 != recipe.nuclei_sha256:
        raise SlideError(
            "expected the nuclei network that the model was trained with, found another; "
            "restore it or train again",
            code="other-nuclei-network",
        )
    return network


@cache
def _cached_network(
    settings: NucleiSettings, bundle: Path | None, tried: str, device: Device
) -> NucleiModel:
    # One thread a process: the processes share the cores.
    held = None if bundle is None else read_bundle(bundle).nuclei_onnx
    if held is None:
        return NucleiModel.load(settings, threads=1, tried=tried, device=device)
    return NucleiModel.from_bytes(held, threads=1, device=device)

"""The model of a run: its recipe for colors, and its nuclei network, for what is in view."""

import json
import threading
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jecur.errors import BundleError, StainError
from jecur.geometry import Size
from jecur.mil.passport import admit_model
from jecur.model.file import Bundle
from jecur.nuclei.segmentation import NucleiModel
from jecur.settings import Recipe
from jecur.slide.reader import Slide
from jecur.stain.appearance import SlideStain, StainReference
from jecur.stain.normalizer import Normalizer, restore_normalizer
from jecur.viewer.run_tables import RunTables, SlideRow

__all__ = ["FIELD_UM", "RunModel"]

FIELD_UM = 768.0
"""Longest side of a field whose nuclei are mapped, micrometers."""
_BLOCK_PX = 448
_TINT = (0, 170, 80)


class RunModel:
    """Colors and nuclei as a run sees them.

    Parameters
    ----------
    run
        Its tables.
    given
        A model file, where the run holds none (scored with a model from elsewhere).
    """

    def __init__(self, run: RunTables, given: Path | None) -> None:
        self._run = run
        self._given = given
        self._lock = threading.RLock()
        self._normalizers: dict[int, Normalizer] = {}

    @cached_property
    def file(self) -> Path | None:
        """Model file; None if there is none."""
        if self._given is not None:
            return self._given
        root = self._run.root
        files = [*sorted(root.glob("models/*.jecur")), *sorted(root.glob("parts/*/models/*.jecur"))]
        return files[0] if files else None

    @cached_property
    def bundle(self) -> Bundle:
        """The model file, read and tried.

        Raises
        ------
        BundleError
            With code "missing-model" if there is none.
        """
        if self.file is None:
            raise BundleError(
                "expected a model file in the run, found none, as it was scored with one from "
                "elsewhere; name it with --model",
                code="missing-model",
            )
        return admit_model(self.file)

    @property
    def recipe(self) -> Recipe:
        """Settings that decide which pixels are scored."""
        with self._lock:
            return self.bundle.card.recipe

    def normalizer(self, row: SlideRow) -> Normalizer:
        """Map of a slide's colors to the reference, as the run fitted it.

        Raises
        ------
        StainError
            If the run has no fit of this slide: its colors were left alone or refused.
        """
        if row.number not in self._normalizers:
            recipe = self.recipe
            path = self._run.folder(row) / "stain.json"
            held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            if held.get("slide") is None:
                raise StainError(
                    f"{row.slide}: expected the stains that the run fitted, found none; its colors "
                    "are shown as scanned",
                    code="stain-refused",
                )
            self._normalizers[row.number] = restore_normalizer(
                SlideStain.from_dict(held["slide"]),
                recipe.stain,
                StainReference.from_dict(recipe.stain_reference),
            )
        return self._normalizers[row.number]

    @cached_property
    def _network(self) -> NucleiModel:
        held = self.bundle.nuclei_onnx
        if held is None:
            return NucleiModel.load(self.bundle.card.recipe.nuclei)
        return NucleiModel.from_bytes(held)

    def nuclei(
        self, slide: Slide, row: SlideRow, corner: tuple[float, float], field: Size
    ) -> NDArray[np.uint8]:
        """Map the nuclei of a field, (h, w, 4) uint8: green, opaque where they are certain.

        Parameters
        ----------
        slide, row
            The slide.
        corner, field
            Upper left corner and size of the field, level-0 pixels.
        """
        normalizer = self.normalizer(row)
        with self._lock:  # one field at a time: the network takes every core
            network = self._network
            step = network.um_per_px / slide.mpp
            shape = tuple(max(1, round(length / step)) for length in (field.height, field.width))
            blocks = tuple(-(-n // _BLOCK_PX) for n in shape)
            probability = np.zeros([n * _BLOCK_PX for n in blocks], np.float32)
            side = _BLOCK_PX * step
            for i, j in np.ndindex(*blocks):
                rgb = slide.read_region(corner[0] + j * side, corner[1] + i * side, side, _BLOCK_PX)
                found = network.probability(normalizer.apply(rgb[None]))[0]
                rows, columns = (slice(k * _BLOCK_PX, (k + 1) * _BLOCK_PX) for k in (i, j))
                probability[rows, columns] = found
        picture = np.empty((*shape, 4), np.uint8)
        picture[..., :3] = _TINT
        picture[..., 3] = np.rint(probability[: shape[0], : shape[1]] * 255.0)
        return picture

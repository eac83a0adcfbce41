"""What a slide, or the reference, looks like: stains, amounts and color moments.

Plain numbers only; `to_dict` and `from_dict` give back exactly what went in, also through JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from jecur.arrays import Pixels
from jecur.errors import StainError
from jecur.stain.optical_density import WHITE_POINT, Triple, to_optical_density
from jecur.stain.reinhard import lab_moments
from jecur.stain.separation import separate_stains
from jecur.stain.stain_matrix import RUIFROK, StainMatrix

__all__ = ["Appearance", "SlideStain", "StainReference"]


@dataclass(frozen=True, slots=True)
class Appearance:
    """Color of one slide's tissue."""

    stains: StainMatrix
    concentrations: tuple[float, float]
    """High percentile of hematoxylin and eosin over tissue pixels, optical density."""
    lab_mean: Triple
    """Mean over tissue pixels in Ruderman's l-alpha-beta."""
    lab_std: Triple
    """Standard deviation likewise."""

    @classmethod
    def of_pixels(
        cls,
        pixels: Pixels,
        stains: StainMatrix,
        *,
        percentile: float,
        sparsity: float,
        white: Triple = WHITE_POINT,
    ) -> Self:
        """Measure (n, 3) uint8 tissue pixels with known stains.

        Parameters
        ----------
        pixels
            Tissue only: a percentile over white pixels would measure how much glass there is.
        stains
            The pixels' stains.
        percentile
            Of each concentration, 50 to 100.
        sparsity
            L1 penalty of the separation.
        white
            Color of empty glass.
        """
        od = to_optical_density(pixels, white)
        concentrations = separate_stains(od, stains, sparsity=sparsity)
        hematoxylin, eosin = np.percentile(concentrations, percentile, axis=0).tolist()
        mean, std = lab_moments(pixels)
        return cls(stains, (hematoxylin, eosin), tuple(mean.tolist()), tuple(std.tolist()))

    def to_dict(self) -> dict[str, Any]:
        """Write as lists and floats."""
        return {
            "stains": self.stains.vectors.tolist(),
            "concentrations": list(self.concentrations),
            "lab_mean": list(self.lab_mean),
            "lab_std": list(self.lab_std),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        hematoxylin, eosin = fields["concentrations"]
        return cls(
            stains=StainMatrix(np.array(fields["stains"])),
            concentrations=(float(hematoxylin), float(eosin)),
            lab_mean=_triple(fields["lab_mean"]),
            lab_std=_triple(fields["lab_std"]),
        )


@dataclass(frozen=True, slots=True)
class SlideStain:
    """The stain fit of one slide."""

    method: str
    appearance: Appearance
    n_pixels: int
    """Tissue pixels the fit saw."""
    objective: float | None
    """Vahadane's objective per pixel, squared optical density; None for methods without one."""
    levels: tuple[float, ...] | None = None
    """New intensity of each of 256 levels (ICHE-style only)."""
    white: Triple = WHITE_POINT
    """R, G, B that counted as empty glass."""
    converged: bool = True
    """False if Vahadane's updates ran out before they came to rest."""

    @property
    def stains(self) -> StainMatrix:
        """Hematoxylin and eosin of the slide."""
        return self.appearance.stains

    @property
    def angles_to_ruifrok(self) -> tuple[float, float]:
        """Angle of hematoxylin and of eosin to Ruifrok's vectors, degrees."""
        hematoxylin, eosin = self.stains.angle_to(RUIFROK).tolist()
        return hematoxylin, eosin

    def to_dict(self) -> dict[str, Any]:
        """Write as lists and numbers; the angles are for the reader and not read back."""
        return {
            "method": self.method,
            **self.appearance.to_dict(),
            "n_pixels": self.n_pixels,
            "objective": self.objective,
            "levels": None if self.levels is None else list(self.levels),
            "white": list(self.white),
            "converged": self.converged,
            "angles_to_ruifrok": list(self.angles_to_ruifrok),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises
        ------
        StainError
            ``bad-stain-record`` if a field is missing or no number.
        """
        try:
            objective, levels = fields["objective"], fields.get("levels")
            return cls(
                method=str(fields["method"]),
                appearance=Appearance.from_dict(fields),
                n_pixels=int(fields["n_pixels"]),
                objective=None if objective is None else float(objective),
                levels=None if levels is None else tuple(float(level) for level in levels),
                white=_triple(fields.get("white", WHITE_POINT)),
                converged=bool(fields.get("converged", True)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _bad_record("a slide's stain fit", error) from error


@dataclass(frozen=True, slots=True)
class StainReference:
    """The appearance every slide is brought to; part of a model, like its weights."""

    name: str
    appearance: Appearance
    percentile: float
    """Percentile that ``appearance.concentrations`` are."""
    sparsity: float
    """L1 penalty of the separation they were measured with."""

    def to_dict(self) -> dict[str, Any]:
        """Write as lists and numbers."""
        return {
            "name": self.name,
            **self.appearance.to_dict(),
            "percentile": self.percentile,
            "sparsity": self.sparsity,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises
        ------
        StainError
            ``bad-stain-record`` if a field is missing or no number.
        """
        try:
            return cls(
                name=str(fields["name"]),
                appearance=Appearance.from_dict(fields),
                percentile=float(fields["percentile"]),
                sparsity=float(fields["sparsity"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _bad_record("a stain reference", error) from error


def _triple(values: Sequence[float]) -> Triple:
    a, b, c = values
    return float(a), float(b), float(c)


def _bad_record(what: str, error: Exception) -> StainError:
    return StainError(
        f"expected {what} as written by to_dict, found one with {error!r}; write it anew",
        code="bad-stain-record",
    )

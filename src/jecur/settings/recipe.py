"""Everything that decides the pixels the networks see; it travels in the model file."""

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from jecur.errors import SettingsError
from jecur.settings.base import Fraction, Stage, make_settings
from jecur.settings.nuclei import NucleiSettings
from jecur.settings.slide import (
    AnnotationSettings,
    QualitySettings,
    TilingSettings,
    TissueSettings,
)
from jecur.settings.stain import StainSettings

__all__ = ["Recipe"]

_Amount = Annotated[float, Meta(gt=0, le=100)]
_Moment = Annotated[float, Meta(ge=-1000, le=1000)]
_Triple = tuple[_Moment, _Moment, _Moment]
_Direction = tuple[Fraction, Fraction, Fraction]


class _Reference(Stage, frozen=True):
    """What a stain reference must be; `jecur.stain.appearance.StainReference` reads it."""

    name: Annotated[str, Meta(max_length=200)]
    stains: tuple[_Direction, _Direction]
    concentrations: tuple[_Amount, _Amount]
    lab_mean: _Triple
    lab_std: tuple[_Amount, _Amount, _Amount]
    percentile: Annotated[float, Meta(ge=50, le=100)]
    sparsity: Annotated[float, Meta(ge=0, le=10)]


class Recipe(Stage, frozen=True):
    """Everything that decides the pixels of a bag."""

    tissue: TissueSettings
    tiling: TilingSettings
    quality: QualitySettings
    stain: StainSettings
    stain_reference: dict[str, Any]
    nuclei: NucleiSettings
    nuclei_sha256: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")]
    """Digest of the network; "" where none is run."""
    annotations: AnnotationSettings = AnnotationSettings()

    def contradictions(self) -> Iterator[str]:
        """Yield what is wrong with the reference that colors are matched to."""
        try:
            make_settings(self.stain_reference, _Reference, "stain_reference")
        except SettingsError as error:
            yield error.message

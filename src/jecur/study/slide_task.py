"""A slide to prepare, and what became of it: the rows of ``slides.csv``.

A task says who the slide is and all that decides its pixels; its mark is their fingerprint, by which the
same work is known again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

import jecur
from jecur.cohort.csv_text import csv_text
from jecur.errors import SlideError
from jecur.geometry import CorePlace
from jecur.runs.device import Device, device_mark, devices_in_use
from jecur.runs.folder import RunFolder, fingerprint, sha256_file, write_text
from jecur.settings import Recipe
from jecur.slide.content import content_digest
from jecur.study.slide_facts import SlideFacts, Status

__all__ = ["PreparedSlide", "SlideTask", "features_reader", "write_slides_table"]


@dataclass(frozen=True, slots=True)
class SlideTask:
    """One slide to prepare; crosses process borders."""

    slide: str
    patient: str
    path: Path
    mpp: float | None
    recipe: Recipe
    run: RunFolder
    bundle: Path | None = None
    """Model file whose nuclei network to use; None uses the recipe's."""
    model_sha256: str = ""
    """Of that model, if it is to score the tiles as they pass by; "" keeps the tiles."""
    encoder: Path | None = None
    """Graph of an encoder that is not trained."""
    encoder_sha256: str = ""
    """Of that encoder, if it is to describe the tiles as they pass by."""
    packed: bool = False
    """Keep the tiles packed; they are the same."""
    threads: int = 1
    """Threads that share the slide."""
    core: CorePlace | None = None
    """The core of a tissue array to take for a slide."""
    annotation: Path | None = None
    """File of drawn regions."""
    cache: Path | None = None
    """Folder in which prepared slides are shared between studies."""
    named: str = ""
    """Path relative to the slide folder, as ``slides.csv`` has it."""
    device: Device = field(default_factory=lambda: devices_in_use().slides)
    """Where networks see it, whichever process prepares it."""

    @property
    def cache_key(self) -> str:
        """Fingerprint of the work whoever's slide it is: content, scale, recipe; no name."""
        drawn = self.annotation
        return fingerprint(
            content_digest(self.path),
            self.path.suffix.lower(),
            self.mpp,
            self.recipe,
            self.core,
            sha256_file(drawn) if drawn is not None and drawn.is_file() else "absent",
            jecur.__version__,
            *device_mark(self.device),
        )

    @property
    def mark(self) -> str:
        """Fingerprint of the work: the slide's content and name, scale, recipe and device."""
        parts: list[object] = [self.path.name, content_digest(self.path), self.mpp, self.recipe]
        if self.core is not None:
            parts.append(self.core)
        if self.annotation is not None:
            drawn = self.annotation
            parts.append(sha256_file(drawn) if drawn.is_file() else "absent")
        if self.model_sha256:
            parts.append(("scored", self.model_sha256))
        elif self.encoder_sha256:
            parts.append(("described", self.encoder_sha256))
        return fingerprint(*parts, *device_mark(self.device))


@dataclass(frozen=True, slots=True)
class PreparedSlide:
    """What became of a slide: one row of ``slides.csv``."""

    slide: str
    patient_id: str
    status: Status
    code: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()
    n_tiles: int = 0
    n_tiles_left_out: int = 0
    mpp: float | None = None
    mpp_source: str = ""
    reader: str = ""
    vendor: str = ""
    width: int = 0
    height: int = 0
    tissue_mm2: float | None = None
    thumbnail_um_per_px: float | None = None
    core: str = ""
    """Core of a tissue array, "" for a whole slide."""
    origin: tuple[float, float] = (0.0, 0.0)
    """Where the thumbnail begins, level-0 pixels of the file (x, y)."""
    training_distance: float | None = None
    """How far it lies from the model's training slides; None before a model looks at it."""
    path: str = ""
    """The file, relative to the slide folder that the manifest names under ``slides``."""
    content: str = ""
    """Digest of the file, by which one file under two patients is known; "" of what was not prepared."""

    @property
    def usable(self) -> bool:
        """Whether there is a bag to train on or to score."""
        return self.status != "failed" and self.n_tiles > 0

    def row(self) -> dict[str, Any]:
        """Values of the row, flags joined."""
        x, y = self.origin
        return asdict(self) | {"flags": ";".join(self.flags), "origin": f"{x:g} {y:g}"}

    @classmethod
    def failed(cls, order: SlideTask, error: SlideError | Exception, code: str) -> "PreparedSlide":
        """Return the row of a slide that could not be prepared."""
        return cls(order.slide, order.patient, "failed", code, str(error))

    @classmethod
    def of_facts(
        cls, order: SlideTask, facts: SlideFacts, *, thumbnail_um_per_px: float | None = None
    ) -> "PreparedSlide":
        """Return the row of a slide that was looked at, scored or not."""
        same = {name: getattr(facts, name) for name in _SAME_FACTS}
        return cls(
            slide=order.slide,
            patient_id=order.patient,
            core=order.core.core if order.core else "",
            thumbnail_um_per_px=thumbnail_um_per_px,
            **same,
        )


_SAME_FACTS = (
    "status", "code", "reason", "flags", "n_tiles", "n_tiles_left_out", "mpp", "mpp_source", "reader",
    "vendor", "width", "height", "tissue_mm2", "origin",
)  # fmt: skip


def write_slides_table(slides: Sequence[PreparedSlide], run: RunFolder) -> Path:
    """Write ``slides.csv``: one row a slide, whatever happened to it."""
    return write_text(
        run.root / "slides.csv", csv_text(pd.DataFrame([slide.row() for slide in slides]))
    )


def features_reader(width: int) -> str:
    """Name the reader of a slide that comes as features."""
    return f"features, {width} a tile"

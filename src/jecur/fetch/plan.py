"""Before anything is fetched: how many files, how much is here, whether the disk is large enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jecur.errors import FetchError
from jecur.fetch.crew import bytes_here
from jecur.fetch.lists import DicomSeries
from jecur.fetch.remote import PARTIAL, RemoteFile
from jecur.printable import counted, duration
from jecur.runs.files import free_bytes

__all__ = ["Plan", "plan_files", "plan_series"]

TILE_BYTES = 224 * 224 * 4
"""A tile as a run keeps it: color and nuclei."""
TISSUE_MM2 = 225.0
"""Tissue assumed of a slide: 15 mm by 15 mm. Not measured on this cohort."""
TILE_MM2 = 0.128**2
_SPARE = 1 << 30
"""Bytes to stay free."""
_RATES_MB = (10, 100)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be fetched.

    Parameters
    ----------
    n_slides, n_patients, tables
        Slides, their patients, and whether clinical tables are wanted beside them.
    size
        Bytes of all; ``here`` of them lie in the folder already.
    free
        Free bytes of the disk.
    source
        Which list is followed, and from which server.
    remarks
        Differences from the server's list, and what could not be asked.
    """

    n_slides: int
    n_patients: int
    tables: bool
    size: int
    here: int
    free: int
    source: str
    remarks: tuple[str, ...] = ()

    @property
    def to_come(self) -> int:
        """Bytes still to be fetched."""
        return max(0, self.size - self.here)

    def lines(self) -> list[str]:
        """Say all of it."""
        tables = " and the clinical tables" if self.tables else ""
        run = self.n_slides * TISSUE_MM2 / TILE_MM2 * TILE_BYTES
        times = " or ".join(
            f"{duration(self.to_come / rate / 1e6)} at {rate} MB/s" for rate in _RATES_MB
        )
        return [
            f"{counted(self.n_slides, 'file')}, {counted(self.n_patients, 'patient')}, "
            f"{self.size / 1e9:.2f} GB{tables}",
            f"List: {self.source}",
            f"Here already: {self.here / 1e9:.2f} GB. To come: {self.to_come / 1e9:.2f} GB, {times}",
            f"Free on the disk: {self.free / 1e9:.2f} GB",
            f"A run that keeps all tiles of these slides needs about {run / 1e9:.0f} GB more (reckoned "
            f"with {TISSUE_MM2:g} mm2 of tissue a slide, {TISSUE_MM2 / TILE_MM2:.0f} tiles of "
            f"{TILE_BYTES / 1e6:.1f} MB; with max_tiles = 1000: "
            f"{self.n_slides * 1000 * TILE_BYTES / 1e9:.0f} GB)",
            *self.remarks,
        ]

    def require_room(self) -> None:
        """Refuse a disk that is too small.

        Raises
        ------
        FetchError
            With code ``disk-too-small``.
        """
        if self.to_come and self.free < self.to_come + _SPARE:
            raise FetchError(
                f"expected {(self.to_come + _SPARE) / 1e9:.2f} GB free on the disk of --out "
                f"(what is to come, and 1.07 GB to stay free), found {self.free / 1e9:.2f} GB; choose a "
                "larger disk, or fewer with --patients or --list",
                code="disk-too-small",
            )


def plan_files(
    slides: Sequence[RemoteFile],
    tables: Sequence[RemoteFile],
    out: Path,
    source: str,
    *,
    clinical: bool,
    remarks: Sequence[str] = (),
) -> Plan:
    """Plan of files whose sizes are known."""
    files = (*slides, *tables)
    return Plan(
        n_slides=len(slides),
        n_patients=len({file.patient or file.id for file in slides}),
        tables=clinical,
        size=sum(file.size for file in files),
        here=sum(bytes_here(file, out) for file in files),
        free=free_bytes(out),
        source=source,
        remarks=tuple(remarks),
    )


def plan_series(series: Sequence[DicomSeries], out: Path, source: str) -> Plan:
    """Plan of DICOM slides, whose files are listed only when they are fetched."""
    here = 0
    for one in series:
        folder = out / "slides" / one.id
        lying = folder.glob("*") if folder.is_dir() else ()
        held = sum(p.stat().st_size for p in lying if p.suffix in {".dcm", PARTIAL})
        here += min(one.size, held)
    return Plan(
        n_slides=len(series),
        n_patients=len({one.patient for one in series}),
        tables=False,
        size=sum(one.size for one in series),
        here=here,
        free=free_bytes(out),
        source=source,
    )

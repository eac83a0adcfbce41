"""What OpenSlide would pass over in a DICOM slide, refused by name.

OpenSlide gathers the files of a series and joins the parts of a concatenation. It takes the first or
last of several frames for one place, shows a part that is not there as empty, believes the tag
against the JPEG stream below it, and joins levels of two patients if the series is one.
"""

import mmap
import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jecur.errors import SlideError
from jecur.slide.dicom_series import DicomHeader, read_dicom_header
from jecur.slide.resolution import scales_disagree
from jecur.slide.source import Note, damaged, several_scans
from jecur.slide.tiff.jpeg_streams import jpeg_header

__all__ = ["refuse_dicom", "scale_notes"]

_JPEG = "1.2.840.10008.1.2.4.50"
_JPEG_2000 = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})
_PIXELS = re.compile(rb"\xe0\x7f\x10\x00O[BW]\x00\x00")
_PLACE = re.compile(
    rb"\x48\x00\x1e\x02SL\x04\x00(....)\x48\x00\x1f\x02SL\x04\x00(....)", flags=re.DOTALL
)
"""Column and row of a frame in the whole image (0048,021E and 0048,021F)."""
_CODING_STYLE, _TRANSFORM_AT = b"\xff\x52", 8
_STREAM_START = 65_536

_Member = tuple[Path, DicomHeader]


def refuse_dicom(path: Path) -> None:
    """Refuse a DICOM slide that OpenSlide would read in part, in wrong colors or mixed up.

    Every level of the series that ``path`` belongs to is looked at.

    Raises
    ------
    SlideError
        "not-a-slide", "unreadable" or "several-scans", naming the file and the cause.
    """
    header = read_dicom_header(path)
    if header is None:
        return
    members = _levels_of(path, header)
    _refuse_two_patients(path, members)
    for file, each in members:
        cause = _why_unread(each)
        if cause:
            raise SlideError(
                f"{file.name}: expected an 8-bit RGB image in one plane, found {cause}; "
                "export the bright-field image as 8-bit RGB, one focal plane and optical path",
                code="not-a-slide",
            )
    _refuse_partial(members)
    for size in {each.size for _, each in members}:
        # by its number: a second copy of a part is no further part
        _refuse_stacks(list({m[1].part: m for m in members if m[1].size == size}.values()))
    for file, each in members:
        _refuse_contradiction(file, each)


def scale_notes(path: Path, mpp: float | None) -> tuple[Note, ...]:
    """Tell an imaged volume that contradicts the pixel spacing of the largest level.

    Not refused, as nothing else is read from the imaged volume and some writers may fill in anything.

    Parameters
    ----------
    path
        A file of the series.
    mpp
        Micrometers by the pixel spacing; None if the file is silent.
    """
    header = read_dicom_header(path)
    if header is None or mpp is None or not mpp > 0.0:
        return ()
    largest = max(
        (each for _, each in _levels_of(path, header)), key=lambda h: h.size, default=header
    )
    volume = 1e3 * largest.volume_mm / max(largest.size[0], 1)
    if not volume > 0.0 or not scales_disagree(volume, mpp):
        return ()
    told = f"{mpp:.4g} um/px by the pixel spacing, {volume:.4g} by the imaged volume"
    return (("scale-contradiction", told),)


def _levels_of(path: Path, header: DicomHeader) -> list[_Member]:
    """Levels of the same series among the files beside ``path``, itself included."""
    beside = sorted(file for file in path.parent.iterdir() if file.is_file() and file != path)
    found = [(path, header)] + [
        (file, other)
        for file in beside
        if (other := read_dicom_header(file)) is not None and other.series == header.series
    ]
    return [(file, each) for file, each in found if each.is_volume]


def _refuse_two_patients(path: Path, members: Sequence[_Member]) -> None:
    for kind in ("patient", "container"):
        first: dict[str, Path] = {}
        for file, header in members:
            first.setdefault(getattr(header, kind), file)
        first.pop("", None)
        if len(first) > 1:
            told = [f"{kind} of {file.name}" for file in first.values()]
            raise several_scans(path.parent.name or path.name, told)


def _why_unread(header: DicomHeader) -> str:
    """Say what keeps a level from being read as 8-bit colors; "" if nothing does."""
    causes = {
        f"{header.n_planes} focal planes": header.n_planes > 1,
        f"{header.n_paths} optical paths": header.n_paths > 1,
        f"{header.bits}-bit samples": header.bits != 8,
        "gray pixels": header.samples == 1,
        f"{header.samples} samples in a pixel": header.samples not in {1, 3},
        "separate color planes": header.planar != 0,
    }
    return next((cause for cause, found in causes.items() if found), "")


def _refuse_partial(members: Sequence[_Member]) -> None:
    """Refuse a concatenation of which a part is missing, or of no told length."""
    sizes = {header.size for _, header in members}
    for size in sizes:
        group = [(file, header) for file, header in members if header.size == size]
        part = next((each for each in group if each[1].parts != 1), None)
        if part is None:
            continue
        stated = max(header.parts for _, header in group)
        missing = sorted(set(range(1, stated + 1)) - {header.part for _, header in group})
        if stated == 0 or missing:
            told = (
                f"part {', '.join(str(number) for number in missing)} of {stated} missing"
                if missing
                else "a part that does not say of how many"
            )
            raise SlideError(
                f"{part[0].name}: expected all parts of a DICOM concatenation in one folder, "
                f"found {told}; copy the whole series into one folder",
                code="unreadable",
            )


def _refuse_stacks(parts: Sequence[_Member]) -> None:
    """Refuse more than one frame for a place, whichever parts of a level they lie in."""
    places: Counter[tuple[bytes, ...]] = Counter()
    for path, header in parts:
        try:
            with _mapped(path) as data:
                found = _PIXELS.search(data, header.tail)
                if found is not None:
                    places.update(_frames_per_place(data[header.tail : found.start()]))
        except (OSError, ValueError):
            continue  # for the decoder to tell
    tiles = _n_places(parts[0][1])
    n_frames = sum(header.n_frames for _, header in parts)
    if max(places.values(), default=1) > 1 or (0 < tiles < n_frames):
        raise SlideError(
            f"{parts[0][0].name}: expected one frame for each place, found several (focal planes or "
            "optical paths that the header does not tell); export one plane and optical path",
            code="not-a-slide",
        )


def _refuse_contradiction(path: Path, header: DicomHeader) -> None:
    """Refuse streams that contradict the header."""
    if not _is_encapsulated(header):
        return
    try:
        with _mapped(path) as data:
            found = _PIXELS.search(data, header.tail)
            starts = _frame_starts(data, found.end()) if found is not None else []
            streams = [data[start : start + _STREAM_START] for start in starts]
    except (OSError, struct.error, ValueError):
        return  # for the decoder to tell
    contradiction = next(filter(None, (_contradiction(header, data) for data in streams)), "")
    if contradiction:
        raise damaged(path, NotImplementedError(contradiction))


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _n_places(header: DicomHeader) -> int:
    """Frames that cover the image once; 0 where the file does not tell."""
    (width, height), (tile_width, tile_height) = header.size, header.tile
    if 0 in (tile_width, tile_height):
        return 0
    return -(-width // tile_width) * -(-height // tile_height)


def _frames_per_place(head: bytes) -> Counter[tuple[bytes, ...]]:
    return Counter(match.groups() for match in _PLACE.finditer(head))


def _is_encapsulated(header: DicomHeader) -> bool:
    return header.syntax in _JPEG_2000 | {_JPEG}


def _frame_starts(data: mmap.mmap, at: int) -> list[int]:
    """Where the streams of the first, middle and last frame begin, as the offset table tells."""
    (length,) = struct.unpack_from("<8xI", data, at)
    first = at + 12 + length
    table = struct.unpack_from(f"<{length // 4}I", data, at + 12)
    spots = {table[0], table[len(table) // 2], table[-1]} if table else {0}
    return [first + spot + 8 for spot in sorted(spots)]


def _contradiction(header: DicomHeader, stream: bytes) -> str:
    """Tell where a stream's own markers contradict Photometric Interpretation."""
    converted = header.photometric.startswith("YBR")
    if header.syntax == _JPEG:
        try:
            held = jpeg_header(stream).model
        except ValueError:
            return ""
        if held == "ycbcr" and not converted:
            return "JPEG streams of Y, Cb, Cr under a tag that says R, G, B: not supported"
        if held == "rgb" and converted:
            return "JPEG streams of R, G, B under a tag that says Y, Cb, Cr: not supported"
        return ""
    at = stream.find(_CODING_STYLE)
    untransformed = 0 <= at < len(stream) - _TRANSFORM_AT and stream[at + _TRANSFORM_AT] == 0
    if converted and untransformed:
        return (
            f"JPEG 2000 streams without a color transform under a tag that says "
            f"{header.photometric}: not supported"
        )
    return ""

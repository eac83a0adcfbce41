"""Which slide this is, by content: a digest of size and samples, cheap on a network disk.

Files up to 4 MiB are read whole; of larger ones the first and last 256 KiB and 48 blocks of 16 KiB
spread evenly, so that another scan, another export or a copy cut short is noticed whatever its size
and date. A change of a few bytes between the samples is not: that is what checksums of an archive are
for. What belongs to a slide counts with it: the folder beside a ``.mrxs``, all files of a DICOM
folder whatever their suffix, the files that a ``.vms`` or an OME-TIFF names.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from jecur.slide.dicom_series import is_dicom

__all__ = ["content_digest"]

_WHOLE = 4 * 2**20
_END, _BLOCK, _N_BLOCKS = 256 * 2**10, 16 * 2**10, 48
_NAMES_WITHIN = 2**20
_OME_NAME = re.compile(rb'FileName\s*=\s*["\']([^"\'<>]{1,255})["\']')
_INI_NAME = re.compile(rb"(?m)^[^=\r\n]{1,64}=\s*([^\r\n]{1,255}?)\s*$")


def content_digest(path: Path) -> str:
    """Digest of a slide's content, 32 hexadecimal characters; "absent" if it cannot be read.

    Parameters
    ----------
    path
        Slide or feature file, or the folder of a DICOM slide. Names and dates do not count.
    """
    total = hashlib.sha256()
    try:
        for file in _members(path):
            size = file.stat().st_size
            total.update(f"{file.name if file != path else ''}\0{size}\0".encode())
            for piece in _samples(file, size):
                total.update(piece)
    except OSError:
        return "absent"
    return total.hexdigest()[:32]


def _members(path: Path) -> list[Path]:
    """Files that make up a slide, in an order that is the same everywhere."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    suffix = path.suffix.lower()
    folder = path.parent
    members = [path]
    if suffix in {".mrxs", ".svslide"}:
        members += sorted(file for file in path.with_suffix("").rglob("*") if file.is_file())
    elif suffix == ".vsi":
        members += sorted(f for f in (folder / f"_{path.stem}_").rglob("*") if f.is_file())
    elif _is_dicom(path):
        members += sorted(f for f in folder.iterdir() if f.is_file() and f != path and _is_dicom(f))
    elif suffix in {".vms", ".vmu", ".ndpis"}:
        members += _named(path, _INI_NAME)
    elif suffix in {".tif", ".tiff", ".xml"}:
        members += _named(path, _OME_NAME)
    return members


def _is_dicom(file: Path) -> bool:
    """Whether it is called so, or begins so: archives leave the suffix out."""
    return file.suffix.lower() == ".dcm" or is_dicom(file)


def _named(path: Path, pattern: re.Pattern[bytes]) -> list[Path]:
    """Files beside ``path`` that its beginning names."""
    with path.open("rb") as stream:
        head = stream.read(_NAMES_WITHIN)
    names = {name.decode("utf-8", "replace") for name in pattern.findall(head)}
    plain = {name for name in names if "/" not in name and "\\" not in name and "\0" not in name}
    found = (path.parent / name for name in sorted(plain - {path.name, ".", ".."}))
    return [file for file in found if file.is_file()]


def _samples(file: Path, size: int) -> Iterator[bytes]:
    with file.open("rb") as stream:
        if size <= _WHOLE:
            yield stream.read()
            return
        yield stream.read(_END)
        for k in range(_N_BLOCKS):
            stream.seek(_END + (size - 2 * _END - _BLOCK) * k // (_N_BLOCKS - 1))
            yield stream.read(_BLOCK)
        stream.seek(size - _END)
        yield stream.read(_END)

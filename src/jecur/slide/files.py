"""Before any library sees a path: can this be a slide, and is it whole."""

import stat
from pathlib import Path

from jecur.errors import SlideError
from jecur.slide.dicom_series import read_dicom_header
from jecur.slide.source import several_scans
from jecur.slide.tiff.reader_tifffile import missing_bytes

__all__ = ["dicom_scans", "refuse_truncated_tiff", "require_slide_file", "slide_name"]


def require_slide_file(path: Path) -> Path:
    """Return the file to open: ``path`` itself, or the largest file of a DICOM folder.

    Raises
    ------
    SlideError
        "missing-file" if nothing is there, "not-a-slide" for other folders, pipes, devices and
        link loops, "truncated" for an empty file, "unreadable" if permission is refused,
        "several-scans" for a DICOM folder of more than one series.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise SlideError(
            f"{path.name}: expected a slide file, found nothing at this path; "
            "correct the path in the slide table",
            code="missing-file",
        ) from error
    except PermissionError as error:
        raise SlideError(
            f"{path.name}: expected a readable file, found one this user may not open; "
            "change its permissions",
            code="unreadable",
        ) from error
    except OSError as error:
        raise SlideError(
            f"{path.name}: expected a slide file, found {error.strerror or 'a broken link'}; "
            "correct the path in the slide table",
            code="not-a-slide",
        ) from error
    if stat.S_ISDIR(status.st_mode):
        return _largest_dicom(path)
    if not stat.S_ISREG(status.st_mode):
        raise SlideError(
            f"{path.name}: expected a slide file, found a pipe or device; "
            "correct the path in the slide table",
            code="not-a-slide",
        )
    if status.st_size == 0:
        raise SlideError(
            f"{path.name}: expected a slide file, found 0 bytes; copy the file again",
            code="truncated",
        )
    return path


def refuse_truncated_tiff(path: Path) -> None:
    """Refuse a TIFF whose directories point beyond its end.

    Raises
    ------
    SlideError
        With code "truncated".
    """
    missing = missing_bytes(path)
    if missing:
        raise SlideError(
            f"{path.name}: expected a whole file, found it ends early (at least {missing} bytes "
            "missing); copy the file again from the scanner or archive",
            code="truncated",
        )


def dicom_scans(folder: Path) -> dict[str, list[Path]]:
    """Files of each series in a folder that holds a level of a slide, by the series' identifier."""
    scans: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if file.is_file():  # whatever its suffix: archives leave it out
            header = read_dicom_header(file)
            if header is not None and header.is_volume and header.series:
                scans.setdefault(header.series, []).append(file)
    return scans


def slide_name(path: Path) -> str:
    """Name of a slide: its file's stem, or the folder's of a DICOM slide.

    In a folder of several DICOM slides each is called after the first file of its own series.
    """
    if path.is_dir():
        return path.resolve().name
    if path.suffix.lower() != ".dcm" or len(list(path.parent.glob("*.dcm"))) < 2:
        return path.stem
    scans = dicom_scans(path.parent)
    if len(scans) < 2:
        return path.resolve().parent.name
    return next((files[0].stem for files in scans.values() if path in files), path.stem)


def _largest_dicom(folder: Path) -> Path:
    """Largest file of the one slide in a DICOM folder."""
    files = [file for file in folder.iterdir() if file.suffix.lower() == ".dcm" and file.is_file()]
    scans = dicom_scans(folder)
    if not files and not scans:
        raise SlideError(
            f"{folder.name}: expected a slide file or a folder of .dcm files, found a folder "
            "without any; name the file itself",
            code="not-a-slide",
        )
    if len(scans) > 1:
        raise several_scans(folder.name, [f"series of {group[0].name}" for group in scans.values()])
    ours = [file for group in scans.values() for file in group] or files
    return max(ours, key=lambda file: (file.stat().st_size, file.name))

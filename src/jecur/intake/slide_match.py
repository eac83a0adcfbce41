"""Which slide file is whose: by a column that names files, else by the identifier in the file's name."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from jecur.cohort.csv_text import one_spelling
from jecur.cohort.slide_names import names_without_suffix
from jecur.mil.feature_file import FEATURE_SUFFIXES

__all__ = [
    "SlideMatch",
    "files_by_name",
    "folded",
    "match_slides",
    "named_share",
    "names_in_cell",
    "slide_files",
]

_SUFFIXES = {
    ".svs", ".mrxs", ".ndpi", ".scn", ".bif", ".vms", ".tif", ".tiff", ".svslide", ".vmu", ".czi",
    *FEATURE_SUFFIXES,
}  # fmt: skip
_SPECIAL = re.compile(
    r"(?<![a-z])(ihc|immuno\w*|ck ?(7|19|20)|ki ?-?67|gpc ?-?3|glypican\w*|hepar|arginase|cd ?(3|8|31|34|68)|"
    r"afp|p53|pas|emt|masson\w*|gomori|retic\w*|sirius|van ?gieson|iron|eisen|ebv|hsp70)(?![a-z])",
    re.IGNORECASE,
)
"""Stains other than hematoxylin and eosin, as names of files have them."""


@dataclass(frozen=True, slots=True)
class SlideMatch:
    """One slide and its patient.

    Parameters
    ----------
    slide
        Path under the slide folder, with ``/``.
    patient
        Identifier; "" if it is nobody's, or left out.
    reason
        Why.
    candidates
        Identifiers among which the name does not decide.
    absent
        The table names it and there is no such file.
    """

    slide: str
    patient: str
    reason: str
    candidates: tuple[str, ...] = ()
    absent: bool = False


def slide_files(folder: Path) -> list[str]:
    """Slides under a folder, relative; a folder of DICOM files is one slide."""
    found = set()
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(
            f for f in folders if not (here / f"{f}.mrxs").is_file() and f[0] != "."
        )
        if any(name.lower().endswith(".dcm") for name in files) and here != folder:
            found.add(here.relative_to(folder).as_posix())
        found |= {
            (here / name).relative_to(folder).as_posix()
            for name in files
            if PurePath(name).suffix.lower() in _SUFFIXES and not name.startswith(".")
        }
    return sorted(found)


def named_share(cells: Sequence[str], files: Sequence[str]) -> float:
    """Share of the filled cells of a column that name a file, whole or without its suffix."""
    known = files_by_name(files)
    filled = [cell for cell in cells if cell]
    hits = sum(any(folded(name) in known for name in names_in_cell(cell)) for cell in filled)
    return hits / len(filled) if filled else 0.0


def match_slides(
    ids: Mapping[int, str], files: Sequence[str], named: Mapping[int, str]
) -> list[SlideMatch]:
    """Match files to patients.

    Parameters
    ----------
    ids
        Row -> identifier.
    files
        Of `slide_files`.
    named
        Row -> text of the column that names slides; empty if there is none.

    Returns
    -------
    list
        Every file once, in order; then slides that the table names and that are not there.
    """
    known, taken, absent = files_by_name(files), {}, []
    for row, cell in named.items():
        for name in names_in_cell(cell):
            hits = known.get(folded(name), [])
            if len(hits) == 1:
                taken[hits[0]] = SlideMatch(hits[0], ids[row], f"named in row {row}")
            elif not hits:
                reason = f"named in row {row}; no such file in the slide folder"
                absent.append(SlideMatch(name, ids[row], reason, absent=True))
    rest = [file for file in files if file not in taken]
    by_name = dict(zip(rest, _by_identifier(rest, sorted(set(ids.values()))), strict=True))
    return [taken.get(file) or by_name[file] for file in files] + absent


def names_in_cell(cell: str) -> list[str]:
    """Names in a cell: separated by ; or line ends, and by commas or blanks where each part has a suffix."""
    parts = [part.strip() for part in re.split(r"[;\n\r|]+", cell) if part.strip()]
    finer = [piece for part in parts for piece in re.split(r"[,\s]+", part) if piece]
    if finer and all(PurePath(piece).suffix.lower() in _SUFFIXES for piece in finer):
        parts = finer
    return [part.replace("\\", "/") for part in parts]


def files_by_name(files: Sequence[str]) -> dict[str, list[str]]:
    """Every name of a file, in lower case and one form of its accents -> the files that have it."""
    known: dict[str, list[str]] = {}
    for file in files:
        base = PurePath(file).name
        for name in {file, *names_without_suffix(base), *names_without_suffix(file)}:
            known.setdefault(folded(name), []).append(file)
    return known


def folded(name: str) -> str:
    """Name of a file as `files_by_name` has it."""
    return one_spelling(name).casefold()


def _by_identifier(files: Sequence[str], ids: Sequence[str]) -> Iterator[SlideMatch]:
    patterns = {patient: _pattern(patient) for patient in ids if any(map(str.isalnum, patient))}
    found = [_longest(_hits(file, patterns)) for file in files]
    places = Counter(place for hits in found for place in hits.values())
    usual = min(places, key=lambda place: (-places[place], place), default=0)
    for file, hits in zip(files, found, strict=True):
        likely = list(hits)
        at_place = [patient for patient in likely if hits[patient] == usual]
        if len(likely) > 1 and len(at_place) == 1 and all(map(str.isdigit, likely)):
            likely = (
                at_place  # bare numbers: the one that stands where the others' names have theirs
            )
        rest = patterns[likely[0]].sub(" ", file) if likely else file
        special = _SPECIAL.search(re.sub(r"[_\-./]+", " ", rest))
        if len(likely) > 1:
            names = " and ".join(likely[:4])
            yield SlideMatch(file, "", f"the name holds the identifiers {names}", tuple(likely))
        elif not likely:
            yield SlideMatch(file, "", "no identifier of the table in its name")
        elif special:
            stain = special.group(0)
            yield SlideMatch(file, "", f"left out: the name says {stain}, which is no H&E stain")
        else:
            yield SlideMatch(file, likely[0], f"its name holds {likely[0]}")


def _hits(file: str, patterns: Mapping[str, re.Pattern[str]]) -> dict[str, tuple[int, int]]:
    """Find identifiers and where they stand in a name; folders are looked at where it has none."""
    name = names_without_suffix(PurePath(file).name)[-1]
    for text in (name, names_without_suffix(file)[-1]):
        hits = {
            p: found.span() for p, pattern in patterns.items() if (found := pattern.search(text))
        }
        if hits:
            return hits
    return {}


def _longest(hits: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """Keep identifiers that are no part of a longer one in the same place; say where they begin."""
    return {
        patient: first
        for patient, (first, last) in hits.items()
        if not any(a <= first and last <= b and (a, b) != (first, last) for a, b in hits.values())
    }


def _pattern(patient: str) -> re.Pattern[str]:
    """Find an identifier in a name: any marks between its parts, any zeros in front of its numbers."""
    parts = re.findall(r"[0-9]+|[^\W\d_]+", patient)
    body = r"[\W_]*".join(
        f"0*{part.lstrip('0') or '0'}" if part.isdigit() else re.escape(part) for part in parts
    )
    before = r"(?<![0-9])" if parts[0].isdigit() else r"(?<![^\W\d_])"
    after = r"(?![0-9])" if parts[-1].isdigit() else r"(?![^\W\d_])"
    return re.compile(before + body + after, re.IGNORECASE)

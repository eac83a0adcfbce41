"""A folder of scores for a program: the numbers of its tables, typed."""

from typing import Any

from jecur.report.wording import RESEARCH_USE_ONLY
from jecur.scored.add import ScoreFolder
from jecur.scored.earlier import SCORES, SLIDES, TILES, Row

__all__ = ["folder_facts"]

_COUNTS = frozenset({"n_slides", "n_tiles", "n_tiles_left_out", "width", "height"})
_NUMBERS = frozenset(
    {"risk", "cutoff", "training_distance", "mpp", "tissue_mm2", "thumbnail_um_per_px"}
)
_TRUTHS = frozenset({"seen_in_training", "unlike_training"})


def folder_facts(found: ScoreFolder) -> dict[str, Any]:
    """Everything a folder of scores holds, as plain values.

    ``given`` and ``touched`` name the slides of this command, and the patients whose rows it made.
    """
    merged, card = found.merged, found.bundle.card
    patients, slides = list(merged.patients.values()), list(merged.slides.values())
    return {
        "model": {
            "file": patients[0]["model"] if patients else "",
            "sha256": found.bundle.sha256,
            "name": card.name,
            "endpoint": card.endpoint.definition,
            "direction": card.direction,
            "cutoff": card.cutoff,
            "virtual": card.virtual,
        },
        "counts": {
            "patients": len(patients),
            "patients_with_risk": sum(bool(row["risk"]) for row in patients),
            "slides": len(slides),
            "slides_failed": sum(row["status"] == "failed" for row in slides),
        },
        "given": list(found.given),
        "touched": list(merged.touched),
        "patients": [_typed(row) for row in patients],
        "slides": [_typed(row) for row in slides],
        "files": {name: str(found.run.root / name) for name in (SCORES, SLIDES, TILES)},
        "pages": {patient: str(path) for patient, path in found.pages.items()},
        "note": RESEARCH_USE_ONLY,
    }


def _typed(row: Row) -> dict[str, Any]:
    return {name: _value(name, cell) for name, cell in row.items()}


def _value(name: str, cell: str) -> Any:  # noqa: ANN401 - a value of JSON
    if name == "flags":
        return [flag for flag in cell.split(";") if flag]
    if name in _NUMBERS | _COUNTS | _TRUTHS and not cell:
        return None
    if name in _NUMBERS:
        return float(cell)
    if name in _COUNTS:
        return int(cell)
    return cell == "True" if name in _TRUTHS else cell

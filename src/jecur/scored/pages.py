"""A page for each patient of a folder of scores, from its tables and pictures, and the slides' own pixels."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from jecur.errors import SlideError
from jecur.explain.top_tiles import select_top_tiles
from jecur.mil.feature_file import FEATURE_SUFFIXES
from jecur.model.file import Bundle
from jecur.report.model_page import model_page
from jecur.report.patient_page import (
    PatientPage,
    SlideLine,
    SlidePictures,
    TileView,
    patient_page,
)
from jecur.runs.folder import write_text
from jecur.runs.pictures import jpeg_bytes, jpeg_of_file
from jecur.runs.progress import Progress
from jecur.scored.earlier import Row
from jecur.scored.merge import Merged
from jecur.scored.page_names import PAGE, page_names
from jecur.slide.reader import Slide
from jecur.viewer.same_slide import open_same_slide, seen_slide

__all__ = ["write_pages"]

_N_TILES = 6
"""Of each end."""
_N_HEATMAPS = 4
_TILE_PX = 224
_BRIEF = ("Use", "What it does", "Cut-off", "Trained on", "Metrics", "Limits", "Made")


def write_pages(
    patients: Sequence[str],
    merged: Merged,
    bundle: Bundle,
    places: tuple[Path, Path],
    out: Path,
    progress: Progress,
) -> dict[str, Path]:
    """Write the pages of patients who have a risk.

    Parameters
    ----------
    patients
        Whose.
    merged
        All that the folder holds.
    bundle
        The model.
    places
        Folder of the slides' pictures, and the folder that the slides' paths are relative to.
    out
        A folder ``<patient>`` with ``report.html`` is made in it for each.
    progress
        Draws a bar.

    Returns
    -------
    dict
        Patient -> page.
    """
    written, names = {}, page_names(merged.patients)
    scored = [patient for patient in patients if merged.patients[patient]["risk"]]
    with progress.task("Pages", len(scored)) as advance:
        for patient in scored:
            page = _page(merged.patients[patient], merged, bundle, places)
            path = out / names[patient] / PAGE
            written[patient] = write_text(path, patient_page(page))
            advance()
    return written


def _page(row: Row, merged: Merged, bundle: Bundle, places: tuple[Path, Path]) -> PatientPage:
    pictures, _ = places
    own = [s for s in merged.slides.values() if s["patient_id"] == row["patient_id"]]
    tiles = merged.tiles[merged.tiles["patient_id"] == row["patient_id"]]
    used = [s for s in own if s["slide"] in set(tiles["slide"])]
    drawn = [s for s in used if (pictures / s["slide"] / "overlay.png").is_file()]
    most = sorted(drawn, key=lambda s: -int(s["n_tiles"]))[:_N_HEATMAPS]
    views, why = _top_tiles(tiles, {s["slide"]: s for s in used}, places)
    card = msgspec.to_builtins(bundle.card)
    cox = bundle.card.loss == "cox"
    return PatientPage(
        patient=row["patient_id"],
        model=bundle.card.name,
        risk=float(row["risk"]),
        group="high" if row["group"] == "high" else "low",
        cutoff=bundle.cutoff,
        banners=_banners(row, bundle),
        endpoint_name=bundle.card.endpoint.kind,
        endpoint_definition=bundle.card.endpoint.definition,
        risks=bundle.card.risks,
        group_names=("with event", "without event so far")
        if cox
        else ("with poor outcome", "with good outcome"),
        heatmaps=tuple(
            SlidePictures(
                s["slide"],
                jpeg_of_file(pictures / s["slide"] / "thumbnail.png"),
                jpeg_of_file(pictures / s["slide"] / "overlay.png"),
            )
            for s in used
            if s in most
        ),
        n_more_slides=len(drawn) - len(most),
        tiles=views,
        no_tiles=why,
        slides=tuple(_line(s) for s in own),
        model_lines=tuple(line for line in model_page(card) if line[0] in _BRIEF),
    )


def _banners(row: Row, bundle: Bundle) -> tuple[str, ...]:
    said = []
    if bundle.card.virtual:
        said.append(
            "The model was trained on virtual patients: its risks mean nothing for real slides."
        )
    if row["seen_in_training"] == "True":
        said.append(
            "The model was trained on this patient or these tiles: the risk proves nothing."
        )
    if row["unlike_training"] == "True":
        said.append(
            "A slide is unlike those the model was trained on (distance "
            f"{float(row['training_distance']):.2f}): the risk is not to be relied on."
        )
    if row["status"] == "incomplete":
        said.append(f"{row['reason'][:1].upper()}{row['reason'][1:]}.")
    return tuple(said)


def _line(row: Row) -> SlideLine:
    flags = ", ".join(flag for flag in row["flags"].split(";") if flag)
    remarks = "; ".join(text for text in (flags, row["reason"]) if text)
    mpp = float(row["mpp"]) if row["mpp"] else None
    return SlideLine(row["slide"], row["status"], remarks, int(row["n_tiles"]), mpp)


def _top_tiles(
    tiles: pd.DataFrame, rows: Mapping[str, Row], places: tuple[Path, Path]
) -> tuple[tuple[TileView, ...], str]:
    """Read the tiles of both ends again from their slides, colors as scanned; say why there are none."""
    pictures, folder = places
    ends = select_top_tiles(
        [tiles["score"].to_numpy(np.float32)], n_tiles=_N_TILES, max_per_patient=_N_TILES
    )
    chosen = [*ends[0], *ends[1]]
    if not chosen:
        return (), "None to show: there are fewer than two tiles."
    if any(Path(row["path"]).suffix.lower() in FEATURE_SUFFIXES for row in rows.values()):
        return (), "None to show: the slides came as features, without pixels."
    views = []
    try:
        with ExitStack() as opened:
            slides: dict[str, Slide] = {}
            for top in chosen:
                at = tiles.iloc[top.tile]
                name = str(at["slide"])
                if name not in slides:
                    row = rows[name]
                    found = open_same_slide(
                        folder / row["path"],
                        seen_slide(pictures / name, row),
                        mpp=float(row["mpp"]),
                    )
                    slides[name] = opened.enter_context(found)
                side = float(at["side_um"]) / slides[name].mpp
                pixels = slides[name].read_region(float(at["x"]), float(at["y"]), side, _TILE_PX)
                views.append(TileView(jpeg_bytes(pixels), name, top.score, top.end))
    except SlideError as error:
        return (), f"None to show: {error.message}"
    return tuple(views), ""

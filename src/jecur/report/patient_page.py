"""One patient's risk on a page: for whoever wants to see what a score is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from markupsafe import Markup

import jecur
from jecur.model.risks import TrainingRisks
from jecur.report.figures.one_risk import one_risk_figure
from jecur.report.page import data_uri, render, resource
from jecur.report.tables.table import Column, Table
from jecur.report.views import FigureView

__all__ = ["PatientPage", "SlideLine", "SlidePictures", "TileView", "patient_page"]


@dataclass(frozen=True, slots=True)
class SlidePictures:
    """A slide and its heat map, PNG or JPEG."""

    slide: str
    thumbnail: bytes
    heatmap: bytes


@dataclass(frozen=True, slots=True)
class TileView:
    """One tile as scanned, PNG or JPEG."""

    picture: bytes
    slide: str
    score: float
    end: Literal["high", "low"]


@dataclass(frozen=True, slots=True)
class SlideLine:
    """What became of one slide."""

    slide: str
    status: str
    remarks: str
    """Flags, or why it has no score."""
    n_tiles: int
    mpp: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientPage:
    """What a page shows.

    Parameters
    ----------
    patient, model
        Names.
    risk, group, cutoff
        As in ``scores.csv``.
    banners
        What must be read before the risk: virtual, seen in training, unlike the training slides.
    endpoint_name, endpoint_definition
        What the risk is a risk of.
    risks
        Of the training patients; None where the model keeps none.
    group_names
        What the poor and the good outcome are called.
    heatmaps, n_more_slides
        Slides shown, and how many are not.
    tiles, no_tiles
        Tiles shown; why there are none.
    slides
        All of the patient's.
    model_lines
        The model in brief: (heading, text).
    """

    patient: str
    model: str
    risk: float
    group: Literal["high", "low"]
    cutoff: float
    banners: tuple[str, ...] = ()
    endpoint_name: str
    endpoint_definition: str
    risks: TrainingRisks | None
    group_names: tuple[str, str] = ("with poor outcome", "with good outcome")
    heatmaps: tuple[SlidePictures, ...] = ()
    n_more_slides: int = 0
    tiles: tuple[TileView, ...] = ()
    no_tiles: str = ""
    slides: tuple[SlideLine, ...]
    model_lines: tuple[tuple[str, str], ...] = ()


def patient_page(page: PatientPage) -> str:
    """Make the page, one self-contained HTML file; equal content gives equal bytes."""
    return render(
        "patient.html.j2",
        page=page,
        css=Markup(resource("report.css")),  # noqa: S704 -- our own file
        risk=f"{page.risk:.3f}",
        cutoff=f"{page.cutoff:.4g}",
        cards=_cards(page),
        endpoint=page.endpoint_name[:1].upper() + page.endpoint_name[1:],
        lead=_lead(page),
        scale=_figure(page, narrow=False),
        narrow=_figure(page, narrow=True),
        heatmaps=[
            {
                "slide": h.slide,
                "thumbnail": data_uri(h.thumbnail, h.slide),
                "heatmap": data_uri(h.heatmap, h.slide),
            }
            for h in page.heatmaps
        ],
        tiles=_tiles(page.tiles),
        several=len(page.slides) > 1,
        slides=_slide_table(page.slides),
        version=jecur.__version__,
    )


def _cards(page: PatientPage) -> list[tuple[str, str, str]]:
    scored = [line for line in page.slides if line.n_tiles and line.status != "failed"]
    lost = len(page.slides) - len(scored)
    cards = [
        ("Risk", f"{page.risk:.3f}", f"{page.group}: cut-off {page.cutoff:.4g}"),
        ("Slides", str(len(scored)), f"{lost} without a score" if lost else "all scored"),
        ("Tiles", f"{sum(line.n_tiles for line in scored):,}", "pooled into the risk"),
    ]
    if page.risks is not None:
        for name, values in zip(page.group_names, (page.risks.poor, page.risks.good), strict=True):
            share = share_below(page.risk, values)
            cards.append((f"Training patients {name}", f"{100 * share:.0f} %", "have a lower risk"))
    return cards


def share_below(risk: float, quantiles: Sequence[float]) -> float:
    """Share of a group with a lower risk, from its quantiles, to the nearest twentieth."""
    values = np.asarray(quantiles)
    below = np.searchsorted(values, risk, side="left") + np.searchsorted(values, risk, "right")
    return float(np.clip((below / 2 - 0.5) / (len(values) - 1), 0, 1).round(2))


def _lead(page: PatientPage) -> str:
    found = page.risks
    if found is None:
        return (
            "This model file was made before the risks of the training patients were kept in it: there is "
            "nothing but the cut-off to hold the risk against."
        )
    poor, good = page.group_names
    return (
        f"Lines span all training patients, {found.n_poor} {poor} and {found.n_good} {good}; boxes their "
        "middle halves. The model was trained on these patients, so their risks lie farther apart than "
        "those of others: this shows where on the scale the risk lies, not how often the model is right."
    )


def _figure(page: PatientPage, *, narrow: bool) -> FigureView:
    groups: list[tuple[str, Sequence[float]]] = []
    if page.risks is not None:
        groups = list(zip(page.group_names, (page.risks.poor, page.risks.good), strict=True))
    svg = one_risk_figure(page.risk, page.cutoff, groups, narrow=narrow)
    label = f"Risk {page.risk:.3f} and cut-off {page.cutoff:.4g} beside the training patients"
    return FigureView("narrow" if narrow else "scale", svg, label)


def _tiles(tiles: Sequence[TileView]) -> list[tuple[str, list[dict[str, str]]]]:
    shown = [
        (
            heading,
            [
                {"uri": data_uri(t.picture, t.slide), "slide": t.slide, "score": f"{t.score:.2f}"}
                for t in tiles
                if t.end == end
            ],
        )
        for end, heading in (("high", "Highest: earlier event"), ("low", "Lowest: later or none"))
    ]
    return [pair for pair in shown if pair[1]]


def _slide_table(slides: Sequence[SlideLine]) -> Table:
    columns = (
        Column("slide", "Slide", "text", lambda s: s.slide),
        Column("status", "Status", "text", lambda s: s.status),
        Column("remarks", "Flags and reasons", "text", lambda s: s.remarks or "none"),
        Column("n_tiles", "Tiles", "count", lambda s: s.n_tiles),
        Column("mpp", "um per pixel", "score", lambda s: s.mpp),
    )
    return Table.of("slides", "", columns, slides)

"""Figures: the same bytes twice, self-contained, and what they say is what they were given."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jecur.report.figures.accuracy import (
    AucSeries,
    auc_figure,
)
from jecur.report.figures.canvas import (
    Canvas,
    LegendItem,
    fit_text,
    inline_svg,
    legend_height,
    month_ticks,
    text_width,
)
from jecur.report.figures.forest import ForestRow, forest_figure
from jecur.report.figures.model import risk_figure, training_figure
from jecur.report.figures.probability import CalibrationPoints, calibration_figure
from jecur.report.figures.survival import km_figure, km_panel
from jecur.survival.survival_curve import kaplan_meier

NAN = float("nan")


def curves():
    rng = np.random.default_rng(3)
    out = {}
    for name, scale in (("High risk", 20.0), ("Low risk", 60.0)):
        event_time = rng.exponential(scale, 40)
        censoring = rng.uniform(5, 70, 40)
        out[name] = kaplan_meier(np.minimum(event_time, censoring), event_time <= censoring)
    return out


def auc_series(label="Classifier"):
    months = np.array([12.0, 24.0, 36.0])
    auc = np.array([0.7, 0.66, NAN])
    counts = np.array([10.0, 20.0, 22.0])
    return AucSeries(label, months, auc, auc - 0.1, auc + 0.1, counts, counts[::-1], counts[::-1])


FIGURES = {
    "km": lambda: km_figure(curves(), outcome="Recurrence-free survival", facts=("p < 0.001",)),
    "panel": lambda: km_panel(curves(), title="Stage I"),
    "forest": lambda: forest_figure(
        [
            ForestRow("Classifier", 2.4, 1.6, 3.6, 1e-4, emphasis=True),
            ForestRow("Rare", 900.0, 0.001, np.inf, 0.9),
            ForestRow("None", NAN, NAN, NAN, NAN, "no events"),
        ]
    ),
    "auc": lambda: auc_figure([auc_series(), auc_series("Stage")]),
    "calibration": lambda: calibration_figure(
        CalibrationPoints(
            *(np.array(v) for v in ([0.2, 0.6], [0.25, 0.5], [0.1, 0.3], [0.4, NAN], [20.0, 20.0]))
        ),
        month=36,
    ),
    "risk": lambda: risk_figure(np.linspace(0.01, 0.99, 50), np.arange(50) % 3 == 0, 0.4457),
    "training": lambda: training_figure([(e, 0.7 / (e + 1)) for e in range(10)]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_the_same_twice_and_loads_nothing(name):
    first, second = FIGURES[name](), FIGURES[name]()
    assert first == second
    ElementTree.fromstring(first)  # noqa: S314 -- our own text
    assert "<script" not in first
    assert "<!DOCTYPE" not in first
    assert not re.search(r'(?<!xmlns=")(?<!xmlns:xlink=")https?://', first)


def test_labels_are_outlines_so_no_font_is_needed():
    assert "<text" not in FIGURES["km"]()


@pytest.mark.parametrize(
    "hostile", ["<script>x</script>", "a $b$ c$", "--><b>", "肝 癌", "two\nlines"]
)
def test_labels_may_hold_anything(hostile):
    svg = forest_figure([ForestRow(hostile, 2.0, 1.0, 3.0, 0.04)])
    ElementTree.fromstring(svg)  # noqa: S314 -- our own text
    assert "<script" not in inline_svg(svg, "f", hostile)


LONG = "A signature of forty-one genes with the name of its authors, and of their hospital, " * 2


def test_no_line_is_cut_off_by_the_edge_of_its_figure(monkeypatch):
    beyond = []
    write = Canvas.text

    def written(canvas, x, y, text, **how):
        width = text_width(text, size=how.get("size", 9.0), bold=how.get("bold", False))
        end = x if how.get("align") == "right" else x + width / (1 + (how.get("align") == "center"))
        if end > canvas.width:
            beyond.append(text)
        write(canvas, x, y, text, **how)

    monkeypatch.setattr(Canvas, "text", written)
    for width in (7.2, 3.5):
        auc_figure([auc_series(LONG), auc_series("Stage")], width=width)
        forest_figure([ForestRow(LONG, 2.4, 1.6, 3.6, 1e-4, emphasis=True)], width=width)
    km_panel(curves(), title=LONG, facts=(LONG,))
    assert beyond == []


@pytest.mark.parametrize("n", [1, 2, 4, 5, 30])
def test_epochs_are_whole(n, monkeypatch):
    drawn = []
    monkeypatch.setattr(Canvas, "svg", lambda canvas: drawn.append(canvas.figure.axes[0]) or "")
    training_figure([(e, 0.7 / e) for e in range(1, n + 1)])
    ticks = drawn[0].get_xticks()
    assert all(float(tick).is_integer() for tick in ticks)


@pytest.mark.parametrize("label", ["loss in $ per $\\frac{", "two\nlines", "肝", LONG])
def test_an_axis_takes_any_label_as_text(label):
    risk = np.linspace(-1, 2, 20)
    svg = risk_figure(risk, risk > 0, 0.5, label=label)
    ElementTree.fromstring(svg)  # noqa: S314 -- our own text


def test_a_name_written_from_right_to_left_leaves_the_numbers_behind_it_in_place():
    behind = ": 38 patients, 24 events"
    alone = _glyphs_from_left(behind)
    assert _glyphs_from_left(f"שלום עליכם{behind}")[-len(alone) :] == alone


def _glyphs_from_left(text):
    canvas = Canvas(5.0, 0.3)
    canvas.text(0.1, 0.15, text)
    placed = []
    for use in ElementTree.fromstring(canvas.svg()).iter("{http://www.w3.org/2000/svg}use"):  # noqa: S314
        moved = re.search(r"translate\(([-\d.]+)", use.get("transform", "translate(0"))
        placed.append((float(moved[1]), use.get("{http://www.w3.org/1999/xlink}href")))
    return [glyph for _, glyph in sorted(placed) if not glyph.endswith(("-3", "-20"))]  # no spaces


def test_one_patient_and_no_event_can_be_drawn():
    lonely = {"Low risk": kaplan_meier([5.0], [False])}
    assert "<svg" in km_figure(lonely, outcome="Overall survival")


def test_inline_figures_share_no_identifier():
    svg = FIGURES["km"]()
    ids = [set(re.findall(r'id="([^"]+)"', inline_svg(svg, p, "x"))) for p in ("a", "b")]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_inline_references_point_at_identifiers_that_exist():
    body = inline_svg(FIGURES["km"](), "a", "x")
    ids = set(re.findall(r'id="([^"]+)"', body))
    targets = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    assert targets
    assert targets <= ids


@pytest.mark.parametrize("last", [0.5, 3.0, 11.0, 37.0, 96.0, 300.0])
def test_month_ticks_start_at_zero_and_stay_inside(last):
    ticks = month_ticks(last)
    assert ticks[0] == 0
    assert ticks[-1] <= last
    assert len(ticks) <= 9


def test_legend_wraps_and_its_height_is_known_beforehand():
    items = [LegendItem(f"A rather long label number {i}", "#000000") for i in range(6)]
    canvas = Canvas(4.0, 3.0)
    assert canvas.legend(items, 0.2, 0.1, 3.8) == legend_height(items, 3.6)
    assert legend_height(items, 3.6) > legend_height(items, 30.0)


@given(st.text(max_size=60), st.floats(0.3, 3.0))
@settings(max_examples=30, deadline=None)
def test_fitted_text_never_exceeds_its_room(text, width):
    assert text_width(fit_text(text, width)) <= max(width, text_width("…"))


def test_a_shortened_label_keeps_both_its_ends():
    shown = fit_text("Microscopic vascular invasion by the pathologist (yes vs no)", 2.5)
    assert shown.startswith("Micro")
    assert shown.endswith("(yes vs no)")


def test_text_width_grows_with_the_text():
    assert text_width("") == 0
    assert 0 < text_width("High risk") < text_width("High risk of recurrence")

"""The report: one HTML file that needs nothing else and asks nothing of a network.

Style, figures and pictures are inside the file; there are no scripts, and the file's own
security policy forbids loading anything. All text is escaped, whoever wrote it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from markupsafe import Markup

import jecur
from jecur.printable import counted, plain_number
from jecur.report.checklist import checklist_lead, checklist_table
from jecur.report.content import HeatmapPicture, ReportContent, SlideRow, TilePicture, check_flow
from jecur.report.evidence import weigh_evidence
from jecur.report.figures.model import risk_figure, training_figure
from jecur.report.flow import flow_with_outcomes
from jecur.report.methods import Paragraph, methods_paragraphs
from jecur.report.model_page import model_page
from jecur.report.page import data_uri, render, resource
from jecur.report.review import review_html, review_tables
from jecur.report.tables.table import Column, Table, write_tables
from jecur.report.tables.tile_features import feature_table
from jecur.report.views import Evidence, FigureView, Section
from jecur.report.wording import format_number, format_ratio
from jecur.runs.folder import write_text
from jecur.statistics.cross_validated import HeldOutStatistics
from jecur.survival.risk_groups import is_high_risk

__all__ = ["Report", "drop_earlier", "make_report", "write_report", "write_report_folder"]


@dataclass(frozen=True, slots=True)
class Report:
    """A report as text, with its figures and tables as files of their own."""

    html: str
    figures: Mapping[str, str]
    """Standalone SVG text by file name without ending; ``column/`` for one column of a journal."""
    tables: tuple[Table, ...]
    tables_html: str
    """All tables on one page that prints."""


def write_report(content: ReportContent, path: Path) -> Path:
    """Write a report as one self-contained HTML file.

    Parameters
    ----------
    content
        What to show.
    path
        Written whole or not at all.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    JecurError
        As `make_report`.
    """
    return write_text(path, make_report(content).html)


def write_report_folder(content: ReportContent, folder: Path) -> Path:
    """Write ``report.html``, ``tables/`` and ``figures/*.svg``; return the page's path.

    Tables are written as CSV with all digits, and together as ``tables.html``, to print.

    Raises
    ------
    JecurError
        As `make_report`.
    """
    report = make_report(content)
    written = write_tables(report.tables, folder / "tables")
    written.append(write_text(folder / "tables" / "tables.html", report.tables_html))
    for name, svg in report.figures.items():
        written.append(write_text(folder / "figures" / f"{name}.svg", svg))
    page = write_text(folder / "report.html", report.html)
    drop_earlier(folder, written)
    return page


def drop_earlier(folder: Path, written: Sequence[Path]) -> None:
    """Take away tables and figures of an earlier report that this one lacks."""
    for path in (*(folder / "tables").glob("*.csv"), *(folder / "figures").rglob("*.svg")):
        if path not in written:
            path.unlink()


def make_report(content: ReportContent) -> Report:
    """Make a report in memory; equal content gives equal bytes.

    Raises
    ------
    JecurError
        ``flow-mismatch`` if patients appear or vanish between two boxes of the flow;
        ``bad-picture`` if a picture is neither PNG nor JPEG.
    """
    statistics = content.statistics
    check_flow(content.flow, None if statistics is None else statistics.n)
    evidence = weigh_evidence(content)
    sections = _sections(content, evidence)
    views = [f for s in sections for f in (*s.figures, *s.panels)]
    figures = {f.name: f.svg for f in views} | {
        f"column/{f.name}": f.column for f in views if f.column
    }
    tables = [t for s in sections for t in (*s.tables, *s.files) if t.name != "slides_not_ok"]
    if content.slides:
        tables.append(_slide_table(content.slides, "slides", "All slides"))
    if content.review is not None:
        tables += review_tables(content.review)
    common = {
        "content": content,
        "css": Markup(resource("report.css")),  # noqa: S704 -- our own file
        "review": Markup(review_html(content.review)),  # noqa: S704 -- escaped where it was made
        "version": jecur.__version__,
    }
    html = render(
        "report.html.j2",
        evidence=evidence,
        sections=sections,
        flow=flow_with_outcomes(content.flow, statistics),
        heatmaps=[_heatmap(h) for h in content.heatmaps],
        tiles=_tiles(content.tiles),
        methods=_methods(content),
        model_page=model_page(content.model_card),
        limits=content.limits,
        **common,
    )
    # what is only a file (one row a horizon and marker) is too long to print
    shown = [t for s in sections for t in s.tables if t.name != "slides_not_ok" and t.rows]
    printed = render("tables.html.j2", tables=shown, **common)
    return Report(html, figures, tuple(tables), printed)


def _sections(content: ReportContent, evidence: Evidence) -> list[Section]:
    baseline = (content.baseline,) if content.baseline else ()
    sections = [
        Section("endpoint", "Endpoint"),
        Section("flow", "Patients", tables=baseline) if content.flow or baseline else None,
        *evidence.sections,
        _risk_section(content),
        _heatmap_section(content),
        _tile_section(content),
        _feature_section(content),
        _truth_section(content),
        _slide_section(content),
        _model_section(content),
        Section("methods", "Methods") if _methods(content) else None,
        Section("limits", "Limits") if content.limits else None,
        None if _held_out(content) else _checklist_section(content),
        Section("run", "How this report was made") if content.facts else None,
    ]
    return [s for s in sections if s is not None]


def _held_out(content: ReportContent) -> bool:
    """Whether the risks are of several models: the guidelines ask of one."""
    return isinstance(content.statistics, HeldOutStatistics)


def _methods(content: ReportContent) -> tuple[Paragraph, ...]:
    if content.methods or content.settings is None:
        return content.methods
    return methods_paragraphs(content.settings)


def _feature_section(content: ReportContent) -> Section | None:
    if content.features is None:
        return None
    lead = (
        f"{counted(content.features.n_tiles, 'tile')} of {counted(content.features.n_patients, 'patient')}. "
        "Tiles of one patient are alike: read the p-value over patients before the one over tiles."
    )
    tables = (feature_table(content.features),)
    return Section("features", "Features of tiles with high and low scores", lead, tables=tables)


def _risk_section(content: ReportContent) -> Section | None:
    risks = content.risks
    if risks is None or risks.risk.size == 0:
        return None
    lead = f"Scores of {risks.risk.size} patients, higher speaking for an earlier event."
    if risks.cutoff is not None:
        above = int(is_high_risk(risks.risk, risks.cutoff).sum())
        lead = (
            f"{above} of {risks.risk.size} patients lie above the cut-off of "
            f"{plain_number(risks.cutoff)} and are called high risk."
        )
    svg = risk_figure(risks.risk, risks.event, risks.cutoff, label=risks.label)
    figure = FigureView("risk", svg, lead)
    return Section("risk", "Risks and the cut-off", lead, (figure,))


def _heatmap_section(content: ReportContent) -> Section | None:
    if not content.heatmaps:
        return None
    lead = (
        "Left the slide, right the same with the score of each tile laid on it. "
        f"{content.heatmap_legend or 'Higher scores speak for an earlier event.'}"
    )
    return Section("heatmaps", "Where the risk comes from", lead)


def _tile_section(content: ReportContent) -> Section | None:
    if not content.tiles:
        return None
    lead = (
        "The tiles with the highest and the lowest scores, for review by a pathologist. What they "
        "have in common is a question for the reader: nothing here names a cause."
    )
    return Section("tiles", "Most predictive tiles", lead)


def _truth_section(content: ReportContent) -> Section | None:
    truth = content.truth
    if truth is None:
        return None
    columns = (
        Column("what", "", "text", itemgetter(0)),
        Column("value", "Value", "score", itemgetter(1)),
    )
    rows = (
        ("Harrell's C of the planted risk (nobody can do better on average)",
         truth.oracle_concordance),
        ("Harrell's C of the classifier", truth.achieved_concordance),
    )  # fmt: skip
    tables = [Table.of("truth", "The best possible, and what was reached", columns, rows)]
    if truth.features:
        planted = (
            Column("feature", "Feature of the tissue", "text", lambda f: f.name),
            Column(
                "log_hazard_per_sd",
                "Planted: log hazard ratio per SD",
                "score",
                lambda f: f.log_hazard_per_sd,
            ),
            Column(
                "correlation",
                "Found: rank correlation with the risk",
                "score",
                lambda f: f.correlation,
            ),
        )
        tables.append(Table.of("planted", "Planted and found", planted, truth.features))
    return Section("truth", "Planted truth (virtual patients only)", tables=tuple(tables))


def _slide_section(content: ReportContent) -> Section | None:
    if not content.slides:
        return None
    bad = tuple(s for s in content.slides if s.status != "ok")
    failed = sum(s.status == "failed" for s in bad)
    lead = (
        f"{counted(len(content.slides), 'slide')}: {len(content.slides) - len(bad)} without remark, "
        f"{len(bad) - failed} scored but flagged, {failed} not scored."
    )
    table = _slide_table(bad, "slides_not_ok", "Slides flagged or not scored")
    return Section("slides", "Slides left out and flagged", lead, tables=(table,) if bad else ())


def _slide_table(slides: Sequence[SlideRow], name: str, caption: str) -> Table:
    columns = (
        Column("slide", "Slide", "text", lambda s: s.slide),
        Column("patient_id", "Patient", "text", lambda s: s.patient),
        Column("status", "Status", "text", lambda s: s.status),
        Column("code", "Code", "text", lambda s: s.code),
        Column("what_happened", "Reason", "text", lambda s: s.reason),
        Column("n_tiles", "Tiles", "count", lambda s: s.n_tiles),
    )
    return Table.of(name, caption, columns, slides)


def _model_section(content: ReportContent) -> Section | None:
    if not content.model_card and not content.training_curve:
        return None
    figures: tuple[FigureView, ...] = ()
    if content.training_curve:
        svg = training_figure(content.training_curve, unit=content.training_unit)
        caption = "Training loss; the dashed line, log 2, is the cross-entropy of a guess."
        figures = (FigureView("training", svg, caption, caption),)
    return Section("model", "Model card", figures=figures)


def _checklist_section(content: ReportContent) -> Section:
    table = checklist_table(content)
    return Section("checklist", "Checklist", checklist_lead(table), tables=(table,))


def _heatmap(picture: HeatmapPicture) -> dict[str, str]:
    return {
        "patient": picture.patient,
        "slide": picture.slide,
        "group": picture.group,
        "risk": format_ratio(picture.risk),
        "thumbnail": data_uri(picture.thumbnail_png, picture.slide),
        "heatmap": data_uri(picture.heatmap_png, picture.slide),
    }


def _tiles(pictures: Sequence[TilePicture]) -> list[tuple[str, list[dict[str, str]]]]:
    headings = (("high", "Highest scores: earlier event"), ("low", "Lowest scores: later or none"))
    return [
        (
            heading,
            [
                {
                    "uri": data_uri(t.png, t.patient),
                    "patient": t.patient,
                    "score": format_number(t.score),
                }
                for t in pictures
                if t.end == end
            ],
        )
        for end, heading in headings
    ]

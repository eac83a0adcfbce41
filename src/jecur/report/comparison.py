"""Models side by side on one page: tables, a figure, HTML and Markdown; none of the numbers made here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

import jecur
from jecur.printable import counted, printable_line
from jecur.report.document import drop_earlier
from jecur.report.figures.comparison import ComparisonRow, comparison_figure
from jecur.report.page import render, resource
from jecur.report.tables.survival import estimate_columns, reason_column
from jecur.report.tables.table import (
    Column,
    Table,
    page_headings,
    page_reasons,
    page_rows,
    write_tables,
)
from jecur.report.views import FigureView
from jecur.runs.folder import write_text
from jecur.statistics.compared import ComparedModel, ModelComparison

__all__ = ["ComparisonContent", "headline", "models_table", "write_comparison_page"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonContent:
    """What the page shows."""

    title: str
    created: str
    endpoint_name: str
    endpoint_definition: str
    banner: str
    comparison: ModelComparison | None
    costs: Mapping[str, tuple[float, float]]
    """Model -> minutes and MiB."""
    failed: Mapping[str, str]
    """Model -> why it has no scores."""
    how: str
    """How the patients were divided."""
    statements: Sequence[str] = ()

    @property
    def kicker(self) -> str:
        """Kind of page."""
        return "Comparison of models"


def write_comparison_page(content: ComparisonContent, folder: Path) -> Path:
    """Write ``report.html``, ``compare.md``, ``tables/`` and ``figures/comparison.svg``.

    Returns
    -------
    Path
        ``report.html``.
    """
    shown, files = _tables(content)
    figures, written = [], []
    if content.comparison is not None:
        svg = comparison_figure(_rows(content.comparison), level=content.comparison.level)
        figures.append(FigureView("comparison", svg, "Concordance of each model with its interval"))
        written.append(write_text(folder / "figures" / "comparison.svg", svg))
    written += write_tables(files, folder / "tables")
    drop_earlier(folder, written)
    write_text(folder / "compare.md", _markdown(content, shown))
    html = render(
        "comparison.html.j2",
        content=content,
        headline=headline(content.comparison),
        tables=shown,
        figures=figures,
        css=Markup(resource("report.css")),  # noqa: S704 -- our own file
        version=jecur.__version__,
    )
    return write_text(folder / "report.html", html)


def headline(comparison: ModelComparison | None) -> str:
    """Say in one sentence what the first model's differences show; never which model to take."""
    if comparison is None:
        return "No model could be compared."
    first = comparison.models[0]
    against = [
        d
        for d in comparison.differences
        if d.measure == "Concordance" and first.name in (d.model, d.reference)
    ]
    parts = []
    for d in against:
        sign = -1.0 if d.reference == first.name else 1.0
        ends = (d.difference.lower, d.difference.upper)
        if d.difference.estimate is None or None in ends:
            continue
        low, high = sorted(sign * float(v) for v in ends if v is not None)
        if low > 0:
            parts.append((d, "better"))
        elif high < 0:
            parts.append((d, "worse"))
    names = {m.name: m.title for m in comparison.models}

    def told(word: str) -> str:
        who = [
            names[d.model if d.reference == first.name else d.reference]
            for d, w in parts
            if w == word
        ]
        return f"{word} than {', '.join(who)}" if who else ""

    found = [text for text in (told("better"), told("worse")) if text]
    if len(comparison.models) == 1:
        return f"One model was measured: {first.title}."
    if not found:
        return f"{first.title}: no difference to the other models was shown."
    return f"{first.title} ranks patients {' and '.join(found)}."


def models_table(comparison: ModelComparison, costs: Mapping[str, tuple[float, float]]) -> Table:
    """Every model: concordance, AUC and Brier score at the landmark, hazard ratio at its cut-off."""
    percent = f"{100 * comparison.level:g} % CI"
    at = f"{comparison.landmark_months:g} months"

    def cost(part: int) -> Callable[[ComparedModel], float | None]:
        return lambda m: costs[m.name][part] if m.name in costs else None

    columns = (
        Column("model", "Model", "text", lambda m: m.title),
        *estimate_columns(
            "concordance",
            f"Concordance ({percent})",
            "score",
            lambda m: m.statistics.concordance,
        ),
        *estimate_columns(
            "auc", f"AUC at {at} ({percent})", "score", lambda m: m.statistics.auc.landmark
        ),
        *estimate_columns("brier", f"Brier score at {at} ({percent})", "score", lambda m: m.brier),
        *estimate_columns(
            "hazard_ratio",
            f"Hazard ratio, high versus low ({percent})",
            "ratio",
            lambda m: m.statistics.hazard_ratio,
        ),
        Column("n_high", "High risk", "count", lambda m: m.statistics.groups[0].n),
        *(
            (
                Column("minutes", "Minutes", "minutes", cost(0)),
                Column("mib", "MiB", "count", cost(1)),
            )
            if costs
            else ()
        ),
        reason_column(_reason),
    )
    note = (
        f"{counted(comparison.n, 'patient')}, {comparison.events} with event, held out from every model "
        "that scored them. Patients are compared within folds. A lower Brier score is better."
    )
    return Table.of("models", "Models on the same patients", columns, comparison.models, note)


def _reason(model: ComparedModel) -> str | None:
    found = model.statistics
    missing = (found.concordance, found.auc.landmark, model.brier, found.hazard_ratio)
    return next((part.reason for part in missing if part.reason), None)


def _auc_table(comparison: ModelComparison) -> Table:
    columns = (
        Column("model", "Model", "text", lambda row: row[0].title, once=True),
        Column("months", "Months", "count", lambda row: row[1].months),
        *estimate_columns(
            "auc", f"AUC ({100 * comparison.level:g} % CI)", "score", lambda row: row[1]
        ),
        reason_column(lambda row: row[1].reason),
    )
    rows = [(m, point) for m in comparison.models for point in m.statistics.auc.points]
    return Table.of("auc", "Time-dependent AUC", columns, rows)


def _difference_table(comparison: ModelComparison) -> Table:
    names = {m.name: m.title for m in comparison.models}
    columns = (
        Column("measure", "Measure", "text", lambda d: d.measure, once=True),
        Column("model", "Model", "text", lambda d: names[d.model]),
        Column("reference", "Less", "text", lambda d: names[d.reference]),
        *estimate_columns(
            "difference",
            f"Difference ({100 * comparison.level:g} % CI)",
            "score",
            lambda d: d.difference,
        ),
        Column("draws_without", "Draws without", "count", lambda d: d.draws_without),
        reason_column(lambda d: d.difference.reason),
    )
    note = (
        f"Paired: {comparison.n_bootstrap} draws of patients, each measured by every model, its censoring "
        "weights its own; a draw without an estimate of either model is left out and counted. The models "
        "count as given: what another training would change is not in these intervals."
    )
    return Table.of(
        "differences", "Differences between models", columns, comparison.differences, note
    )


def _cost_table(content: ComparisonContent) -> Table:
    """Minutes and memory, which no two runs share; apart from the numbers that they do."""
    columns = (
        Column("model", "Model", "text", lambda row: row[0]),
        Column("minutes", "Minutes", "number", lambda row: row[1][0]),
        Column("mib", "MiB", "count", lambda row: row[1][1]),
    )
    return Table.of("cost", "What training and scoring took", columns, content.costs.items())


def _tables(content: ComparisonContent) -> tuple[tuple[Table, ...], tuple[Table, ...]]:
    """Tables of the page, and those written as files: there, what took how long stands apart."""
    columns = (
        Column("model", "Model", "text", lambda row: row[0]),
        Column("why", "Why", "text", lambda row: row[1]),
    )
    failed = Table.of("failed", "Models without scores", columns, content.failed.items())
    comparison = content.comparison
    if comparison is None:
        return (failed,), (failed,)
    others = (_difference_table(comparison), _auc_table(comparison), failed)
    said = tuple(table for table in others if table.rows)
    return (
        (models_table(comparison, content.costs), *said),
        (models_table(comparison, {}), *said, _cost_table(content)),
    )


def _rows(comparison: ModelComparison) -> list[ComparisonRow]:
    rows = []
    for m in comparison.models:
        found = m.statistics.concordance
        value, lower, upper = (
            float("nan") if v is None else v for v in (found.estimate, found.lower, found.upper)
        )
        first = m is comparison.models[0]
        rows.append(ComparisonRow(m.title, value, lower, upper, first))
    return rows


def _markdown(content: ComparisonContent, tables: Sequence[Table]) -> str:
    lines = [
        f"# {content.title}: comparison of models",
        "",
        *(f"- {statement}" for statement in content.statements),
        f"- Endpoint: {content.endpoint_name} ({content.endpoint_definition}).",
        f"- Patients: {content.how}.",
        "",
        headline(content.comparison),
    ]
    for table in tables:
        heads = [text for text, _ in page_headings(table)]
        lines += ["", f"## {table.caption}", "", _line(heads), "|" + "---|" * len(heads)]
        lines += [_line([cell.text for cell in row]) for row in page_rows(table)]
        lines += [f"\n({letter}) {reason}" for letter, reason in page_reasons(table)]
        lines += [f"\n{table.note}"] if table.note else []
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(printable_line(c).replace("|", "\\|") for c in cells) + " |"

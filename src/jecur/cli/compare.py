"""Models side by side: compare."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from jecur.cli.at_work import Machines, open_with
from jecur.cli.console import (
    OK,
    SOME_FAILED,
    AsJson,
    Device,
    Engine,
    Scheduler,
    Whole,
    Workers,
    app,
    console,
)

if TYPE_CHECKING:
    from jecur.rivals.compare import Compared
    from jecur.runs.progress import Progress
    from jecur.settings import StudySettings

__all__ = ["compare"]


@app.command
def compare(
    study: Path,
    *,
    out: Path,
    models: str = "clinical,jecur",
    folds: Whole = 0,
    site_preserving: bool = False,
    seed: Whole = 0,
    draws: Whole = 1000,
    tissue_model: Path | None = None,
    workers: Workers = 0,
    engine: Engine = None,
    scheduler: Scheduler = "",
    device: Device = None,
    as_json: AsJson = False,
) -> int:
    """Train several models on the same patients and set them side by side.

    Every model is scored on patients it never saw: those of the validation role, or each fold in turn.
    Running it again does only what is missing.

    Example: jecur compare study.toml --models clinical,jecur,chowder --folds 5 --out compared

    Parameters
    ----------
    study
        The study file.
    out
        Run folder: report.html, compare.md, compare.json, scores.csv, tables, figures.
    models
        Names with commas between them; differences are taken to the first, and to clinical. Names: study,
        paper, paper-literal, jecur, chowder, coudray, scnn, lstm, nuclear-features, architecture, flock,
        til, tissue, tissue-fractions, clinical; NAME+clinical weighs the score of a model beside the
        covariates, NETWORK+joint trains a network with the covariates in its last layer.
    folds
        Number of folds of the training and tuning roles; 0 trains on them and scores the validation role.
    site_preserving
        Keep all patients of a site in one fold.
    seed
        Of the folds.
    draws
        Draws of patients for the intervals of differences; 0 leaves them out.
    tissue_model
        Classifier of jecur tissue train, which tissue and tissue-fractions need.
    workers
        Processes; 0 takes one a core.
    as_json
        Print one JSON object and nothing else.
    """
    from jecur.rivals.compare import compare_models
    from jecur.rivals.ready import require_ready_to_compare
    from jecur.rivals.registry import rivals_named
    from jecur.settings import CompareSettings, make_settings
    from jecur.statistics.results import to_json_dict

    values = {
        "models": [name.strip() for name in models.split(",") if name.strip()],
        "folds": folds,
        "site_preserving": site_preserving,
        "seed": seed,
        "n_bootstrap": draws,
        "tissue_model": "" if tissue_model is None else str(tissue_model),
    }
    settings = make_settings(values, CompareSettings)
    rivals_named(settings.models)

    def look_over(
        cohort: "StudySettings", folder: Path, workers: int, progress: "Progress"
    ) -> None:
        require_ready_to_compare(cohort, folder, out, settings, workers=workers, progress=progress)

    said = Machines(None, workers, engine, scheduler, device)
    with open_with(look_over, study, out, said) as it:
        if it is None:
            return OK
        found = compare_models(
            it.settings, it.folder, it.run, settings, workers=it.workers, progress=it.progress
        )
    if as_json:
        facts = {
            "failed": dict(found.failed),
            "minutes": {name: cost.seconds / 60 for name, cost in found.costs.items()},
            "comparison": to_json_dict(found.comparison),
        }
        console.print_json(data=facts)
    else:
        _tell(found, out)
    return SOME_FAILED if found.failed or found.n_failed_slides else OK


def _tell(found: "Compared", out: Path) -> None:
    from rich.table import Table

    from jecur.report.comparison import headline, models_table
    from jecur.report.tables.table import page_headings, page_reasons, page_rows

    if found.comparison is not None:
        costs = {n: (c.seconds / 60, round(c.peak_mib)) for n, c in found.costs.items()}
        shown = models_table(found.comparison, costs)
        table = Table(title=escape(shown.caption), title_justify="left")
        for text, numeric in page_headings(shown):
            table.add_column(escape(text), justify="right" if numeric else "left")
        for row in page_rows(shown):
            table.add_row(*(escape(cell.text) for cell in row))
        console.print(table)
        for letter, reason in page_reasons(shown):
            console.print(escape(f"({letter}) {reason}"), soft_wrap=True)
        console.print(escape(shown.note), soft_wrap=True)
    console.print(f"[bold]{escape(headline(found.comparison))}[/]", soft_wrap=True)
    for name, reason in found.failed.items():
        console.print(escape(f"{name}: no scores: {reason}"), soft_wrap=True)
    console.print(f"Research use only. Report: {escape(str(out / 'report.html'))}", soft_wrap=True)

"""The command review: judge the most predictive tiles blinded, and close the review."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.markup import escape

from jecur.cli.console import OK, app, console

if TYPE_CHECKING:
    from jecur.reading.close import Closing

__all__ = ["review"]


@app.command
def review(
    run: Path,
    *,
    close: bool = False,
    consensus: Literal["majority", "unanimous", "any", "first"] | None = None,
    unfinished: bool = False,
) -> int:
    """Close the blinded review of a run's most predictive tiles.

    Reviewers fill in RUN/review/review.csv (or a copy of it, review-AB.csv, AB being their initials): 1
    present, 0 absent, ? cannot judge. Closing joins their answers with the key (RUN/private/review)
    and writes agreement and Table 3 into tables, statistics.json and the report.

    Example: jecur review my-study/run --close

    Parameters
    ----------
    run
        Folder of a run.
    close
        Open the key and write what was found.
    consensus
        The rule that was stated before the review ([review] consensus); another one is refused.
    unfinished
        Close although a reviewer has not come to the end; the report says so.
    """
    from jecur.errors import SettingsError
    from jecur.reading.close import close_review
    from jecur.runs.folder import RunFolder

    if not close:
        raise SettingsError("expected --close; say what is to be done with the review")
    _require_run(run)
    _tell(close_review(RunFolder.open(run), consensus=consensus, unfinished=unfinished), run)
    return OK


def _require_run(run: Path) -> None:
    from jecur.errors import RunFolderError

    if not (run / "manifest.json").is_file():
        raise RunFolderError(
            f"expected the folder of a run at {run}, found none; name the folder given as --out",
            code="not-a-run",
        )


def _tell(done: "Closing", run: Path) -> None:
    found = done.review
    for row in found.agreement:
        who = (
            f"{row.first} and {row.second}" if row.kind == "between" else f"{row.first}, two looks"
        )
        agreed = "-" if row.agreement is None else f"{100 * row.agreement:.0f} %"
        console.print(
            f"{escape(who)}: {escape(row.feature)}: {agreed} of {row.n} tiles agree, kappa "
            f"{_number(row.kappa)}, AC1 {_number(row.ac1)}",
            soft_wrap=True,
        )
    for feature in found.features.rows:
        console.print(
            f"{escape(feature.feature)}: {feature.with_high} of {feature.n_high} tiles of high score, "
            f"{feature.with_low} of {feature.n_low} of low score",
            soft_wrap=True,
        )
    where = run / "report.html" if done.in_report else run / "tables"
    if not done.in_report:
        console.print("The report is of an earlier version: run the study's command again.")
    console.print(f"Research use only. {escape(str(where))}", soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"

"""The closed blinded review in a report: tables below the most predictive tiles.

A review is closed weeks after its run. So the page has a place for it, between two marks, which
`add_review` fills in a report that was written before; a report written afterwards comes out the same.
"""

from pathlib import Path
from typing import Any

from jecur.printable import counted
from jecur.report.page import render
from jecur.report.tables.agreement import agreement_table, reviewer_table
from jecur.report.tables.table import Table, write_tables
from jecur.report.tables.tile_features import feature_table
from jecur.runs.folder import write_text
from jecur.statistics.results import to_json_dict
from jecur.statistics.reviewers import CONSENSUS_WORDS, ClosedReview

__all__ = ["REVIEW_MARKS", "add_review", "review_entries", "review_html", "review_tables"]

REVIEW_MARKS = ("<!-- blinded review -->", "<!-- end of blinded review -->")


def review_tables(review: ClosedReview) -> tuple[Table, ...]:
    """Table 3 of the paper, who judged, and how far they agree; the last only if there is a pair."""
    tables = (feature_table(review.features), reviewer_table(review))
    return (*tables, agreement_table(review)) if review.agreement else tables


def review_html(review: ClosedReview | None) -> str:
    """Markup between the two marks; nothing but the marks before a review was closed."""
    if review is None:
        return "".join(REVIEW_MARKS)
    begin, end = REVIEW_MARKS
    return (
        f"{begin}{render('review.html.j2', lead=_lead(review), tables=review_tables(review))}{end}"
    )


def review_entries(review: ClosedReview | None) -> dict[str, Any]:
    """Entries at the end of the JSON file of results."""
    if review is None:
        return {}
    whole: dict[str, Any] = to_json_dict(review)
    return {"tile_features": whole.pop("features"), "review": whole}


def add_review(review: ClosedReview, folder: Path) -> bool:
    """Write the tables of a closed review and put them into the report that is there.

    Returns
    -------
    bool
        Whether ``report.html`` has a place for them; one written by an earlier version has not.
    """
    write_tables(review_tables(review), folder / "tables")
    pages = (folder / "report.html", folder / "tables" / "tables.html")
    filled = [_filled(page, review_html(review)) for page in pages]
    return all(filled)


def _filled(page: Path, between: str) -> bool:
    if not page.is_file():
        return False
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(REVIEW_MARKS[0])
    _, end, after = rest.partition(REVIEW_MARKS[1])
    if not (begin and end):
        return False
    write_text(page, f"{before}{between}{after}")
    return True


def _lead(review: ClosedReview) -> str:
    n = len(review.reviewers)
    who = ", ".join(row.reviewer for row in review.reviewers)
    unfinished = (
        f" {review.n_unfinished} of them had not come to the end." if review.n_unfinished else ""
    )
    return (
        f"{n} reviewer{'s' if n > 1 else ''} ({who}) recorded features in {review.features.n_tiles} tiles of "
        f"{counted(review.features.n_patients, 'patient')} without knowing score, patient or "
        f"slide.{unfinished} Counted is {CONSENSUS_WORDS[review.rule]}; the rule was "
        "stated before the first review began. Tiles of one patient are alike: read the p-value over "
        "patients before the one over tiles."
    )

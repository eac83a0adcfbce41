"""Reviewers of tiles and their agreement as tables; none computed here."""

from jecur.report.tables.survival import reason_column
from jecur.report.tables.table import Column, Table
from jecur.statistics.reviewers import AgreementRow, ClosedReview

__all__ = ["agreement_table", "reviewer_table"]


def reviewer_table(review: ClosedReview) -> Table:
    """Who judged how many tiles, by initials."""
    columns = (
        Column("reviewer", "Reviewer", "text", lambda r: r.reviewer),
        Column("n_tiles", "Tiles", "count", lambda r: r.n_tiles),
        Column("n_twice", "Seen twice", "count", lambda r: r.n_twice),
        Column("cannot_judge", "Answers: cannot judge", "count", lambda r: r.cannot_judge),
        Column("median_seconds", "Median time a tile, s", "number", lambda r: r.median_seconds),
    )
    note = "Median time: of tiles judged on the screen; pauses are not counted."
    return Table.of("tile_reviewers", "Reviewers", columns, review.reviewers, note)


def agreement_table(review: ClosedReview) -> Table:
    """Agreement between reviewers, and of each with a second look, feature by feature."""
    percent = f"{100 * review.level:g} %"
    columns = (
        Column("readings", "Readings", "text", _readings, once=True),
        Column("feature", "Feature", "text", lambda r: r.feature.replace("_", " ")),
        Column("n", "Tiles", "count", lambda r: r.n),
        Column("left_out", "Left out", "count", lambda r: r.left_out),
        Column("agreement", "Agree", "percent", lambda r: r.agreement),
        Column("kappa", f"Kappa ({percent} CI)", "ratio", lambda r: r.kappa),
        Column("kappa_patients_lower", "", "lower", lambda r: r.kappa_patients_lower),
        Column("kappa_patients_upper", "", "upper", lambda r: r.kappa_patients_upper),
        Column("kappa_lower", "", "lower", lambda r: r.kappa_lower),
        Column("kappa_upper", "", "upper", lambda r: r.kappa_upper),
        Column("ac1", f"AC1 ({percent} CI)", "ratio", lambda r: r.ac1),
        Column("ac1_patients_lower", "", "lower", lambda r: r.ac1_patients_lower),
        Column("ac1_patients_upper", "", "upper", lambda r: r.ac1_patients_upper),
        Column("ac1_lower", "", "lower", lambda r: r.ac1_lower),
        Column("ac1_upper", "", "upper", lambda r: r.ac1_upper),
        Column("prevalence_first", "Seen, 1st", "percent", lambda r: r.prevalence_first),
        Column("prevalence_second", "2nd", "percent", lambda r: r.prevalence_second),
        reason_column(),
    )
    note = (
        "Cohen's kappa and Gwet's AC1. A tile that one of the two could not judge is left out of that pair. "
        "Seen: how often each reading saw the feature. Intervals take patients as clusters; those over "
        "tiles as if they were independent are in the CSV file. No interval is given where all tiles "
        "agree, or none. Kappa falls where a feature is nearly always present or absent, whatever the "
        "agreement; AC1 does not."
    )
    return Table.of("tile_agreement", "Agreement", columns, review.agreement, note)


def _readings(row: AgreementRow) -> str:
    if row.kind == "between":
        return f"{row.first} and {row.second}"
    return f"{row.first}, two looks"

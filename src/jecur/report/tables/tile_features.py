"""Features of tiles at both ends of the score as a table; none computed here."""

from jecur.report.tables.survival import REASON, estimate_columns
from jecur.report.tables.table import Column, Table
from jecur.report.wording import format_percent
from jecur.statistics.tile_features import TileFeatures

__all__ = ["feature_table"]


def feature_table(features: TileFeatures) -> Table:
    """Tabulate counts, Fisher's exact test over tiles, and the comparison over patients."""
    percent = f"{100 * features.level:g} %"
    columns = (
        Column("feature", "Feature", "text"),
        Column("high", "High score", "text"),
        Column("low", "Low score", "text"),
        *estimate_columns("odds_ratio", f"Odds ratio ({percent} CI), tiles", "ratio"),
        Column("p_fisher", "p, tiles", "p"),
        Column("p_fisher_adjusted", "adjusted", "p"),
        *estimate_columns("difference", f"Difference ({percent} CI), patients", "percent"),
        Column("p_patients", "p, patients", "p"),
        Column("p_patients_adjusted", "adjusted", "p"),
        REASON,
    )
    rows = tuple(
        (
            row.feature,
            _share(row.with_high, row.n_high),
            _share(row.with_low, row.n_low),
            row.odds_ratio,
            row.lower,
            row.upper,
            row.p,
            row.p_adjusted,
            row.difference,
            row.difference_lower,
            row.difference_upper,
            row.p_wild,
            row.p_clustered_adjusted,
            row.reason,
        )
        for row in features.rows
    )
    note = (
        "Tiles: Fisher's exact test, every tile as a patient of its own. Patients: score test with "
        "patients as clusters, p by random signs of whole patients. Adjusted for the number of "
        f"features by {features.adjustment}."
    )
    return Table("tile_features", "Features of tiles", columns, rows, note)


def _share(count: int, n: int) -> str:
    return f"{count} of {n} ({format_percent(count / n)})" if n else "0"

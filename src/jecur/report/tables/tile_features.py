"""Features of tiles at both ends of the score as a table; none computed here."""

from jecur.report.tables.survival import reason_column
from jecur.report.tables.table import Column, Table
from jecur.report.wording import format_percent
from jecur.statistics.tile_features import TileFeatures

__all__ = ["feature_table"]

_ADJUSTED = {
    "holm": "Adjusted (Holm)",
    "bh": "Adjusted (Benjamini and Hochberg)",
    "bonferroni": "Adjusted (Bonferroni)",
    "none": "Not adjusted",
}


def feature_table(features: TileFeatures) -> Table:
    """Tabulate counts, Fisher's exact test over tiles, and the comparison over patients."""
    percent = f"{100 * features.level:g} %"
    columns = (
        Column("feature", "Feature", "text", lambda r: r.feature.replace("_", " ")),
        Column("high", "High score", "text", lambda r: _share(r.with_high, r.n_high)),
        Column("low", "Low score", "text", lambda r: _share(r.with_low, r.n_low)),
        Column("difference", f"Difference ({percent} CI)", "percent", lambda r: r.difference),
        Column("difference_lower", "", "lower", lambda r: r.difference_lower),
        Column("difference_upper", "", "upper", lambda r: r.difference_upper),
        Column("p_patients", "p, patients", "p", lambda r: r.p_wild),
        Column("p_patients_adjusted", "adj.", "p", lambda r: r.p_clustered_adjusted),
        Column("odds_ratio", f"Odds ratio ({percent} CI)", "ratio", lambda r: r.odds_ratio),
        Column("odds_ratio_lower", "", "lower", lambda r: r.lower),
        Column("odds_ratio_upper", "", "upper", lambda r: r.upper),
        Column("p_fisher", "p, tiles", "p", lambda r: r.p),
        Column("p_fisher_adjusted", "adj.", "p", lambda r: r.p_adjusted),
        reason_column(),
    )
    note = (
        "Difference and p, patients: score test with patients as clusters, p by random signs of whole "
        "patients. Odds ratio and p, tiles: Fisher's exact test, every tile as a patient of its own, as the "
        f"paper did. {_ADJUSTED[features.adjustment]} for the number of features."
    )
    return Table.of("tile_features", "Features of tiles", columns, features.rows, note)


def _share(count: int, n: int) -> str:
    return f"{count} of {n} ({format_percent(count / n)})" if n else "0"

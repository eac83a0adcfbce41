"""What several reviewers recorded in the same tiles: agreement between and within them, and consensus.

A tile that one of two readings could not judge is left out of that pair and counted. The consensus
takes each reviewer's first look; the second look at a tile serves agreement within a reviewer alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Literal

import numpy as np

from jecur.arrays import Vector
from jecur.settings import ConsensusRule
from jecur.statistics.terms import estimate_or_reason
from jecur.statistics.tile_features import TileFeatures
from jecur.survival.follow_up import Labels
from jecur.survival.rater_agreement import (
    PairCounts,
    clustered_agreement,
    cohen_kappa,
    gwet_ac1,
    pair_counts,
)

__all__ = [
    "CONSENSUS_WORDS",
    "AgreementRow",
    "ClosedReview",
    "Reading",
    "ReviewerRow",
    "compare_readings",
    "consensus_of",
    "describe_reading",
]

CONSENSUS_WORDS: Mapping[ConsensusRule, str] = {
    "majority": "what most reviewers say of a tile; a draw counts for nothing",
    "unanimous": "only what all reviewers say of a tile",
    "any": "present if any reviewer says so",
    "first": "what the reviewer who began first says",
}
"""Each rule as the report prints it."""


_COEFFICIENTS: tuple[Literal["kappa", "ac1"], ...] = ("kappa", "ac1")


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one reviewer recorded; tiles are in one order for all reviewers.

    Parameters
    ----------
    reviewer
        Initials.
    first
        Feature -> (n,) 1 present, 0 absent, -1 could not be judged, NaN not asked; the first look.
    again
        The same of the second look at tiles that came twice.
    seconds
        (m,) time each look took; empty where it was not taken (paper).
    """

    reviewer: str
    first: Mapping[str, Vector]
    again: Mapping[str, Vector]
    seconds: Vector


@dataclass(frozen=True, slots=True)
class ReviewerRow:
    """One reviewer."""

    reviewer: str
    n_tiles: int
    n_twice: int
    cannot_judge: int
    """Answers, of all features, at the first look."""
    median_seconds: float | None


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """Agreement of two readings on one feature."""

    kind: Literal["between", "within"]
    """Of two reviewers, or of one reviewer's two looks."""
    feature: str
    first: str
    second: str
    n: int
    """Tiles that both judged."""
    left_out: int
    """Tiles seen by both that at least one could not judge."""
    agreement: float | None
    prevalence_first: float | None
    prevalence_second: float | None
    kappa: float | None
    kappa_lower: float | None
    """Large-sample limits, tiles as independent."""
    kappa_upper: float | None
    kappa_patients_lower: float | None
    """Limits with patients as clusters."""
    kappa_patients_upper: float | None
    ac1: float | None
    ac1_lower: float | None
    ac1_upper: float | None
    ac1_patients_lower: float | None
    ac1_patients_upper: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ClosedReview:
    """A blinded review after its key was opened."""

    reviewers: tuple[ReviewerRow, ...]
    rule: ConsensusRule
    """Stated before the first review began."""
    agreement: tuple[AgreementRow, ...]
    features: TileFeatures
    """Of the consensus, tiles of high versus low score."""
    level: float
    n_unfinished: int = 0
    """Reviewers who had not come to their end."""
    answers: str = ""
    """Fingerprint of all answers, so that none given later slips in."""


def compare_readings(
    readings: Sequence[Reading], features: Sequence[str], patient: Labels, *, level: float
) -> tuple[AgreementRow, ...]:
    """Agreement of every pair of reviewers, then of each reviewer's two looks, feature by feature.

    Parameters
    ----------
    readings, features
        Whose, and of what.
    patient
        (n,) patient of each tile.
    level
        Coverage of the intervals.
    """
    labels = np.asarray(patient)
    rows = [
        _row(
            "between",
            feature,
            (a.reviewer, b.reviewer),
            (a.first[feature], b.first[feature], labels),
            level,
        )
        for a, b in combinations(readings, 2)
        for feature in features
    ]
    rows += [
        _row(
            "within",
            feature,
            (one.reviewer, one.reviewer),
            (one.first[feature], again, labels),
            level,
        )
        for one in readings
        for feature in features
        if np.isfinite(again := one.again[feature]).any()
    ]
    return tuple(rows)


def _row(
    kind: Literal["between", "within"],
    feature: str,
    names: tuple[str, str],
    tiles: tuple[Vector, Vector, Labels],
    level: float,
) -> AgreementRow:
    asked = np.isfinite(tiles[0]) & np.isfinite(tiles[1])
    a, b = (_judged(values[asked]) for values in tiles[:2])
    patient = np.asarray(tiles[2])[asked]
    counts: PairCounts = pair_counts(a, b)
    seen = counts.prevalence
    kappa, why = estimate_or_reason(lambda: cohen_kappa(counts, level=level))
    ac1, reason = estimate_or_reason(lambda: gwet_ac1(counts, level=level))
    kappa_wide, ac1_wide = (
        estimate_or_reason(partial(clustered_agreement, name, a, b, patient, level=level))[0]
        for name in _COEFFICIENTS
    )
    return AgreementRow(
        kind=kind,
        feature=feature,
        first=names[0],
        second=names[1],
        n=counts.n,
        left_out=counts.left_out,
        agreement=counts.agreement,
        prevalence_first=seen[0] if seen else None,
        prevalence_second=seen[1] if seen else None,
        kappa=kappa.estimate if kappa else None,
        kappa_lower=kappa.lower if kappa else None,
        kappa_upper=kappa.upper if kappa else None,
        kappa_patients_lower=kappa_wide.lower if kappa_wide else None,
        kappa_patients_upper=kappa_wide.upper if kappa_wide else None,
        ac1=ac1.estimate if ac1 else None,
        ac1_lower=ac1.lower if ac1 else None,
        ac1_upper=ac1.upper if ac1 else None,
        ac1_patients_lower=ac1_wide.lower if ac1_wide else None,
        ac1_patients_upper=ac1_wide.upper if ac1_wide else None,
        reason=reason or why,
    )


def _judged(values: Vector) -> Vector:
    """Missing where it could not be judged."""
    return np.where(values < 0, np.nan, values)


def consensus_of(
    readings: Sequence[Reading], features: Sequence[str], rule: ConsensusRule
) -> dict[str, Vector]:
    """Join first looks: feature -> (n,) 1, 0, or NaN where there is no consensus.

    Parameters
    ----------
    readings
        At least one; in the order in which reviewers began.
    features
        Names.
    rule
        Who could not judge a tile has no say in it.
    """
    return {
        feature: _joined(np.array([_judged(one.first[feature]) for one in readings]), rule)
        for feature in features
    }


def _joined(said: Vector, rule: ConsensusRule) -> Vector:
    present, absent = (said == 1).sum(axis=0), (said == 0).sum(axis=0)
    if rule == "first":
        return np.asarray(said[0], dtype=np.float64)
    if rule == "any":
        yes, no = present > 0, absent > 0
    elif rule == "unanimous":
        yes, no = (present > 0) & (absent == 0), (absent > 0) & (present == 0)
    elif rule == "majority":
        yes, no = present > absent, absent > present
    else:
        raise ValueError(rule)
    return np.where(yes, 1.0, np.where(no, 0.0, np.nan))


def describe_reading(reading: Reading) -> ReviewerRow:
    """Count one reviewer's looks."""
    first, again = (np.array(list(v.values())) for v in (reading.first, reading.again))
    seconds = reading.seconds
    return ReviewerRow(
        reviewer=reading.reviewer,
        n_tiles=int(np.isfinite(first).any(axis=0).sum()),
        n_twice=int(np.isfinite(again).any(axis=0).sum()),
        cannot_judge=int((first < 0).sum()),
        median_seconds=float(np.median(seconds)) if seconds.size else None,
    )

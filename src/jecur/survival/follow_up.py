"""Follow-up of n patients as two arrays, checked once; the tables every estimator starts from.

``time`` is (n,) float64 months, zero or more; ``event`` is (n,) bool, True where the event was
seen at ``time`` and False where follow-up ended there. A patient censored at the time of an
event was still at risk of it.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jecur.arrays import BoolVector, IntVector, Vector
from jecur.errors import EndpointError, NotEstimableError, SettingsError, TableError
from jecur.survival.inputs import check_times, numbers, truths

__all__ = [
    "Labels",
    "LifeTable",
    "check_follow_up",
    "check_level",
    "check_marker",
    "label_codes",
    "life_table",
    "rows_by_code",
    "rows_of_curve",
    "tied_times",
    "times_of_curve",
]

ROUNDING = float(np.sqrt(np.finfo(np.float64).eps))
"""R's tolerance for times that are one."""

Labels = Sequence[Hashable] | NDArray[np.generic]
"""(n,) names of groups, strata or clusters."""


@dataclass(frozen=True, slots=True)
class LifeTable:
    """Counts at every distinct time."""

    time: Vector
    """(k,) distinct times, months, rising."""
    n_risk: Vector
    """(k,) patients with follow-up of at least ``time``."""
    n_event: Vector
    """(k,) events at ``time``."""
    n_censored: Vector
    """(k,) follow-up that ended at ``time`` without an event."""
    position: IntVector
    """(n,) row of each patient's own time."""


def check_follow_up(time: ArrayLike, event: ArrayLike) -> tuple[Vector, BoolVector]:
    """Return follow-up as float64 months, equal but for rounding made equal, and bool, both (n,).

    Raises
    ------
    EndpointError
        Lengths differ, a time is missing, infinite or negative, or an event is not 0 or 1.
    NotEstimableError
        If there is no patient.
    """
    months = numbers(time, "follow-up times", EndpointError)
    seen = truths(event, "events", EndpointError)
    if months.ndim != 1 or seen.shape != months.shape:
        raise EndpointError(
            f"expected one time and one event a patient, found shapes {months.shape} and "
            f"{seen.shape}; give two vectors of the same length"
        )
    if months.size == 0:
        raise NotEstimableError("expected at least one patient, found none; check the selection")
    if not np.all(np.isfinite(months) & (months >= 0)):
        row = int(np.flatnonzero(~(np.isfinite(months) & (months >= 0)))[0])
        raise EndpointError(
            f"expected months of zero or more, found {months[row]} in row {row}; "
            "leave out patients without follow-up"
        )
    return tied_times(months), seen


def tied_times(months: Vector, horizons: Sequence[float] = ()) -> Vector:
    """Make times equal that differ by rounding only, (n,), as R's ``timefix`` does.

    A spreadsheet's 62.3 - 61 and 1.3 are two numbers; taken as two times they break a tie, and
    every estimator that ranks times changes. Times whose distance is at most 1.5e-8, or at most
    that share of the mean of the distinct times, become the smallest of them. So does a time become a
    horizon that it is next to: three years are 36 months, whichever subtraction they came from.
    """
    distinct = np.unique(months)
    alike = _alike(distinct)
    tied = np.diff(distinct) <= alike
    if tied.any():
        kept = distinct[np.concatenate([[True], ~tied])]
        months = np.asarray(kept[np.searchsorted(kept, months, side="right") - 1])
    for horizon in horizons:
        months = np.where(np.abs(months - horizon) <= alike, horizon, months)
    return months


def times_of_curve(times: Vector, curve: Vector) -> Vector:
    """Make (m,) times those of a curve, (k,) rising, from which they differ by rounding only, (m,)."""
    if not curve.size:
        return times
    above = np.minimum(np.searchsorted(curve, times), curve.size - 1)
    below = np.maximum(above - 1, 0)
    nearest = np.where(times - curve[below] < curve[above] - times, curve[below], curve[above])
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(times - nearest) <= _alike(curve), nearest, times)


def rows_of_curve(times: ArrayLike, curve: Vector, side: Literal["left", "right"]) -> IntVector:
    """Count the times of a curve, (k,) rising, before ("left") or up to ("right") each of ``times``, (m,)."""
    rows: IntVector = np.searchsorted(curve, times_of_curve(check_times(times), curve), side=side)
    return rows


def _alike(distinct: Vector) -> float:
    """Distance up to which times are one."""
    return ROUNDING * max(1.0, float(np.abs(distinct).sum()) / max(distinct.size, 1))


def check_marker(marker: ArrayLike, n: int) -> Vector:
    """Return a marker as (n,) float64 without missing values.

    Raises
    ------
    TableError
        If its length is not n or a value is missing.
    """
    values = numbers(marker, "the marker")
    if values.shape != (n,):
        raise TableError(
            f"expected {n} marker values, found shape {values.shape}; give one a patient"
        )
    if not np.all(np.isfinite(values)):
        raise TableError(
            f"expected finite marker values, found {int(np.sum(~np.isfinite(values)))} missing; "
            "leave those patients out"
        )
    return values


def check_level(level: float) -> float:
    """Return ``level`` if it lies in (0, 1).

    Raises
    ------
    SettingsError
        If it does not.
    """
    if not isinstance(level, int | float | np.floating) or not (level > 0 and 0.5 + level / 2 < 1):
        raise SettingsError(f"expected a level between 0 and 1, found {level!r}; 0.95 is usual")
    return level


def life_table(time: Vector, event: BoolVector) -> LifeTable:
    """Count patients at risk, events and censorings at every distinct time."""
    times, position = np.unique(time, return_inverse=True)
    total = np.bincount(position, minlength=times.size).astype(np.float64)
    n_event = np.bincount(position, weights=event, minlength=times.size).astype(np.float64)
    n_risk = np.cumsum(total[::-1])[::-1]
    return LifeTable(times, n_risk, n_event, total - n_event, position)


def label_codes(labels: Labels | None, n: int) -> tuple[tuple[Hashable, ...], IntVector]:
    """Return the sorted distinct labels and each patient's index among them, (n,).

    No labels at all make one group.

    Raises
    ------
    TableError
        If there are labels, but not n.
    """
    if labels is None:
        return ("all",), np.zeros(n, dtype=np.int64)
    # a list as it stands: NumPy makes a text of whatever lies beside one, NaN too, and drops masks
    plain = labels if isinstance(labels, list | tuple) else np.ma.asarray(labels).tolist()
    values = np.asarray(labels)
    gone = [k for k, label in enumerate(plain) if _is_missing(label)]
    if gone:
        raise TableError(
            f"expected a label for everybody, found {len(gone)} missing, the first in row {gone[0]}; "
            "leave those patients out, or name them 'unknown'"
        )
    if values.shape != (n,):
        raise TableError(f"expected {n} labels, found shape {values.shape}; give one a patient")
    if len({isinstance(label, str) for label in plain}) > 1:
        raise TableError(
            "expected labels that are all texts or all numbers, found both; write them in one way"
        )
    names, code = np.unique(values, return_inverse=True)
    return tuple(names.tolist()), code.astype(np.int64)


def _is_missing(label: object) -> bool:
    """None, not a number, or what pandas writes for a missing value; a label equals itself."""
    return label is None or type(label).__name__ in {"NAType", "NaTType"} or label != label  # noqa: PLR0124


def rows_by_code(code: IntVector) -> list[IntVector]:
    """Rows of each code, in rising order of the codes; one sort, however many there are."""
    order = np.argsort(code, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(code[order])) + 1)

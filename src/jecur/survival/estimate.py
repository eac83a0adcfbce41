"""The one shape of a number and of a test: with its interval, or with the reason why there is none.

What an estimator knows beyond that (counts of pairs, influence of each patient) it adds in a class
of its own that is an `Estimate` too; so a number goes from the estimator to the page as it is.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = ["ChiSquared", "Estimate", "NotEstimable", "NotTestable", "Reported", "ReportedTest"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval and, where there is one, its test."""

    estimate: float
    """The value; the key of it in ``statistics.json``."""
    lower: float | None
    """None where there is no limit: a median whose curve does not come down to it."""
    upper: float | None
    p: float | None
    """Two-sided; None where nothing was tested."""
    z: float | None
    n: int
    events: int
    level: float
    """Coverage of the interval."""
    method: str

    @property
    def reason(self) -> None:
        """None: nothing is missing."""

    def reported(self) -> dict[str, Any]:
        """Give what is written of it: the same keys whatever the estimator."""
        return {key: getattr(self, key) for key in _NUMBER}


@dataclass(frozen=True, slots=True)
class NotEstimable:
    """That there is no number, and why."""

    reason: str
    n: int
    events: int
    level: float
    method: str
    lower: float | None = None
    """A limit can exist where the number does not: of a median that is not reached."""
    upper: float | None = None
    estimate: ClassVar[None] = None
    p: ClassVar[None] = None
    z: ClassVar[None] = None

    def reported(self) -> dict[str, Any]:
        """Give the keys of an `Estimate`, without a value."""
        return {key: getattr(self, key) for key in _NUMBER}


@dataclass(frozen=True, slots=True)
class ChiSquared:
    """A chi-squared test."""

    chi2: float
    df: int
    p: float
    n: int
    events: int
    method: str

    @property
    def reason(self) -> None:
        """None: nothing is missing."""

    def reported(self) -> dict[str, Any]:
        """Give what is written of it: the same keys whatever the test."""
        return {key: getattr(self, key) for key in _TEST}


@dataclass(frozen=True, slots=True)
class NotTestable:
    """That there is no test, and why."""

    reason: str
    n: int
    events: int
    method: str
    chi2: ClassVar[None] = None
    df: ClassVar[None] = None
    p: ClassVar[None] = None

    def reported(self) -> dict[str, Any]:
        """Give the keys of a `ChiSquared`, without a value."""
        return {key: getattr(self, key) for key in _TEST}


Reported = Estimate | NotEstimable
ReportedTest = ChiSquared | NotTestable

_NUMBER = (
    "estimate", "lower", "upper", "p", "z", "n", "events", "level", "method", "reason",
)  # fmt: skip
_TEST = ("chi2", "df", "p", "n", "events", "method", "reason")

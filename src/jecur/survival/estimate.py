"""A number or a test as it is reported: with its interval, or with the reason why there is none."""

from dataclasses import dataclass

__all__ = ["Reported", "ReportedTest"]


@dataclass(frozen=True, slots=True)
class Reported:
    """A number with its interval, or the reason why there is none."""

    estimate: float | None
    lower: float | None
    upper: float | None
    p: float | None
    z: float | None
    n: int
    events: int
    level: float
    method: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ReportedTest:
    """A chi-squared test, or the reason why there is none."""

    chi2: float | None
    df: int | None
    p: float | None
    n: int
    events: int
    method: str
    reason: str | None = None

"""Follow-up of n patients: months, event, death without it, and why some have none."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from jecur.arrays import BoolVector, Vector
from jecur.settings import EndpointSettings

__all__ = ["DAYS_PER_MONTH", "FollowUp", "close_follow_up"]

DAYS_PER_MONTH = 365.25 / 12


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Time and event of n patients.

    Parameters
    ----------
    months
        (n,) above 0 (from 0 if the study keeps patients of time 0); NaN where unknown.
    event
        (n,) True if the event happened; False also where unknown.
    competing
        (n,) True if the patient died without the event and the study declares that a competing
        risk; never together with ``event``.
    unknown
        (n,) reason a patient has no usable follow-up, "" if they have.
    """

    months: Vector
    event: BoolVector
    competing: BoolVector
    unknown: tuple[str, ...]


def close_follow_up(
    months: Vector,
    event: BoolVector,
    competing: BoolVector,
    reasons: pd.Series,
    settings: EndpointSettings,
) -> FollowUp:
    """Put follow-up together: who has a reason has neither time nor event."""
    if settings.time_zero == "exclude":
        reasons = reasons.mask((reasons == "") & (months == 0), "no follow-up: time 0")
    usable = (reasons == "").to_numpy(dtype=bool)
    competes = settings.competing_death == "competes"
    return FollowUp(
        months=np.where(usable, months, np.nan),
        event=(event & usable).astype(bool),
        competing=(competing & usable & competes).astype(bool),
        unknown=tuple(reasons),
    )

"""What every stage's settings are made of."""

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ["Count", "CountOrZero", "Fraction", "Positive", "Probability", "Stage"]

Positive = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Probability = Annotated[float, Meta(gt=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]
CountOrZero = Annotated[int, Meta(ge=0)]


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every stage's settings."""

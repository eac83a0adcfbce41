"""Settings of the blinded review: what a pathologist records in tiles, and how readings are joined."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from jecur.settings.base import Stage

__all__ = ["PAPER_FEATURES", "ConsensusRule", "ReviewSettings"]

ConsensusRule = Literal["majority", "unanimous", "any", "first"]

PAPER_FEATURES = (
    "presence_of_stroma",
    "high_cytological_atypia",
    "nuclear_hyperchromasia",
    "immune_infiltration",
)
"""Of the paper's Table 3."""

_NAME = re.compile(r"[^\W_][\w ()/%+.-]{0,59}")
_TAKEN = frozenset(
    {
        "tile",
        "comment",
        "end",
        "patient_id",
        "slide",
        "x",
        "y",
        "side_um",
        "side_px",
        "score",
        "file",
    }
)


class ReviewSettings(Stage, frozen=True):
    """The blinded review of the most predictive tiles."""

    features: Annotated[tuple[str, ...], Meta(min_length=1, max_length=12)] = PAPER_FEATURES
    """What is recorded of each tile: present, absent or cannot judge. Underscores are shown as blanks."""
    consensus: ConsensusRule = "majority"
    """What counts where reviewers differ: what most say (a draw counts for nothing), only what all say,
    present if anybody says so, or the reviewer who began first. Stated before a review begins."""

    def contradictions(self) -> Iterator[str]:
        """Yield features that cannot be columns of a table."""
        odd = [f for f in self.features if not _NAME.fullmatch(f) or f.lower() in _TAKEN]
        if odd:
            yield (
                f"features: expected names of up to 60 letters, digits and blanks, none of "
                f"{', '.join(sorted(_TAKEN))}, found {odd[0]!r}"
            )
        if len({f.casefold() for f in self.features}) < len(self.features):
            yield "features: expected each feature once, found one twice"

"""Settings of cross-validation."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from jecur.settings.base import Count, CountOrZero, Stage

__all__ = ["CrossvalSettings"]


class CrossvalSettings(Stage, frozen=True):
    """Who is held out when; nothing here is chosen by what is reported."""

    folds: Annotated[int, Meta(ge=2, le=50)] = 5
    """Each patient is held out in one of them."""
    repeats: Count = 1
    """Times the patients are divided anew."""
    site_preserving: bool = False
    """Keep all patients of a site in one fold, inner folds too."""
    inner_folds: CountOrZero = 0
    """Folds inside the training patients that choose the number of epochs; 0 trains the epochs of the
    study file. At least 2 to choose anything."""
    seed: int = 0
    """Of the folds; training has its own."""

    def contradictions(self) -> Iterator[str]:
        """Yield inner folds that choose nothing."""
        if self.inner_folds == 1:
            yield "expected no inner_folds or at least 2, found 1; ask for 3"

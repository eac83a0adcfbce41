"""Settings of a comparison of models."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from jecur.settings.base import CountOrZero, Seed, Stage

__all__ = ["CompareSettings"]


class CompareSettings(Stage, frozen=True):
    """Which models are compared, on whom; nothing here is chosen by what is reported."""

    models: Annotated[tuple[str, ...], Meta(min_length=1)] = ("clinical", "jecur")
    """Names of `jecur.rivals.registry`; differences are taken to the first and to ``clinical``."""
    folds: CountOrZero = 0
    """Each patient of the training and tuning roles is held out in one of them; 0 trains on these
    roles and scores the validation role."""
    site_preserving: bool = False
    """Keep all patients of a site in one fold."""
    seed: Seed = 0
    """Of the folds; training and the draws have their own."""
    n_bootstrap: CountOrZero = 1000
    """Draws of patients for the intervals of differences; 0 leaves the differences out."""
    tissue_model: str = ""
    """File of `jecur tissue train`, for the models ``tissue`` and ``tissue-fractions``."""

    def contradictions(self) -> Iterator[str]:
        """Yield folds that hold nobody out, and sites kept whole in no fold."""
        if self.folds == 1:
            yield "expected no folds or at least 2, found 1; ask for 5"
        if self.site_preserving and not self.folds:
            yield "expected folds for site_preserving, found none; ask for 5"

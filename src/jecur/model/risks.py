"""How the risks of the training patients lie: what a model file keeps of them."""

from collections.abc import Iterator

from jecur.settings.base import Count, Fraction, Stage

__all__ = ["N_QUANTILES", "TrainingRisks"]

N_QUANTILES = 21
"""Of the risks of the training patients: one in twenty lies between two of them."""


class TrainingRisks(Stage, frozen=True):
    """Risks of the training patients by the finished model: a scale to hold one risk against.

    Every twentieth of each group from the least to the greatest, 21 numbers. The model was trained on these
    patients, so they lie farther apart than those of others.
    """

    n_good: Count
    n_poor: Count
    good: tuple[Fraction, ...]
    poor: tuple[Fraction, ...]

    def contradictions(self) -> Iterator[str]:
        """Yield what cannot be quantiles."""
        for name, values in (("good", self.good), ("poor", self.poor)):
            if len(values) != N_QUANTILES or list(values) != sorted(values):
                yield f"expected {N_QUANTILES} rising risks of {name} outcome, found {len(values)}"

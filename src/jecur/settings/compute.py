"""Settings of the machine's work: they change no number of a result."""

from jecur.settings.base import Positive, Stage

__all__ = ["ComputeSettings"]


class ComputeSettings(Stage, frozen=True):
    """How long a slide may take before it is given up (status failed, code timeout)."""

    slide_minutes: Positive = 15.0
    """For a slide of any size."""
    slide_minutes_per_gb: Positive = 60.0
    """More of it for each gigabyte of the file."""

    def limit_s(self, n_bytes: int) -> float:
        """Seconds that a file of so many bytes may take."""
        return 60 * (self.slide_minutes + self.slide_minutes_per_gb * n_bytes / 1e9)

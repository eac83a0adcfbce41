"""What may pass by waiting, how long to wait for it, and when a connection gets on too slowly."""

import random
import time
from dataclasses import dataclass

from jecur.errors import FetchError

__all__ = ["Pace", "Patience", "StoppedError", "TryAgainError"]


class TryAgainError(FetchError):
    """Something that may pass; ``after_s`` is how long the server asks to wait, if it does."""

    default_code = "connection-lost"
    after_s: float = 0.0


class StoppedError(Exception):
    """Another file has met what stops them all; no fault of this one."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, seconds."""

    tries: int = 6
    """Without gaining `ENOUGH` bytes in between."""
    first_s: float = 1.0
    """First pause; it doubles."""
    most_s: float = 60.0
    most_asked_s: float = 600.0
    """A server that asks for more is not waited for so long."""
    connect_s: float = 20.0
    read_s: float = 60.0
    """Without a single byte."""
    window_s: float = 60.0
    """Over which the least rate is judged."""
    least_rate: float = 1024.0
    """Bytes per second below which a connection is given up and begun anew."""

    def pause(self, failed: int, asked_s: float) -> float:
        """Seconds to wait after so many failures: at least what the server asks, drawn at random."""
        grown = min(self.most_s, self.first_s * 2.0 ** (failed - 1))
        return min(asked_s, self.most_asked_s) + grown * random.uniform(0.5, 1.0)  # noqa: S311


class Pace:
    """Judges whether a connection gets on."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._begun, self._bytes = time.monotonic(), 0

    def gained(self, n: int) -> None:
        """Count bytes.

        Raises
        ------
        TryAgainError
            If they drip.
        """
        self._bytes += n
        passed = time.monotonic() - self._begun
        if passed < self._patience.window_s:
            return
        if self._bytes < self._patience.least_rate * passed:
            raise TryAgainError(
                f"expected at least {self._patience.least_rate:g} bytes a second, found "
                f"{self._bytes / passed:.0f}",
                code="too-slow",
            )
        self._begun, self._bytes = time.monotonic(), 0

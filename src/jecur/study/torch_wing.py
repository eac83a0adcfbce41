"""The door to the rooms that need torch: whoever opens it without torch is told how to get it."""

from collections.abc import Iterator
from contextlib import contextmanager

from jecur.errors import TrainingError

__all__ = ["INSTALL", "needing_torch", "no_torch"]

INSTALL = 'pip install "jecur[train]"'
"""What brings torch, timm and onnx."""


@contextmanager
def needing_torch(purpose: str) -> Iterator[None]:
    """Import in this block what lies behind the door.

    Parameters
    ----------
    purpose
        What it is needed for: "training".

    Raises
    ------
    TrainingError
        With code ``no-torch``, if a library is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise no_torch("torch and timm", purpose, str(error.name)) from error


def no_torch(wanted: str, purpose: str, absent: str, instead: str = "") -> TrainingError:
    """Say what is not installed, what it is wanted for, and what to do."""
    return TrainingError(
        f"expected {wanted} for {purpose}, found no {absent}; install them with: {INSTALL}{instead}",
        code="no-torch",
    )

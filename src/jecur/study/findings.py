"""One thing that a study is not ready for, or that deserves a look."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at.

    Parameters
    ----------
    severity
        "error" stops or loses something in a run; "warning" deserves a look.
    code
        Kebab-case.
    subject
        Slide, patient, role or setting.
    message
        What was expected, what was found, what to do.
    """

    severity: Literal["error", "warning"]
    code: str
    subject: str
    message: str

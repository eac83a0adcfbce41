"""Errors that a user can act on: what was expected, what was found, what to do.

Every error Jecur raises on purpose derives from `JecurError`. Its ``code`` is a short
kebab-case word that lands in ``slides.csv`` and on the command line; its message is one
line of prose. Callers add context (slide, patient, column, row) with `JecurError.within`.
"""

from typing import Self

__all__ = [
    "AnnotationError",
    "BagError",
    "BundleError",
    "EndpointError",
    "JecurError",
    "NotEstimableError",
    "NucleiModelError",
    "RunFolderError",
    "SettingsError",
    "SimulationError",
    "SlideError",
    "StainError",
    "TableError",
    "TrainingError",
]


class JecurError(Exception):
    """Root of every error raised on purpose.

    Parameters
    ----------
    message
        One line: expected, found, remedy.
    code
        Kebab-case identifier; the class's own ``default_code`` if left out.
    """

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code

    def within(self, context: str) -> Self:
        """Return the same error with ``context`` (a slide, a patient, a row) named in front."""
        return type(self)(f"{context}: {self.message}", code=self.code)

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders with message and code intact."""
        return (_rebuild, (type(self), self.message, self.code))


def _rebuild(kind: type[JecurError], message: str, code: str) -> JecurError:
    return kind(message, code=code)


class SettingsError(JecurError, ValueError):
    """A setting that does not exist, has the wrong type or lies outside its range."""

    default_code = "bad-settings"


class TableError(JecurError):
    """A clinical or slide table that cannot be read as declared."""

    default_code = "bad-table"


class EndpointError(TableError):
    """Follow-up that is not a time and an event: negative time, undeclared event code."""

    default_code = "bad-endpoint"


class SlideError(JecurError):
    """A slide that cannot be read, scaled or scored."""

    default_code = "unreadable"


class AnnotationError(SlideError):
    """A file of drawn regions that cannot be read, or leaves nothing of its slide."""

    default_code = "bad-annotation"


class StainError(SlideError):
    """A slide whose stains cannot be told apart."""

    default_code = "stain-refused"


class NucleiModelError(JecurError):
    """A nuclei network that does not keep the contract (RGB tile in, probability out)."""

    default_code = "bad-nuclei-model"


class BagError(JecurError):
    """A bag on disk that is missing, damaged or empty."""

    default_code = "bad-bag"


class BundleError(JecurError):
    """A model file that is not one, is damaged or was changed."""

    default_code = "bad-model-file"


class TrainingError(JecurError):
    """Training that cannot start or cannot go on."""

    default_code = "training-failed"


class NotEstimableError(JecurError):
    """A statistic that the data do not determine: no events, one group empty, separation."""

    default_code = "not-estimable"


class SimulationError(JecurError):
    """A virtual cohort that cannot be made as asked."""

    default_code = "bad-simulation"


class RunFolderError(JecurError):
    """A run folder that belongs to something else or cannot be written."""

    default_code = "bad-run-folder"

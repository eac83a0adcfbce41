"""What every rival is given, and what it gives back: the one seam between a model and its comparison.

A rival is trained on the patients of a `Division` and scores everybody in it. How it does that is its own
business; it sees no outcome of a patient who is held out, because `Bench` has none to show it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np

from jecur.arrays import BoolVector, Vector
from jecur.cohort.cohort import Patient
from jecur.errors import TrainingError
from jecur.runs.folder import RunFolder
from jecur.runs.progress import Progress
from jecur.settings import Recipe, StudySettings
from jecur.study.slide_task import PreparedSlide

__all__ = [
    "Bench",
    "Division",
    "Rival",
    "RivalScores",
    "follow_up",
    "locked_scores",
    "median_cutoff",
]


@dataclass(frozen=True, slots=True)
class Bench:
    """What all rivals of a comparison share.

    Parameters
    ----------
    study
        Every setting; a rival takes the covariates, the seed and the limits of good and poor outcome.
    prepared
        Slide -> what became of it; bags and tables lie in ``run.slide_folder(slide)``.
    recipe
        How the slides were prepared.
    run
        Folder of the whole comparison.
    workers
        Processes, and threads of a network that scores.
    progress
        Shows bars and messages.
    """

    study: StudySettings
    prepared: Mapping[str, PreparedSlide]
    recipe: Recipe
    run: RunFolder
    workers: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class Division:
    """Who is trained on and who is scored, once: a fold, or the roles of the study.

    Parameters
    ----------
    name
        ``fold-2`` or ``validation``.
    number
        1, 2, ...; scores of two divisions are on two scales.
    training
        To be trained on, all comers; a loss with labels takes those with a distinct outcome.
    tuning
        Whose loss may be recorded meanwhile; empty in a fold.
    held_out
        To be scored. Their follow-up is not for a rival to look at.
    """

    name: str
    number: int
    training: tuple[Patient, ...]
    tuning: tuple[Patient, ...]
    held_out: tuple[Patient, ...]


class RivalScores(msgspec.Struct, frozen=True):
    """Scores of one division; higher means an earlier event. Written to disk as JSON."""

    held_out: dict[str, float]
    """Patient -> score; a patient whom the model cannot score is absent."""
    training: dict[str, float]
    """The same of the patients trained on: gives the score its probabilities."""
    cutoff: float
    """High risk lies above it; fixed on the patients trained on."""
    facts: dict[str, float | str] = {}
    """What the model says of itself: number of parameters, strength of a penalty."""


class Rival(Protocol):
    """A model that can be compared. Make one, and name it in `jecur.rivals.registry`."""

    @property
    def name(self) -> str:
        """What ``--models`` calls it."""

    @property
    def title(self) -> str:
        """What tables call it."""

    def require(self, study: StudySettings, divisions: Sequence[Division]) -> None:
        """Refuse, before the first slide, what can be known to be missing by then.

        Raises
        ------
        JecurError
            Covariates, a library, patients of both outcomes.
        """

    def inputs(self, bench: Bench) -> tuple[object, ...]:
        """Whatever decides its scores beside patients, bags and recipe; plain values and settings."""

    def train(self, bench: Bench, division: Division, part: RunFolder) -> RivalScores:
        """Train on one division and score it; files of its own go into ``part``.

        Raises
        ------
        NotEstimableError, TrainingError
            The comparison then goes on without this model, and says why.
        """


def follow_up(patients: tuple[Patient, ...]) -> tuple[Vector, BoolVector]:
    """Months and events of patients that are trained on, (n,) each.

    Raises
    ------
    TrainingError
        With code ``labels-all-alike`` if there is no event among them, or nothing else.
    """
    event = np.array([p.event for p in patients], dtype=np.bool_)
    if event.all() or not event.any():
        raise TrainingError(
            f"expected training patients with and without the event, found {int(event.sum())} of "
            f"{event.size} with it; the prognosis is not estimable from these: add patients",
            code="labels-all-alike",
        )
    return np.array([p.months for p in patients], dtype=np.float64), event


def median_cutoff(scores: Vector) -> float:
    """Give the median."""
    return float(np.median(scores))


def locked_scores(
    held_out: Mapping[str, float],
    training: Mapping[str, float],
    facts: Mapping[str, float | str] | None = None,
    *,
    cutoff: Callable[[Vector], float] = median_cutoff,
) -> RivalScores:
    """Scores whose cut-off is fixed on those of the patients trained on: their median, if not said."""
    held, own = ({k: float(v) for k, v in side.items()} for side in (held_out, training))
    return RivalScores(held, own, cutoff(np.array(list(own.values()))), dict(facts or {}))

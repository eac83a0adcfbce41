"""Questions about a table: each with a guess and its reason, or with the reason that there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jecur.errors import JecurError, SettingsError

__all__ = ["Interview", "Question", "ask_column", "listed", "unlisted"]


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that a study file must say.

    Parameters
    ----------
    key
        Name of the answer.
    text
        What is asked.
    value
        The answer, or the guess, or "".
    choices
        All answers there are; empty if it is free.
    reason
        Why this is the guess, or why there is none.
    sure
        Whether the guess may stand if nobody answers.
    several
        Whether the answer is a list, separated by ``;``.
    answered
        Whether somebody answered.
    """

    key: str
    text: str
    value: str
    choices: tuple[str, ...]
    reason: str
    sure: bool
    several: bool
    answered: bool

    @property
    def is_open(self) -> bool:
        """Whether somebody must answer."""
        return not (self.sure or self.answered)


class Interview:
    """Asks questions of answers that are there already; what is not answered keeps its guess."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self._answers = answers
        self.questions: list[Question] = []
        self.problems: list[JecurError] = []
        self.remarks: list[str] = []

    def ask(  # noqa: PLR0913 -- a question has these parts
        self,
        key: str,
        text: str,
        *,
        guess: str = "",
        reason: str = "",
        sure: bool = False,
        choices: Sequence[str] = (),
        several: bool = False,
    ) -> str:
        """Ask one question and return its answer, or the guess."""
        value = self._answers.get(key, guess).strip()
        said = key in self._answers
        wrong = [v for v in (listed(value) if several else [value]) if choices and v not in choices]
        if said and wrong:
            choice = ", ".join(map(repr, choices[:30]))
            self.problems.append(
                SettingsError(
                    f"{key}: expected {'some of' if several else 'one of'} {choice}, found "
                    f"{', '.join(map(repr, wrong))}",
                    code="bad-answer",
                )
            )
        why = "as answered" if said else reason
        self.questions.append(Question(key, text, value, tuple(choices), why, sure, several, said))
        return value

    @property
    def open(self) -> list[Question]:
        """Questions that somebody must answer."""
        return [question for question in self.questions if question.is_open]

    def reason(self, key: str) -> str:
        """Why a question has the answer it has; "" if it was not asked."""
        return next((q.reason for q in self.questions if q.key == key), "")


def ask_column(
    interview: Interview, key: str, text: str, names: Sequence[str], guess: str, *, doubt: str = ""
) -> str:
    """Ask for a column; a guess that is in doubt is asked about."""
    found = f"its heading and what it holds: '{guess}'" if guess else "no heading says it"
    return interview.ask(
        key, text, guess=guess, reason=doubt or found, sure=bool(guess and not doubt), choices=names
    )


def listed(text: str) -> list[str]:
    """Parts of an answer that is a list; an empty answer has none."""
    return [part.strip() for part in text.split(";")] if text.strip() else []


def unlisted(parts: Sequence[str]) -> str:
    """Put a list into one answer."""
    return "; ".join(parts)

"""What a page shows, in page order: finding, key numbers, sections of figures and tables."""

from dataclasses import dataclass
from typing import Literal

from jecur.report.figures.canvas import inline_svg
from jecur.report.tables.table import Table

__all__ = ["Evidence", "FigureView", "KeyNumber", "Section", "Verdict"]

Tone = Literal["shown", "none", "reversed", "unknown"]


@dataclass(frozen=True, slots=True)
class FigureView:
    """A figure, its file name without ending, and its words."""

    name: str
    svg: str
    label: str
    """What it shows, for those who cannot see it."""
    caption: str = ""
    column: str = ""
    """The same as SVG for one column of a journal, where there is one."""

    @property
    def inline(self) -> str:
        """The figure as markup for a page; its name keeps identifiers apart."""
        return inline_svg(self.svg, self.name, self.label)


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a report."""

    id: str
    title: str
    lead: str = ""
    figures: tuple[FigureView, ...] = ()
    panels: tuple[FigureView, ...] = ()
    """Small figures, side by side where there is room."""
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    files: tuple[Table, ...] = ()
    """Tables written as CSV alone: the same numbers in a shape for programs."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The finding in one sentence, and the numbers behind it in another."""

    headline: str
    detail: str
    tone: Tone
    """Whether high risk had more events, none was shown, fewer, or it is not known."""


@dataclass(frozen=True, slots=True)
class KeyNumber:
    """One number of the head of the page."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the statistics say."""

    verdict: Verdict
    key_numbers: tuple[KeyNumber, ...] = ()
    sections: tuple[Section, ...] = ()

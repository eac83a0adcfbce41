"""A study file proposed from a table and a folder of slides: every guess with its reason.

`propose` is a pure function of table, files and answers: whoever asks, asks what it leaves open, and
proposes again.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jecur.cohort.excel import sheet_names
from jecur.cohort.plausible.names import form_of
from jecur.cohort.raw_table import read_raw_table
from jecur.cohort.table import Table, read_table
from jecur.errors import JecurError, SettingsError, TableError
from jecur.intake.columns import Column, columns_of, says
from jecur.intake.endpoint import NONE, ask_endpoint
from jecur.intake.factors import ask_factors
from jecur.intake.interview import Interview, Question
from jecur.intake.roles import ask_roles, ask_site
from jecur.intake.rows import ask_rows
from jecur.intake.slide_match import SlideMatch, match_slides, named_share, slide_files
from jecur.settings import TableFormat

__all__ = ["Proposal", "Sources", "propose"]

SLIDE_LIST = "slide_list.csv"
_FEW_FORMS = 3
"""Names of patients are written in one form, or in two or three."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What there is: a table, a folder of slides, and where the study file will lie."""

    table: Path
    slides: Path
    folder: Path

    def require(self) -> None:
        """Refuse sources that are not there, both at once.

        Raises
        ------
        TableError
            Naming what is near by.
        """
        absent = []
        if not self.table.is_file():
            near = ", ".join(sorted(p.name for p in self.table.parent.glob("*.[xct]*"))[:8])
            absent.append(
                f"a table at {self.table}, found none{f' (there are: {near})' if near else ''}"
            )
        if not self.slides.is_dir():
            parent = self.slides.parent
            near = (
                ", ".join(sorted(p.name for p in parent.iterdir() if p.is_dir())[:8])
                if parent.is_dir()
                else ""
            )
            absent.append(
                f"a folder of slides at {self.slides}, found none{f' (there are: {near})' if near else ''}"
            )
        if absent:
            raise TableError(f"expected {'; and '.join(absent)}; correct the path")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A study, as far as it is known.

    Parameters
    ----------
    study
        Plain values of the study file, only what is not a default.
    slides
        Whose each slide is.
    questions
        All that was asked, with guesses and reasons.
    problems
        Answers that cannot be.
    remarks
        What does not fit together in the table.
    """

    study: dict[str, Any]
    slides: tuple[SlideMatch, ...]
    patients: tuple[str, ...]
    questions: tuple[Question, ...]
    problems: tuple[JecurError, ...]
    remarks: tuple[str, ...] = ()

    @property
    def open(self) -> tuple[Question, ...]:
        """Questions that somebody must answer."""
        return tuple(question for question in self.questions if question.is_open)


def propose(sources: Sources, answers: Mapping[str, str]) -> Proposal:
    """Propose a study file.

    Parameters
    ----------
    sources
        Table, slides, folder of the study file.
    answers
        Key -> answer; what is not answered is guessed where a reason is found, else left open.

    Raises
    ------
    TableError
        If the table cannot be read at all.
    """
    interview = Interview(answers)
    form = _ask_form(sources.table, interview)
    table = read_table(sources.table, TableFormat(**form))
    columns = columns_of(table)
    patient = _ask_patient(columns, interview)
    ids, joined = _identifiers(table, patient, interview)
    taken = [patient]
    slides = _ask_slides(columns, ids, slide_files(sources.slides), interview, taken)
    cohort: dict[str, Any] = {
        "table": _written(sources.table, sources.folder),
        "slide_folder": _written(sources.slides, sources.folder),
        "slide_list": SLIDE_LIST,
        **({"format": form} if form else {}),
        **({"repeated_patients": "join"} if joined else {}),
        **_ask_facts(columns, patient, taken, interview),
    }
    preset = interview.ask(
        "preset",
        "Recipe of training",
        guess="jecur",
        reason="on virtual cohorts it ranked unseen patients better than the paper's recipe, in a fraction "
        "of the time; nothing is known of real ones (docs/training.md)",
        sure=True,
        choices=("jecur", "paper"),
    )
    name = interview.ask(
        "name", "Title of the study", guess=sources.table.stem, reason="the table's name", sure=True
    )
    cache = interview.ask(
        "cache", "Folder in which prepared slides are shared", guess="prepared", sure=True,
        reason="a run and a cross-validation prepare each slide once between them; files are linked",
    )  # fmt: skip
    problems = (*interview.problems, *_not_asked(answers, interview))
    study = {
        "name": name,
        "cohort": cohort,
        "training": {"preset": preset},
        "run": {"cache": cache},
    }
    return Proposal(
        study,
        tuple(slides),
        tuple(dict.fromkeys(ids.values())),
        tuple(interview.questions),
        problems,
        tuple(interview.remarks),
    )


def _ask_form(table: Path, interview: Interview) -> dict[str, Any]:
    """Ask how the table is to be read: its sheet, its heading, rows that are no patients."""
    form = _ask_sheet(table, interview)
    heading, ignored = ask_rows(read_raw_table(table, TableFormat(**form)), interview)
    form |= {"heading_row": heading} if heading else {}
    return form | ({"ignored_rows": ignored} if ignored else {})


def _ask_facts(
    columns: Mapping[str, Column], patient: str, taken: list[str], interview: Interview
) -> dict[str, Any]:
    """Ask for follow-up, sites, roles and covariates: what is known of each patient."""
    follow_up = ask_endpoint({n: c for n, c in columns.items() if n not in taken}, interview)
    endpoint = follow_up["endpoint"]
    taken += [follow_up["time"], follow_up["event"], *_date_columns(endpoint)]
    names = {
        "patient": patient,
        "time": follow_up["time"],
        "event": follow_up["event"],
        "slide": "",
    }
    names |= {"site": ask_site(columns, taken, interview), "role": ""}
    taken.append(names["site"])
    roles = ask_roles(columns, names, endpoint, taken, interview)
    never = endpoint.get("dates", {}).get("never_values", [])
    texts = ["", *follow_up["missing"]] if "" not in never else follow_up["missing"]
    for name in (names["site"], names["role"]):
        texts = [*texts, *(columns[name].unknown if name in columns else ())]
    return roles | {
        "missing_values": list(dict.fromkeys(texts)),
        "columns": names,
        "endpoint": endpoint,
        "covariates": ask_factors(columns, taken, interview),
    }


def _not_asked(answers: Mapping[str, str], interview: Interview) -> list[SettingsError]:
    """Answers to what is not asked here."""
    unknown = set(answers) - {question.key for question in interview.questions}
    if not unknown:
        return []
    keys = ", ".join(question.key for question in interview.questions)
    return [
        SettingsError(
            f"expected answers to {keys}, found {', '.join(sorted(unknown))}, which is not asked here",
            code="bad-answer",
        )
    ]


def _written(path: Path, folder: Path) -> str:
    """Path as the study file has it: relative where that is short."""
    relative = os.path.relpath(path.resolve(), folder.resolve())
    return (
        path.resolve().as_posix() if relative.startswith("../../..") else Path(relative).as_posix()
    )


def _ask_sheet(table: Path, interview: Interview) -> dict[str, Any]:
    sheets = sheet_names(table)
    if len(sheets) < 2:
        return {}
    filled = {}
    for sheet in sheets:
        try:
            rows = read_raw_table(table, TableFormat(sheet=sheet)).rows
        except TableError:
            continue
        filled[sheet] = sum(len(list(filter(None, row))) for _, row in rows)
    shown = [sheet for sheet in sheet_names(table, hidden=False) if sheet in filled] or filled
    best = max(shown, key=lambda sheet: filled[sheet], default=sheets[0])
    others = max((n for sheet, n in filled.items() if sheet != best), default=0)
    sheet = interview.ask(
        "sheet", "Sheet of the patients", guess=best, choices=list(filled),
        reason=f"it holds the most cells ({filled.get(best, 0)}; the next {others})",
        sure=others < 0.5 * filled.get(best, 0),
    )  # fmt: skip
    return {"sheet": sheet}


def _ask_patient(columns: Mapping[str, Column], interview: Interview) -> str:
    def unique(column: Column) -> float:
        return len(column.levels) / max(1, len(column.cells))

    full = {
        n: c for n, c in columns.items() if len(c.known) >= 0.9 * len(c.cells) and not c.is_date
    }
    likely = [n for n, c in full.items() if says(n, "patient") and unique(c) >= 0.5]
    exact = [n for n in likely if unique(full[n]) == 1.0] or likely
    guess = exact[0] if exact else ""
    if len(exact) > 1:  # "Nr" and "Pat.-ID": the one that says patient, if one does
        said = [n for n in exact if re.search(r"pat|subject|case|fall", n, re.IGNORECASE)]
        guess = said[0] if len(said) == 1 else ""
    different = len(full[guess].levels) if guess else 0
    others = _other_names(full, guess) if guess else []
    reason = f"several could be: {', '.join(exact)}" if exact else "no heading says it"
    if guess:
        reason = f"its heading, and {different} different texts in {len(columns[guess].cells)} rows"
    if others:
        reason = f"'{guess}' numbers the rows; {', '.join(map(repr, others))} may name the patients"
    return interview.ask(
        "patient",
        "Column of patient identifiers",
        guess=guess,
        reason=reason,
        sure=bool(guess) and not others,
        choices=list(columns),
    )


def _other_names(columns: Mapping[str, Column], guess: str) -> list[str]:
    """Columns of names without a double, where the one guessed does no more than number the rows."""
    cells = list(columns[guess].cells.values())
    first = int(cells[0]) if cells[0].isascii() and cells[0].isdigit() else None
    if first is None or cells != [str(first + k) for k in range(len(cells))]:
        return []
    return [
        name
        for name, column in columns.items()
        if name != guess
        and len(column.levels) == len(column.cells)
        and len({form_of(text) for text in column.levels}) <= _FEW_FORMS
        and any(map(str.isdigit, "".join(column.levels)))
        and not (column.is_numeric and any("." in t or "," in t for t in column.levels))
        and not says(name, "time", "slide", "age")
    ]


def _identifiers(table: Table, patient: str, interview: Interview) -> tuple[dict[int, str], bool]:
    """Row -> identifier, and whether rows of one patient are to be joined."""
    if patient not in table.frame.columns:
        return {}, False
    ids = {int(r): str(t) for r, t in table.identifiers(patient, "patient").items()}
    counts = Counter(ids.values())
    twice = [name for name, n in counts.items() if n > 1]
    if not twice:
        return ids, False
    said = interview.ask(
        "repeated_patients",
        f"{len(twice)} patient{'s have' if len(twice) > 1 else ' has'} several rows ({', '.join(twice[:3])})",
        guess="join",
        reason="a row a slide: whatever is used of a patient must agree in all their rows, or is refused",
        sure=True,
        choices=("join", "refuse"),
    )
    return ids, said == "join"


def _ask_slides(
    columns: Mapping[str, Column],
    ids: Mapping[int, str],
    files: Sequence[str],
    interview: Interview,
    taken: list[str],
) -> list[SlideMatch]:
    shares = {name: named_share(list(c.cells.values()), files) for name, c in columns.items()}
    best = max(shares, key=lambda name: shares[name], default="")
    by_heading = [n for n in columns if says(n, "slide") and not columns[n].is_numeric]
    named = best if shares.get(best, 0.0) >= 0.5 and best not in taken else ""
    column = interview.ask(
        "slide",
        "Column that names slide files",
        guess=named or NONE,
        reason=f"{shares[named]:.0%} of its cells name a file in the slide folder"
        if named
        else "no column names files of the slide folder; identifiers are looked for in the files' names",
        sure=bool(named) or not by_heading,
        choices=[*columns, NONE],
    )
    cells = columns[column].cells if column in columns else {}
    taken += [column] if column in columns else []
    matches = match_slides(ids, files, {row: text for row, text in cells.items() if row in ids})
    return [_settled(match, interview) for match in matches]


def _settled(match: SlideMatch, interview: Interview) -> SlideMatch:
    """Ask whose a slide is whose name does not decide."""
    if not match.candidates:
        return match
    said = interview.ask(
        f"slide:{match.slide}",
        f"Whose is {match.slide}",
        reason=match.reason,
        choices=[*match.candidates, NONE],
    )
    if not said:
        return match
    return SlideMatch(match.slide, "" if said == NONE else said, "as answered")


def _date_columns(endpoint: Mapping[str, Any]) -> list[str]:
    dates = endpoint.get("dates", {})
    return [
        dates[key] for key in ("surgery", "last_contact", "recurrence", "death") if key in dates
    ]

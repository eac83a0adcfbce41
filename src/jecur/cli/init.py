"""The command init: a study file from a table and a folder of slides, or a template."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.markup import escape

from jecur.cli.console import OK, app, console

if TYPE_CHECKING:
    from jecur.intake.interview import Question
    from jecur.intake.propose import Proposal, Sources

__all__ = ["init"]


@app.command
def init(
    folder: Path | None = None,
    *,
    table: Path | None = None,
    slides: Path | None = None,
    answer: Annotated[list[str] | None, Parameter(name=["--answer", "-a"], negative="")] = None,
) -> int:
    """Write a study file: from your table and your folder of slides, or an annotated example.

    With --table and --slides the columns are read, a study is proposed, each guess with its reason, and
    what cannot be told is asked. Without a terminal give answers by --answer; what is still open is
    listed, with its choices, and nothing is written (exit code 2).

    Example: jecur init my-study --table clinic.xlsx --slides slides --answer split=fraction

    Parameters
    ----------
    folder
        Where study.toml goes; made if it does not exist. Left out: where the table lies.
    table
        Clinical table: CSV, TSV or Excel.
    slides
        Folder of the slides; folders inside it are searched too.
    answer
        KEY=VALUE, as often as needed; several values are separated by ;
    """
    from jecur.errors import SettingsError

    if (table is None) != (slides is None):
        raise SettingsError(
            f"expected --table and --slides together, found {'--slides' if table is None else '--table'} "
            "alone; give both (for scores without slides see `jecur evaluate`)"
        )
    if table is None or slides is None:
        return _template(folder)
    from jecur.intake.propose import Sources

    sources = Sources(table, slides, folder or table.parent)
    sources.require()
    return _propose(sources, _answers(answer or []))


def _template(folder: Path | None) -> int:
    from jecur.errors import SettingsError
    from jecur.study.template import write_template

    if folder is None:
        raise SettingsError(
            "expected a folder, or --table and --slides, found none; jecur init my-study writes an example, "
            "jecur init --table clinic.xlsx --slides slides a study of your own"
        )
    path = write_template(folder)
    run = shlex.join(["jecur", "run", str(path), "--out", str(folder / "run")])
    told = f"Edit {path}, then: {run}"
    console.print(escape(told), soft_wrap=True)
    console.print(
        escape("From a table and slides of your own: jecur init --table TABLE --slides FOLDER"),
        soft_wrap=True,
    )
    return OK


def _answers(given: list[str]) -> dict[str, str]:
    from jecur.errors import SettingsError

    bad = [text for text in given if "=" not in text]
    if bad:
        raise SettingsError(f"expected --answer KEY=VALUE, found {', '.join(map(repr, bad))}")
    return {text.partition("=")[0].strip(): text.partition("=")[2].strip() for text in given}


def _propose(sources: "Sources", answers: dict[str, str]) -> int:
    from jecur.errors import Problems
    from jecur.intake.check import check_proposal
    from jecur.intake.propose import propose
    from jecur.intake.write import write_proposal

    proposal = propose(sources, answers)
    asked = sys.stdin.isatty()
    if asked:
        proposal = _ask(sources, proposal, answers)
    problems = Problems()
    problems.found += proposal.problems
    problems.refuse()
    if not asked:
        _tell_slides(proposal)
    _refuse_open(proposal)
    if not asked:
        _tell_guesses(proposal)
    remarks = check_proposal(proposal, sources.folder)
    path = write_proposal(proposal, sources.folder)
    for remark in (*proposal.remarks, *remarks):
        console.print(escape(remark), soft_wrap=True)
    console.print(
        escape(
            f"Study: {path}. Look over what is proposed in it, then: "
            f"{shlex.join(['jecur', 'doctor', str(path)])}"
        ),
        soft_wrap=True,
    )
    return OK


def _ask(sources: "Sources", proposal: "Proposal", answers: dict[str, str]) -> "Proposal":
    """Ask what is open, then whether the guesses may stand, until nothing is to be changed."""
    from jecur.intake.propose import propose

    while True:
        wrong = {str(p.message).partition(":")[0] for p in proposal.problems}
        pending = [q for q in proposal.questions if q.is_open or q.key in wrong]
        if not pending:
            _tell_slides(proposal)
            _tell_guesses(proposal)
            key = console.input("Return to write the study, or the name of an answer to change: ")
            if not key.strip():
                return proposal
            pending = [q for q in proposal.questions if q.key == key.strip()]
        for question in pending[:1]:
            answers[question.key] = _one_answer(question)
        proposal = propose(sources, answers)


def _one_answer(question: "Question") -> str:
    console.print(f"\n[bold]{escape(question.text)}[/] \\[{escape(question.key)}]", soft_wrap=True)
    console.print(f"  {escape(question.reason)}", soft_wrap=True)
    for number, choice in enumerate(question.choices, 1):
        console.print(f"  {number}  {escape(choice)}", soft_wrap=True)
    several = " (several: separate by ;)" if question.several else ""
    default = f" \\[{escape(question.value)}]" if question.value else ""
    said = console.input(f"Answer{several}{default}: ").strip() or question.value
    parts = [part.strip() for part in said.split(";")] if question.several else [said]
    return "; ".join(_chosen(part, question.choices) for part in parts)


def _chosen(said: str, choices: tuple[str, ...]) -> str:
    """Take a number for the choice it stands beside, unless it is a choice itself."""
    if said in choices or not said.isdecimal() or not 0 < int(said) <= len(choices):
        return said
    return choices[int(said) - 1]


def _refuse_open(proposal: "Proposal") -> None:
    """Refuse to write a study while something is open; each question with its choices."""
    from jecur.errors import SettingsError

    def said(question: "Question") -> str:
        choices = f"; one of {', '.join(map(repr, question.choices))}" if question.choices else ""
        several = ", several separated by ;" if question.several else ""
        guess = f"; likely {question.value!r}" if question.value else ""
        return f"{question.key}: {question.text} ({question.reason}){choices}{several}{guess}"

    told = [SettingsError(said(q), code="open-questions") for q in proposal.open]
    if told:
        whole = SettingsError("open questions", code="open-questions")
        head = (
            f"expected answers to {len(told)} questions, found none, and nothing was written; give each as "
            "--answer KEY=VALUE, or run this on a terminal"
        )
        whole.parts = (SettingsError(head, code="open-questions"), *told)
        raise whole


def _tell_guesses(proposal: "Proposal") -> None:
    from rich.table import Table

    shown = Table(title="Proposed", title_justify="left")
    for heading in ("Name", "Answer", "Why"):
        shown.add_column(heading, overflow="fold")
    for question in proposal.questions:
        shown.add_row(
            escape(question.key), escape(question.value or "none"), escape(question.reason)
        )
    console.print(shown)


def _tell_slides(proposal: "Proposal") -> None:
    matched = [m for m in proposal.slides if m.patient and not m.absent]
    absent = [m for m in proposal.slides if m.absent]
    apart = [m for m in proposal.slides if not m.patient and not m.candidates]
    unclear = [m for m in proposal.slides if m.candidates]
    without = sorted(set(proposal.patients) - {m.patient for m in matched})
    console.print(
        f"Slides: {len(matched)} matched, {len(unclear)} ambiguous, {len(apart)} without a patient, "
        f"{len(absent)} missing. Patients without a slide: {len(without)}.",
        soft_wrap=True,
    )
    for match in (*unclear, *apart, *absent):
        console.print(escape(f"  {match.slide}: {match.reason}"), soft_wrap=True)
    for patient in without:
        console.print(escape(f"  {patient}: no slide"), soft_wrap=True)

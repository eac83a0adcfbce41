"""The study file as text: every setting, its choices, and beside each guess its reason."""

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from jecur.cohort.csv_text import csv_text
from jecur.errors import SettingsError
from jecur.intake.interview import Question
from jecur.intake.propose import SLIDE_LIST, Proposal
from jecur.runs.folder import write_text
from jecur.settings.reference import SettingFacts, TableFacts, stage_tables, toml_value, with_preset

__all__ = ["list_text", "study_text", "write_proposal"]

_WIDTH = 100
_PLACES = {
    "sheet": "cohort.format.sheet",
    "heading_row": "cohort.format.heading_row",
    "ignored_rows": "cohort.format.ignored_rows",
    "patient": "cohort.columns.patient",
    "repeated_patients": "cohort.repeated_patients",
    "slide": "cohort.slide_list",
    "follow_up": "cohort.endpoint.kind",
    "endpoint": "cohort.endpoint.kind",
    "surgery": "cohort.endpoint.dates.surgery",
    "last_contact": "cohort.endpoint.dates.last_contact",
    "recurrence": "cohort.endpoint.dates.recurrence",
    "death": "cohort.endpoint.dates.death",
    "date_format": "cohort.endpoint.dates.format",
    "never_values": "cohort.endpoint.dates.never_values",
    "time": "cohort.columns.time",
    "unit": "cohort.endpoint.unit",
    "event": "cohort.columns.event",
    "event_values": "cohort.endpoint.event_values",
    "censored_values": "cohort.endpoint.censored_values",
    "competing_values": "cohort.endpoint.competing_values",
    "site": "cohort.columns.site",
    "role": "cohort.columns.role",
    "split": "cohort.split.by",
    "validation_fraction": "cohort.split.validation_fraction",
    "validation_sites": "cohort.split.validation_sites",
    "validation_from": "cohort.split.validation_from",
    "covariates": "cohort.covariates",
    "missing_values": "cohort.missing_values",
    "preset": "training.preset",
    "cache": "run.cache",
    "name": "name",
}
"""Question -> the setting that its answer is."""
_OF_FACTOR = {
    "kind": "kind",
    "scale": "scale",
    "beyond_limit": "beyond_limit",
    "reference": "levels",
}


def write_proposal(proposal: Proposal, folder: Path) -> Path:
    """Write study file and list of slides.

    Raises
    ------
    SettingsError
        With code ``study-exists`` if either is there: nothing is overwritten.
    """
    there = [name for name in ("study.toml", SLIDE_LIST) if (folder / name).exists()]
    if there:
        raise SettingsError(
            f"expected no {' and no '.join(there)} in {folder}, found that; name another folder, or move "
            "it away",
            code="study-exists",
        )
    write_text(folder / SLIDE_LIST, list_text(proposal))
    return write_text(folder / "study.toml", study_text(proposal))


def list_text(proposal: Proposal) -> str:
    """Write the list of slides: a row each, with its patient, if any, and the reason."""
    rows = [(m.slide, m.patient, m.reason) for m in proposal.slides]
    return csv_text(pd.DataFrame(rows, columns=["slide", "patient_id", "reason"]))


def study_text(proposal: Proposal) -> str:
    """Write the study file."""
    reasons = _reasons(proposal.questions)
    values = proposal.study
    preset = values["training"]["preset"]
    lines = [
        "# A study for Jecur. Research use only.",
        "#   jecur doctor study.toml      looks everything over",
        "#   jecur run study.toml --out run",
        "# Every setting is here. Lines that begin with # are explanations or defaults; take the # away to",
        "# change one.",
        '# "Proposed:" says what was found in the table, and why; check these.',
        "",
    ]
    for table in stage_tables():
        given = _at(values, table.name)
        if table.several:
            lines += _several(table, given or [], proposal)
        elif table.settings:
            lines += _table(with_preset(table, preset), given, reasons)
    return "\n".join(lines).rstrip() + "\n"


def _reasons(questions: tuple[Question, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for question in questions:
        key, _, column = question.key.partition(":")
        place = (
            f"{column}.{_OF_FACTOR[key]}" if key in _OF_FACTOR and column else _PLACES.get(key, "")
        )
        if place:
            told = "answered" if question.answered else f"proposed: {question.reason}"
            found.setdefault(place, []).append(told)
    return found


def _at(values: Any, place: str) -> Any:  # noqa: ANN401 - a tree of plain values
    for part in filter(None, place.split(".")):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _table(
    table: TableFacts, given: Mapping[str, Any] | None, reasons: Mapping[str, list[str]]
) -> Iterator[str]:
    left_out = table.optional and given is None
    if table.name:
        yield from ("", *_comment(table.text), f"{'# ' if left_out else ''}[{table.name}]")
    for setting in table.settings:
        place = f"{table.name}.{setting.name}".lstrip(".")
        yield from _setting(setting, given or {}, reasons.get(place, []))


def _several(
    table: TableFacts, given: list[Mapping[str, Any]], proposal: Proposal
) -> Iterator[str]:
    reasons = _reasons(proposal.questions)
    yield from ("", *_comment(f"{table.text} One [[{table.name}]] each."))
    for why in reasons.get(table.name, []):
        yield from _comment(_capital(why))
    for one in given:
        yield from ("", f"[[{table.name}]]")
        column = one.get("column", "")
        for name, value in one.items():
            told = reasons.get(f"{column}.{name}", [])
            yield from _comment(_capital("; ".join(told))) if told else ()
            yield f"{name} = {toml_value(value)}"
    yield from ("", *_comment(f"All settings of a [[{table.name}]]:"))
    for setting in table.settings:
        default = f" = {setting.default}" if setting.default else ""
        yield from _comment(f"  {setting.name}{default}: {_meaning(setting)}", "#     ")


def _setting(setting: SettingFacts, given: Mapping[str, Any], why: list[str]) -> Iterator[str]:
    yield from _comment(_meaning(setting))
    if why:
        yield from _comment(_capital("; ".join(dict.fromkeys(why))))
    if setting.name in given:
        yield f"{setting.name} = {toml_value(given[setting.name])}"
    else:
        yield f"# {setting.name} = {setting.default}".rstrip()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _meaning(setting: SettingFacts) -> str:
    if setting.choices:
        return f"{setting.text} One of: {', '.join(setting.choices)}.".strip()
    return f"{setting.text} ({setting.kind})".strip()


def _comment(text: str, indent: str = "# ") -> Iterator[str]:
    yield from textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip

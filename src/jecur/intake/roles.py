"""Questions of sites and roles: who trains and who validates.

A choice of the study, made before any result is seen.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jecur.intake.columns import Column, says
from jecur.intake.endpoint import NONE
from jecur.intake.interview import Interview, listed
from jecur.settings.cohort import RoleValues

__all__ = ["ask_roles", "ask_site"]

_OF_BODY = re.compile(
    r"tumou?r|recur|relaps|rezidiv|metast|lesion|primary|biops|anatom|segment|lobe", re.IGNORECASE
)
"""Headings of a site in the body."""


def ask_site(columns: Mapping[str, Column], taken: Sequence[str], interview: Interview) -> str:
    """Ask for the column of the hospital or laboratory; "" for none."""
    few = [
        n
        for n, c in columns.items()
        if n not in taken and 1 <= len(c.levels) <= 0.5 * len(c.cells) + 1
    ]
    likely = [n for n in few if says(n, "site") and not _OF_BODY.search(n)]
    guess = likely[0] if likely else NONE
    said = interview.ask(
        "site", "Column of the hospital or laboratory", guess=guess, choices=[*few, NONE],
        sure=len(likely) < 2,
        reason=f"its heading; it holds {', '.join(columns[guess].levels[:5])}"
        if likely
        else "no heading says it",
    )  # fmt: skip
    return "" if said == NONE else said


def ask_roles(
    columns: Mapping[str, Column],
    names: dict[str, str],
    endpoint: Mapping[str, Any],
    taken: list[str],
    interview: Interview,
) -> dict[str, Any]:
    """Ask for the column of roles, or for a way to divide the patients."""
    meant = RoleValues()
    known = {t.casefold() for t in (*meant.training, *meant.tuning, *meant.validation)}
    found = [
        n for n, c in columns.items()
        if n not in taken and 1 < len(c.levels) <= 3 and all(t.casefold() in known for t in c.levels)
    ]  # fmt: skip
    if found:
        names["role"] = role = interview.ask(
            "role", "Column of training and validation", guess=found[0], choices=found, sure=True,
            reason=f"it holds {', '.join(columns[found[0]].levels)}",
        )  # fmt: skip
        taken.append(role)
        return {"roles": _role_values(columns[role].levels)} if role in columns else {}
    sites = columns[names["site"]].levels if names["site"] in columns else ()
    return _ask_split(sites, interview, dated=bool(endpoint.get("dates")))


def _ask_split(sites: Sequence[str], interview: Interview, *, dated: bool) -> dict[str, Any]:
    """Ask for a way to divide patients of whom nobody has a role."""
    ways = [
        "fraction",
        *(["site"] if len(sites) > 1 else []),
        *(["date"] if dated else []),
        NONE,
    ]
    way = interview.ask(
        "split",
        "Nobody has a role: validate on a random fraction, on whole sites, on patients from a date on, "
        "or none (cross-validation alone)",
        reason="a choice of the study, before any result is seen; another site or a later time is the "
        "harder test",
        choices=ways,
    )
    if way in ("", NONE):
        return {}
    split: dict[str, Any] = {"by": way}
    if way == "fraction":
        said = interview.ask(
            "validation_fraction", "Share of the patients who validate", guess="0.3", sure=True,
            reason="usual; drawn with and without the event alike",
        )  # fmt: skip
        split |= {"validation_fraction": _number(said), "seed": 0}
    elif way == "site":
        said = interview.ask(
            "validation_sites", "Sites that validate", choices=sites, several=True,
            reason=f"there are {', '.join(sites[:8])}",
        )  # fmt: skip
        split["validation_sites"] = listed(said)
    else:
        split["validation_from"] = interview.ask(
            "validation_from", "First day of surgery of those who validate, such as 2015-01-31",
            reason="a choice of the study",
        )  # fmt: skip
    return {"split": split}


def _role_values(levels: Sequence[str]) -> dict[str, list[str]]:
    """Texts of the table for each role, whatever their case."""
    meant = RoleValues()
    return {
        role: [t for t in levels if t.casefold() in {m.casefold() for m in getattr(meant, role)}]
        for role in ("training", "tuning", "validation")
    }


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # the settings say what is wrong with it

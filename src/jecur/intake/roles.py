"""Questions of sites and roles: who trains and who validates.

A choice of the study, made before any result is seen.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jecur.cohort.roles import roles_told
from jecur.intake.columns import Column, says
from jecur.intake.endpoint import NONE
from jecur.intake.interview import Interview, listed
from jecur.settings.cohort import RoleValues

__all__ = ["ask_roles", "ask_site"]

_OF_BODY = re.compile(
    r"tumou?r|recur|relaps|rezidiv|metast|lesion|primary|biops|anatom|segment|lobe", re.IGNORECASE
)
"""Headings of a site in the body."""
_BETWEEN = re.compile(r"(internal )?val(id(ation|ate)?)?([ _-]?(set|cohort|group))?", re.IGNORECASE)
"""Texts by which some mean those who validate, and others those who tune."""


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
    found = [
        n
        for n, c in columns.items()
        if n not in taken and roles_told(n, c.cells.values(), RoleValues())
    ]
    if found:
        names["role"] = role = interview.ask(
            "role", "Column of training and validation", guess=found[0], choices=found,
            sure=len(found) == 1, reason=f"it holds {', '.join(columns[found[0]].levels)}",
        )  # fmt: skip
        taken.append(role)
        return {"roles": _role_values(columns[role], interview)} if role in columns else {}
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


def _role_values(column: Column, interview: Interview) -> dict[str, list[str]]:
    """Ask for the texts of each role; a validation beside a test may be the tuning of the model."""
    told = roles_told(column.name, column.cells.values(), RoleValues())
    of_role = {
        role: [text for text, said in told.items() if said == role]
        for role in ("training", "tuning", "validation")
    }
    between = [text for text in of_role["validation"] if _BETWEEN.fullmatch(text)]
    if between and len(between) < len(of_role["validation"]) and not of_role["tuning"]:
        tuning = listed(
            interview.ask(
                "tuning_values",
                f"Texts in '{column.name}' of patients by whom the model is tuned, not validated",
                reason=f"{', '.join(map(repr, between))} beside a test set may be either",
                choices=[*between, NONE],
                several=True,
            )
        )
        of_role["tuning"] = [text for text in tuning if text != NONE]
        of_role["validation"] = [t for t in of_role["validation"] if t not in of_role["tuning"]]
    return of_role


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # the settings say what is wrong with it

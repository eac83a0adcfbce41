"""Who trains and who validates: by the table's column, or divided here as the study file says.

Patients are divided, never slides. A draw depends on the patients, their events and the seed, not on
the order of the rows: patients are sorted by identifier first.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Literal

import numpy as np

from jecur.cohort.dates import read_dates
from jecur.cohort.plausible.words import means_unknown, one_level
from jecur.cohort.table import Table, list_cells
from jecur.errors import TableError
from jecur.settings import CohortSettings, RoleValues, SplitSettings

__all__ = ["Role", "divide_patients", "read_days", "read_roles", "roles_told"]

Role = Literal["training", "tuning", "validation"]
_ROLE_WORDS = {
    "training": r"train(ing|ed)?|trn|develop(ment)?|derivation|discovery|learn(ing)?|entwicklung|lern|"
    r"entrainement|entrenamiento|treinamento",
    "tuning": r"tun(e|ing)|internalvalidation|early ?stopping",
    "validation": r"val(id(ation|ate)?)?|validierung\w*|validacion|validacao|test(ing)?|hold ?out|unseen|"
    r"(external|independent|ext)(val(idation)?|test(ing)?)?|replication",
}
_OF_PATIENTS = re.compile(
    r"(?<=.)(s?(data)?(sets?|cohort|group|samples?|patients|kohorte|gruppe|daten(satz)?|satz)|s?menge)$"
)
_TRAINED_ON = re.compile(r"(is|in|used for|seen in|of)? ?train(ing|ed)?( on| set| cohort| group)?")
_ANSWERS = ({"1", "true", "yes", "y", "ja", "j"}, {"0", "false", "no", "n", "nein"})


def roles_told(heading: str, cells: Iterable[str], meant: RoleValues) -> dict[str, Role]:
    """Text -> role, where the cells of a column tell patients trained on from others; empty where not.

    The one rule by which such a column is known that nobody named.

    Parameters
    ----------
    heading
        Name of the column; yes and no below ``training`` say it too.
    cells
        Its texts; those that mean unknown say nothing.
    meant
        Texts that the study declares; texts in use among people count beside them, whatever their case.
    """
    texts = [t for t in dict.fromkeys(cells) if t and not means_unknown(t)]
    told = {text: _role_said(text, meant) for text in texts}
    words = " ".join(re.findall(r"[^\W_]+", heading.casefold()))
    if _TRAINED_ON.fullmatch(words) and all(
        t.casefold() in _ANSWERS[0] | _ANSWERS[1] for t in texts
    ):
        told = {t: "training" if t.casefold() in _ANSWERS[0] else "validation" for t in texts}
    found = {text: role for text, role in told.items() if role is not None}
    return (
        found
        if len(found) == len(texts) and {"training", "validation"} <= {*found.values()}
        else {}
    )


def _role_said(text: str, meant: RoleValues) -> Role | None:
    """Role that a text says: a declared one, else a word in use."""
    roles: tuple[Role, ...] = ("training", "tuning", "validation")
    folded = one_level(text)
    for role in roles:
        if folded in map(one_level, getattr(meant, role)):
            return role
    word = re.sub(r"[\W_0-9]+", "", folded)
    word = _OF_PATIENTS.sub("", word)
    return next((role for role in roles if re.fullmatch(_ROLE_WORDS[role], word)), None)


def read_roles(table: Table, settings: CohortSettings) -> list[Role | None]:
    """Role of each row: of its column; ``validation`` for everybody where there is no such column."""
    if not settings.columns.role:
        return ["validation"] * len(table.frame)
    if settings.columns.role not in table.frame.columns:
        found = ", ".join(str(c)[:60] for c in table.frame.columns[:20])
        raise TableError(
            f"{table.name}: expected a column '{settings.columns.role}' for the role, found: {found}; "
            "name yours under [cohort.columns]; or have the patients divided: [cohort.split] with by = "
            '"fraction", "site" or "date"; or write role = "" and use `jecur crossval`, which needs no roles'
        )
    text = table.column(settings.columns.role, "role")
    meaning: dict[str, Role] = {}
    for role in ("training", "tuning", "validation"):
        for value in getattr(settings.roles, role):
            if meaning.setdefault(value, role) != role:
                raise TableError(
                    f"expected each role text under one role, found {value!r} under two"
                )
    undeclared = text[~text.isin(meaning) & ~text.isin(settings.missing_values)]
    if len(undeclared):
        raise TableError(
            f"{table.name}: expected one of {', '.join(map(repr, meaning))} in column '{text.name}', "
            f"found {list_cells(undeclared)}; declare it under [cohort.roles]"
        )
    return [meaning.get(value) for value in text]


def read_days(table: Table, settings: CohortSettings) -> list[date | None]:
    """Day of each row by which patients are divided; None where it is unknown or not asked for."""
    split, dates = settings.split, settings.endpoint.dates
    if split is None or split.by != "date":
        return [None] * len(table.frame)
    column = split.date_column or (dates.surgery if dates else "")
    form = split.date_format or (dates.format if dates else "%Y-%m-%d")
    return list(read_dates(table, column, form, settings.missing_values).values())


def divide_patients(
    split: SplitSettings,
    ids: Sequence[str],
    event: Sequence[bool],
    sites: Sequence[str],
    days: Sequence[date | None],
) -> list[Role | None]:
    """Divide patients.

    Parameters
    ----------
    split
        The way.
    ids, event, sites, days
        Of the n patients who could be used; ids are unique.

    Returns
    -------
    list
        Role of each; None if site or day, which decide, are unknown.

    Raises
    ------
    TableError
        If a site that is to validate is nobody's.
    """
    if split.by == "site":
        absent = sorted(set(split.validation_sites) - set(sites))
        if absent:
            known = ", ".join(repr(site) for site in sorted(set(sites)) if site) or "none"
            raise TableError(
                f"expected validation_sites among the sites of the table, {known}, found "
                f"{', '.join(map(repr, absent))}; correct [cohort.split]",
                code="unknown-site",
            )
        roles = [_apart(site in split.validation_sites, known=bool(site)) for site in sites]
    elif split.by == "date":
        first = date.fromisoformat(split.validation_from)
        roles = [_apart(day is not None and day >= first, known=day is not None) for day in days]
    else:
        everybody = list(range(len(ids)))
        drawn = _draw(everybody, split.validation_fraction, ids, event, seed=split.seed)
        roles = [_apart(k in drawn, known=True) for k in everybody]
    rest = [k for k, role in enumerate(roles) if role == "training"]
    tuning = _draw(rest, split.tuning_fraction, ids, event, seed=split.seed + 1)
    return ["tuning" if k in tuning else role for k, role in enumerate(roles)]


def _apart(validates: bool, *, known: bool) -> Role | None:
    if not known:
        return None
    return "validation" if validates else "training"


def _draw(
    among: Sequence[int], share: float, ids: Sequence[str], event: Sequence[bool], *, seed: int
) -> set[int]:
    """Draw a share of those with and of those without the event; of two or more, neither all nor none."""
    drawn: set[int] = set()
    for stream, happened in enumerate((True, False)):
        group = sorted((k for k in among if bool(event[k]) == happened), key=lambda k: ids[k])
        wanted = round(share * len(group))
        if 0 < share < 1 and len(group) > 1:
            wanted = min(max(wanted, 1), len(group) - 1)
        order = np.random.default_rng([seed, stream]).permutation(len(group))
        drawn |= {group[k] for k in order[:wanted]}
    return drawn

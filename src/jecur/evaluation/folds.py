"""Scores of several models: those of a cross-validation, told by a column ``fold`` (and ``repeat``).

Risks of two models are on two scales. Patients are compared within folds, groups are made by each
fold's own cut-off, and nothing is pooled, as `jecur.study.cross_validate` does of its own.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jecur.arrays import IntVector, Vector
from jecur.cohort.cohort import Cohort, Exclusion, Patient
from jecur.cohort.table import Table, name_rows
from jecur.errors import TableError
from jecur.evaluation.score_table import (
    NO_SCORE,
    SEEN,
    RiskColumn,
    RiskGroups,
    read_risk,
    refuse_other_spelling,
)
from jecur.printable import plain_number
from jecur.settings import ScoreSettings
from jecur.survival.risk_groups import is_high_risk

__all__ = [
    "FoldScores",
    "MatchedFolds",
    "has_folds",
    "match_folds",
    "read_folds",
    "refuse_columns_elsewhere",
]

FOLD, REPEAT = "fold", "repeat"
_MEANT = {
    FOLD: r"(cv|k|test|outer)?folds?(id|nr|no|number|index)?",
    REPEAT: r"(cv)?repeats?(id|nr|no|number|index)?|repetition",
    SEEN: r"(was)?seenin(the)?training",
}
_TELLS = {
    FOLD: "the model of each score",
    REPEAT: "the repeat of each score",
    SEEN: "who the model was trained on",
}


@dataclass(frozen=True, slots=True)
class FoldScores:
    """Held-out scores of m rows, a row a patient and repeat; higher means an earlier event."""

    patient: tuple[str, ...]
    risk: Vector
    """(m,) NaN where there is none."""
    repeat: IntVector
    fold: IntVector
    cutoff: Vector | None
    """(m,) of each row's model; None where the table has none."""
    sign_flipped: bool
    label: str


@dataclass(frozen=True, slots=True)
class MatchedFolds:
    """Scores and patients brought together, a row a patient and repeat."""

    patients: list[Patient]
    risk: Vector
    repeat: IntVector
    fold: IntVector
    groups: RiskGroups
    excluded: list[Exclusion]


def has_folds(table: Table) -> bool:
    """Whether a table of scores holds those of more than one model of a cross-validation."""
    columns = [name for name in (REPEAT, FOLD) if name in table.frame]
    return FOLD in columns and len(table.frame[columns].drop_duplicates()) > 1


def refuse_columns_elsewhere(table: Table) -> None:
    """Refuse headings that mean our own columns and are others: they would be passed over in silence.

    Raises
    ------
    TableError
        For what tells several models, or patients that the model was trained on; names the column.
    """
    for name in map(str, table.frame.columns):
        bare = re.sub(r"[\W_]+", "", name.casefold())
        for own, words in _MEANT.items():
            says = own == SEEN or len(set(table.frame[name])) > 1
            if says and own not in table.frame and re.fullmatch(words, bare):
                raise TableError(
                    f"{table.name}: expected {_TELLS[own]} in column '{own}', found column '{name}'; call it "
                    f"'{own}', or otherwise if it tells something else"
                )


def read_folds(table: Table, settings: ScoreSettings) -> FoldScores:
    """Read held-out scores.

    Raises
    ------
    TableError
        If a fold is no whole number, a patient has two rows in a repeat, or not every patient is in
        every repeat; names column and rows. If the scores are declared probabilities: nothing is asked
        of their level here.
    """
    if settings.probability:
        raise TableError(
            f"{table.name}: expected the scores of one model where they are declared probabilities, found "
            f"those of several (column '{FOLD}'), which are compared by their order within folds alone; "
            "leave out --probability (probability=True)"
        )
    ids = table.identifiers(settings.patient, "patient of a score")
    repeat = _whole(table, REPEAT) if REPEAT in table.frame else pd.Series(1, index=ids.index)
    fold = _whole(table, FOLD)
    twice = pd.DataFrame({"id": ids, "repeat": repeat}).duplicated(keep=False)
    if twice.any():
        who = ids[twice].iloc[0]
        rows = ids[twice & (ids == who)].index
        raise TableError(
            f"{table.name}: expected one score a patient and repeat, found {who!r} in "
            f"{name_rows(rows)}; pool a patient's slides into one score, or number the repeats in a "
            f"column '{REPEAT}'",
            code="duplicate-patient",
        )
    n_repeats = repeat.nunique()
    short = ids[ids.map(ids.value_counts()) < n_repeats]
    if len(short):
        raise TableError(
            f"{table.name}: expected every patient in each of {n_repeats} repeats, found "
            f"{short.iloc[0]!r} in {name_rows(short[short == short.iloc[0]].index)} alone; give the "
            "rows of whole repeats",
            code="incomplete-repeat",
        )
    found = read_risk(table, settings)
    return FoldScores(
        patient=tuple(ids),
        risk=found.risk.reindex(ids.index).to_numpy(np.float64),
        repeat=repeat.to_numpy(np.int64),
        fold=fold.to_numpy(np.int64),
        cutoff=_cutoffs(table, found),
        sign_flipped=found.sign_flipped,
        label=settings.label or settings.column,
    )


def _cutoffs(table: Table, found: RiskColumn) -> Vector | None:
    """Cut-off of each row's model, turned as the risks are; None where there are none.

    Raises
    ------
    TableError
        If some scores have one and others do not.
    """
    if "cutoff" not in table.frame:
        return None
    values = table.numbers("cutoff", "cut-off", ("",))
    if values.isna().all():
        return None
    lacking = values[values.isna() & ~found.absent]
    if len(lacking):
        raise TableError(
            f"{table.name}: expected a cut-off beside every score in column 'cutoff', found none in "
            f"{name_rows(lacking.index)}; fill them in, or empty the column to divide each fold at its median"
        )
    return np.asarray(-values if found.sign_flipped else values, dtype=np.float64)


def _whole(table: Table, name: str) -> pd.Series:
    values = table.numbers(name, "number of a fold", ())
    wrong = values[~np.isfinite(values) | (values != values.round())]
    if len(wrong):
        raise TableError(
            f"{table.name}: expected whole numbers in column '{name}', found others in "
            f"{name_rows(wrong.index)}"
        )
    return values.astype(np.int64)


def match_folds(
    cohort: Cohort, given: FoldScores, settings: ScoreSettings, name: str
) -> MatchedFolds:
    """Pair patients of every role with their held-out scores; the others get a reason.

    The role says who may be trained on; a held-out score is from a model that was not.

    Raises
    ------
    TableError
        If no patient of the scores is in the clinical table.
    """
    scored = {p for p, risk in zip(given.patient, given.risk, strict=True) if np.isfinite(risk)}
    lost = {p for p, risk in zip(given.patient, given.risk, strict=True) if not np.isfinite(risk)}
    by_id = {p.id: p for p in cohort.patients if p.id in scored - lost}
    excluded = [
        Exclusion(p.id, p.role, "score missing" if p.id in lost else NO_SCORE)
        for p in cohort.patients
        if p.id not in by_id
    ]
    refuse_other_spelling(
        given.patient,
        [*(p.id for p in cohort.patients), *(e.patient for e in cohort.excluded)],
        [e.patient for e in excluded if e.reason == NO_SCORE],
        name,
    )
    rows = np.array([k for k, p in enumerate(given.patient) if p in by_id], dtype=np.int64)
    if not rows.size:
        raise TableError(
            f"{name}: expected held-out scores of patients in the clinical table, found none; the "
            "identifiers must be the same texts",
            code="no-match",
        )
    risk, repeat, fold = given.risk[rows], given.repeat[rows], given.fold[rows]
    groups = _groups(given, rows, (repeat, fold), settings)
    patients = [by_id[given.patient[k]] for k in rows]
    return MatchedFolds(patients, risk, repeat, fold, groups, excluded)


def _groups(
    given: FoldScores,
    rows: IntVector,
    models: tuple[IntVector, IntVector],
    settings: ScoreSettings,
) -> RiskGroups:
    """Divide each fold by the cut-off declared, by that of its rows, or at its own median."""
    risk = given.risk[rows]
    within = (
        f"Column '{FOLD}' names the model of each score: patients are compared within folds only."
    )
    sign = -1.0 if given.sign_flipped else 1.0
    if settings.cutoff is not None:
        cutoff = np.full(risk.shape, sign * settings.cutoff)
        rule = f"High risk: beyond {plain_number(settings.cutoff)}, given with the scores."
    elif given.cutoff is not None:
        cutoff = given.cutoff[rows]
        rule = "High risk: beyond the cut-off in the row (column 'cutoff')."
    else:
        cutoff = pd.Series(risk).groupby([*models]).transform("median").to_numpy(np.float64)
        rule = (
            "No cut-off was given: high risk is the half beyond the median of each fold. This is no "
            "locked cut-off."
        )
    locked = settings.cutoff is not None or given.cutoff is not None
    return RiskGroups(is_high_risk(risk - cutoff, 0.0), "score", None, f"{within} {rule}", locked)

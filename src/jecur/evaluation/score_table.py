"""Scores as somebody hands them over: one row a patient, a number or one of two texts."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jecur.arrays import BoolVector, Vector
from jecur.cohort.plausible.words import one_id, spelled_out
from jecur.cohort.table import Table, list_cells, name_rows
from jecur.errors import TableError
from jecur.printable import plain_number
from jecur.settings import ScoreSettings
from jecur.statistics.results import RiskMeaning
from jecur.survival.risk_groups import is_high_risk

__all__ = [
    "NO_SCORE",
    "SEEN",
    "GivenScores",
    "RiskColumn",
    "RiskGroups",
    "read_risk",
    "read_scores",
    "refuse_other_spelling",
    "split_by_risk",
]

NO_SCORE = "no score"
"""Why a patient is left out of whom the table of scores says nothing."""
OWN_COLUMN = "risk"
"""Our own score column: a number between 0 and 1, higher is worse."""
SEEN = "seen_in_training"
"""Our own column of patients that the model was trained on; it counts beside whatever score."""
_TRUE, _FALSE = ("true", "1"), ("false", "0", "")


@dataclass(frozen=True, slots=True)
class GivenScores:
    """Scores of m patients, signs flipped where needed so that higher means an earlier event."""

    patient: tuple[str, ...]
    risk: Vector
    """(m,) NaN where there is none."""
    unusable: tuple[str, ...]
    """(m,) why a patient cannot be evaluated, "" if they can."""
    sign_flipped: bool
    """The column was multiplied by -1."""
    texts: tuple[str, str] | None
    """(low, high) texts, where the column held texts."""
    own_cutoff: float | None
    """Cut-off recorded beside our own scores."""
    label: str


@dataclass(frozen=True, slots=True)
class RiskGroups:
    """Who is at high risk, and by what rule."""

    high_risk: BoolVector
    """(n,)"""
    meaning: RiskMeaning
    cutoff: float | None
    """On that scale; None where two values are two groups."""
    rule: str
    """A sentence."""
    locked: bool
    """The rule was fixed before these patients were seen."""


@dataclass(frozen=True, slots=True)
class RiskColumn:
    """The column of scores, turned so that higher means an earlier event."""

    risk: pd.Series
    absent: pd.Series
    """Where the table says that there is none."""
    texts: tuple[str, str] | None
    sign_flipped: bool


def read_risk(table: Table, settings: ScoreSettings) -> RiskColumn:
    """Read the column of scores.

    Raises
    ------
    TableError
        As `read_scores`.
    """
    text = table.column(settings.column, "score")
    absent = text.isin(settings.missing_values)
    if settings.high_value:
        risk, texts = _two_texts(table, text[~absent], settings)
        return RiskColumn(risk, absent, texts, sign_flipped=False)
    risk = table.numbers(settings.column, "score", settings.missing_values)
    sign_flipped = _sign_flipped(table, settings)
    return RiskColumn(-risk if sign_flipped else risk, absent, None, sign_flipped)


def read_scores(table: Table, settings: ScoreSettings) -> GivenScores:
    """Read a table of scores of one model.

    Raises
    ------
    TableError
        If a column is absent, a patient has two rows, a cell is no number, the direction of the
        score was not declared, or our own columns tell of several models; names column and rows.
    """
    ids = table.identifiers(settings.patient, "patient of a score")
    _refuse_repeats(table, ids)
    _refuse_several_models(table, settings)
    found = read_risk(table, settings)
    seen, why = _text_or_nothing(table, SEEN), _own_text(table, settings, "code")
    reasons = [
        (f"not scored: {code}" if code else "score missing")
        if gone
        else "the model was trained on this patient"
        if known
        else ""
        for gone, known, code in zip(found.absent, _truths(table, seen), why, strict=True)
    ]
    return GivenScores(
        tuple(ids),
        found.risk.reindex(ids.index).to_numpy(dtype=np.float64),
        tuple(reasons),
        found.sign_flipped,
        found.texts,
        _own_cutoff(table, settings),
        settings.label or ("Classifier" if settings.column == OWN_COLUMN else settings.column),
    )


def refuse_other_spelling(
    scored: Iterable[str], known: Iterable[str], lacking: Iterable[str], name: str
) -> None:
    """Refuse scores that miss their patient by the spelling alone: both would be left out.

    Parameters
    ----------
    scored
        Patients of the scores.
    known
        Everybody in the clinical table.
    lacking
        Those of them who have no score.
    name
        Of the table of scores.

    Raises
    ------
    TableError
        With code ``no-match``.
    """
    everybody = set(known)
    nobody = {one_id(patient): patient for patient in scored if patient not in everybody}
    pairs = [(nobody[one_id(p)], p) for p in lacking if one_id(p) in nobody]
    if pairs:
        (score, patient), others = pairs[0], len(pairs) - 1
        more = f" and {others} more" if others else ""
        raise TableError(
            f"{name}: expected patients as the clinical table spells them, found "
            f"{spelled_out((score,))} for {spelled_out((patient,))}{more}, who would be left out without a "
            "score; spell them alike (capital letters, blanks, alphabet, zeros in front, .0 at the end)",
            code="no-match",
        )


def split_by_risk(risk: Vector, given: GivenScores, settings: ScoreSettings) -> RiskGroups:
    """Divide patients in two by the declared cut-off, by two values, or at the median.

    Parameters
    ----------
    risk
        (n,) of the patients to be evaluated, sign flipped where needed.

    Raises
    ------
    TableError
        If a probability is declared and a score is none.
    """
    cutoff = given.own_cutoff if settings.cutoff is None else settings.cutoff
    probability = settings.probability
    if probability is None:
        probability = settings.column == OWN_COLUMN and not given.sign_flipped
    remedy = (
        "leave out --probability"
        if settings.probability
        else "say --no-probability (probability=False), or name the column otherwise"
    )
    if probability and (given.sign_flipped or not np.all((risk >= 0) & (risk <= 1))):
        raise TableError(
            f"expected probabilities of the event in column '{settings.column}', between 0 and 1 "
            f"and higher where the event is more likely, found others; {remedy}"
        )
    values, given_values = np.unique(risk), np.unique(given.risk[np.isfinite(given.risk)])
    if values.size < given_values.size == 2:
        values = given_values  # the group of which nobody is left is one all the same
    two: RiskMeaning = "group" if values.size <= 2 else "score"
    meaning: RiskMeaning = "probability" if probability else two
    if cutoff is not None:
        sign = -1.0 if given.sign_flipped else 1.0
        side = "below" if given.sign_flipped else "above"
        rule = f"High risk: {settings.column} {side} {plain_number(cutoff)}, given with the scores."
        high = is_high_risk(risk, sign * cutoff)
        return RiskGroups(high, meaning, sign * cutoff, rule, locked=True)
    if values.size <= 2:
        names = given.texts or tuple(
            plain_number(-v if given.sign_flipped else v) for v in values.tolist()
        )
        rule = f"High risk: {settings.column} is {names[-1]}; there are two groups."
        if len(names) < 2:
            rule = f"Nobody is called high risk: {settings.column} is {names[0]} in everybody."
        return RiskGroups(_upper_of_two(risk, values, given), "group", None, rule, locked=True)
    middle = float(np.median(risk))
    shown = -middle if given.sign_flipped else middle
    rule = (
        f"No cut-off was given: high risk is the half beyond the median of these patients' "
        f"{settings.column} ({plain_number(shown, 6)}). This is no locked cut-off; another cohort's median "
        "differs."
    )
    return RiskGroups(is_high_risk(risk, middle), meaning, middle, rule, locked=False)


def _upper_of_two(risk: Vector, values: Vector, given: GivenScores) -> BoolVector:
    """Say who has the higher of at most two values; nobody where there is one number alone."""
    if values.size < 2 and not given.texts:
        return np.zeros(risk.shape, dtype=np.bool_)
    return is_high_risk(risk, float(values[0]) if values.size == 2 else 0.0)


def _refuse_repeats(table: Table, ids: pd.Series) -> None:
    empty = ids[ids == ""]
    if len(empty):
        raise TableError(
            f"{table.name}: expected a patient in every row of column '{ids.name}', found none in "
            f"{name_rows(empty.index)}"
        )
    repeated = ids[ids.duplicated(keep=False)]
    if len(repeated):
        rows = repeated[repeated == repeated.iloc[0]].index
        raise TableError(
            f"{table.name}: expected one score a patient in column '{ids.name}', found "
            f"{repeated.iloc[0]!r} in {name_rows(rows)}; pool a patient's slides into one score",
            code="duplicate-patient",
        )


def _refuse_several_models(table: Table, settings: ScoreSettings) -> None:
    """Refuse risks of models whose scales differ: no cut-off and no median is common to them."""
    for column in ("model", "cutoff"):
        cells = _own_text(table, settings, column)
        values = list(dict.fromkeys(cells[cells != ""]))
        if len(values) > 1:
            firsts = [int(cells.index[cells == value][0]) for value in values]
            raise TableError(
                f"{table.name}: expected risks of one model, found {len(values)} in column '{column}', "
                f"the first of each in {name_rows(firsts)}: their scales differ; evaluate each "
                "model's rows alone, or number the models in a column 'fold', as jecur crossval does",
                code="several-models",
            )


def _two_texts(
    table: Table, given: pd.Series, settings: ScoreSettings
) -> tuple[pd.Series, tuple[str, str]]:
    found = sorted(set(given))
    others = [value for value in found if value != settings.high_value]
    if settings.high_value not in found or len(others) != 1:
        raise TableError(
            f"{table.name}: expected {settings.high_value!r} and one other text in column "
            f"'{settings.column}', found {', '.join(map(repr, found[:5]))}; declare the text of "
            "high risk, or missing_values"
        )
    return (given == settings.high_value).astype(float), (others[0], settings.high_value)


def _sign_flipped(table: Table, settings: ScoreSettings) -> bool:
    if settings.column == OWN_COLUMN:
        if settings.higher == "better":
            raise TableError(
                f"{table.name}: expected higher to be worse in column 'risk', found it declared "
                "better; name the column otherwise"
            )
        return False
    if not settings.higher:
        raise TableError(
            f"{table.name}: expected the direction of '{settings.column}' to be declared, found "
            "none; say whether higher is worse or better (--higher), or which text means high risk "
            "(--high-value)",
            code="no-direction",
        )
    return settings.higher == "better"


def _own_text(table: Table, settings: ScoreSettings, column: str) -> pd.Series:
    """Column that `jecur score` wrote beside the risks; empty where the scores are somebody else's."""
    return _text_or_nothing(table, column if settings.column == OWN_COLUMN else "")


def _text_or_nothing(table: Table, column: str) -> pd.Series:
    if column in table.frame:
        return table.column(column, "scores")
    return pd.Series("", index=table.frame.index, name=column)


def _truths(table: Table, cells: pd.Series) -> BoolVector:
    """Read True and False as we write them and as a spreadsheet saves them; empty is False."""
    texts = cells.str.casefold()
    odd = cells[~texts.isin((*_TRUE, *_FALSE))]
    if len(odd):
        raise TableError(
            f"{table.name}: expected True or False in column '{cells.name}', found "
            f"{list_cells(odd)}; write them so: patients that the model was trained on are left out"
        )
    return np.asarray(texts.isin(_TRUE), dtype=np.bool_)


def _own_cutoff(table: Table, settings: ScoreSettings) -> float | None:
    """Cut-off that `jecur score` wrote beside the risks, if all rows agree."""
    if settings.column != OWN_COLUMN or "cutoff" not in table.frame:
        return None
    found = table.numbers("cutoff", "cut-off", ("",)).dropna().unique()
    return float(found[0]) if len(found) == 1 else None

"""What people hand over, lists, arrays, and columns of a DataFrame, as numbers of the same patients.

A column knows its rows by name. Two columns of the same length whose rows are named in another order
are not of the same patients in the same order, and no estimator could tell: so that is refused.
"""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jecur.arrays import BoolVector, Vector
from jecur.errors import JecurError, SettingsError, TableError

__all__ = [
    "check_horizon",
    "check_times",
    "column_names",
    "in_model_order",
    "numbers",
    "same_patients",
    "truths",
]

_OF_TIMES = {"horizons", "thresholds"}
"""Arguments that have no row a patient."""
P = ParamSpec("P")
R = TypeVar("R")


def same_patients(function: Callable[P, R]) -> Callable[P, R]:
    """Refuse columns whose rows are named otherwise: they are not of the same patients."""
    places = list(signature(function).parameters)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        given = dict(zip(places, args, strict=False)) | kwargs
        named = [v for name, v in given.items() if name not in _OF_TIMES and _has_rows(v)]
        for other in named[1:]:
            if not named[0].index.equals(other.index):  # type: ignore[attr-defined]
                raise TableError(
                    "expected columns of the same rows in the same order, found rows named "
                    f"{_head(named[0])} and {_head(other)}; take them from one table, or give "
                    "`.to_numpy()` of each if the order is right",
                    code="other-rows",
                )
        return function(*args, **kwargs)

    return checked


def _has_rows(value: object) -> bool:
    """Whether it is a column or a table of pandas; a list has an ``index`` too, which is a method."""
    return hasattr(getattr(value, "index", None), "equals")


def _head(value: Any) -> str:  # noqa: ANN401 - a column of pandas
    names = [str(name) for name in value.index[:3]]
    return ", ".join(names) + (", ..." if len(value.index) > 3 else "")


def column_names(table: object, names: tuple[str, ...] | None) -> tuple[str, ...]:
    """Names of covariates, each another: those given, or a DataFrame's own.

    Raises
    ------
    TableError
        If there are none, two of one name, or those of a DataFrame in another order than its columns.
    """
    columns = getattr(table, "columns", None)
    own = getattr(table, "name", None)
    if columns is not None:
        found = tuple(str(name) for name in columns)
    else:
        found = () if own is None else (str(own),)
    named = found if names is None else names
    if not isinstance(named, tuple | list) or not all(isinstance(name, str) for name in named):
        raise TableError(f"expected names of covariates as a tuple of texts, found {_short(names)}")
    named = tuple(named)
    if not named:
        raise TableError(
            "expected a name for each covariate, found none; give a DataFrame, or names=(...)"
        )
    twice = [name for name in dict.fromkeys(named) if named.count(name) > 1]
    if twice:
        raise TableError(
            f"expected covariates of different names, found {', '.join(twice)} twice; their ratios could "
            "not be told apart: rename the columns, or take one out"
        )
    if named != found and sorted(named) == sorted(found):
        raise TableError(
            f"expected names in the order of the columns, {', '.join(found)}, found {', '.join(named)}; "
            "leave names out, or order the columns"
        )
    return named


def in_model_order(table: ArrayLike, names: tuple[str, ...]) -> ArrayLike:
    """Return covariates of a model in its order: a DataFrame's by name, all else as it stands.

    Raises
    ------
    TableError
        If a DataFrame lacks one.
    """
    columns = getattr(table, "columns", None)
    if columns is None or not hasattr(table, "iloc"):
        return table
    found = [str(name) for name in columns]
    lacking = [name for name in names if found.count(name) != 1]
    if lacking:
        raise TableError(
            f"expected the columns {', '.join(names)} of the model, each once, found "
            f"{', '.join(found)}; name them so, or give `.to_numpy()` in the model's order"
        )
    return table.iloc[:, [found.index(name) for name in names]]  # type: ignore[no-any-return]


def numbers(
    values: ArrayLike, what: str, error: type[JecurError] = TableError
) -> NDArray[np.float64]:
    """Return values as float64, what is missing or masked as NaN; text, dates and durations are no numbers.

    Parameters
    ----------
    values
        Any shape.
    what
        Names them in the message.
    error
        Class to raise.
    """
    if hasattr(values, "isna") and hasattr(values, "to_numpy"):
        _refuse_text_columns(values, what, error)
    found = np.asarray(values)
    if np.ma.isMaskedArray(values):
        found = np.ma.filled(np.ma.asarray(values).astype(object), None)
    if found.dtype.kind in "fiub":
        return found.astype(np.float64)
    if found.dtype.kind in "mM":  # as plain values they would be integers, of nanoseconds
        raise error(
            f"expected numbers in {what}, found {'durations' if found.dtype.kind == 'm' else 'dates'}; "
            "count them in months first"
        )
    flat = [_number(value, what, error) for value in found.ravel().tolist()]
    return np.array(flat, dtype=np.float64).reshape(found.shape)


def _refuse_text_columns(table: Any, what: str, error: type[JecurError]) -> None:  # noqa: ANN401
    """Name the columns of a DataFrame that hold text: they need levels first."""
    columns = getattr(table, "columns", None)
    if columns is None:
        return
    texts = [str(c) for c, kind in table.dtypes.items() if kind.name in {"category", "str"}]
    texts += [
        str(c)
        for c, kind in table.dtypes.items()
        if kind.name in {"object", "string"} and table[c].map(lambda v: isinstance(v, str)).any()
    ]
    if texts:
        raise error(
            f"expected numbers in {what}, found text or categories in {', '.join(texts)}; make 0/1 "
            "columns of them: pandas.get_dummies(table, drop_first=True)"
        )


def _number(value: object, what: str, error: type[JecurError]) -> float:
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return float("nan")
    if isinstance(value, int | float | np.number) and not isinstance(value, np.timedelta64):
        return float(value)
    raise error(f"expected numbers in {what}, found {_short(value)}; recode it first")


def truths(values: ArrayLike, what: str, error: type[JecurError]) -> BoolVector:
    """Return 0/1 or False/True as bool; anything else, and what is missing, is refused."""
    found = np.asarray(values)
    if found.dtype == np.bool_ and not np.ma.isMaskedArray(values):
        return found
    coded = numbers(values, what, error)
    odd = ~((coded == 0) | (coded == 1))
    if odd.any():
        first = found.ravel()[int(np.flatnonzero(odd.ravel())[0])]
        raise error(f"expected {what} coded 0 or 1, found {_short(first)}; recode it first")
    return np.asarray(coded == 1)


def check_times(times: ArrayLike) -> Vector:
    """Return (m,) times at which a curve is asked for.

    Raises
    ------
    SettingsError
        If one is not a number.
    """
    at = np.atleast_1d(numbers(times, "times", SettingsError))
    if np.isnan(at).any():
        raise SettingsError("expected times in months, found one that is not a number")
    return at


def check_horizon(months: float, name: str = "horizon") -> float:
    """Return a horizon.

    Raises
    ------
    SettingsError
        If it is no finite number of months above 0.
    """
    number = isinstance(months, int | float | np.number) and not isinstance(months, bool)
    if not number or not np.isfinite(months) or not months > 0:
        raise SettingsError(f"{name}: expected months above 0, found {_short(months)}")
    return float(months)


def _short(value: object) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else text[:57] + "..."

"""What a public function was called with, held against what its signature says."""

import os
from collections.abc import Callable, Iterator
from functools import cache, wraps
from inspect import signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from jecur.errors import SettingsError
from jecur.settings.base import plain_value, problems_of_value, shown

__all__ = ["checked"]

P = ParamSpec("P")
R = TypeVar("R")

_PLAIN = (str, int, float, bool)
_MADE_BY = {
    "DataFrame": "a DataFrame of pandas",
    "Recipe": "jecur.load_model(path).recipe",
    "Slide": "jecur.open_slide(path)",
    "Study": "jecur.read_study(path)",
}
"""What to write for an object that nobody makes by its own name."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Refuse arguments that are not what the signature says, before the function is entered.

    Texts, paths, numbers and their limits, names of a ``Literal``, and objects by their class. A name
    that does not exist is a TypeError, as for any function.

    Raises
    ------
    SettingsError
        By the function made, naming every argument that is wrong.
    """
    taken = signature(function)

    @cache
    def kinds() -> dict[str, Any]:  # at the first call: the names may be imported after this
        return get_type_hints(function, include_extras=True)

    @wraps(function)
    def door(*args: P.args, **kwargs: P.kwargs) -> R:
        given = taken.bind(*args, **kwargs)
        problems = [
            problem
            for name, value in given.arguments.items()
            if name in kinds()
            for problem in _problems(value, kinds()[name], name)
        ]
        if problems:
            raise SettingsError("; ".join(problems))
        return function(*given.args, **given.kwargs)

    return door


def _problems(value: Any, kind: Any, place: str) -> Iterator[str]:  # noqa: ANN401
    members = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)
    classes = tuple(m for m in members if isinstance(m, type) and m not in (*_PLAIN, NoneType))
    if value is None and NoneType in members:
        return
    if Path in members:
        if not isinstance(value, str | os.PathLike) or not str(value) or "\0" in str(value):
            yield f"{place}: expected a path, found {shown(value)}"
    elif get_origin(kind) is tuple:
        yield from _problems_of_items(value, get_args(kind)[0], place)
    elif classes:
        if not isinstance(value, classes):
            name = classes[0].__name__
            yield f"{place}: expected {_MADE_BY.get(name, f'jecur.{name}(...)')}, found {_told(value)}"
    else:
        yield from problems_of_value(plain_value(value), kind, place)


def _problems_of_items(value: Any, kind: Any, place: str) -> Iterator[str]:  # noqa: ANN401
    if not isinstance(value, tuple | list):
        yield f"{place}: expected a tuple or a list, found {_told(value)}"
        return
    for i, item in enumerate(value, 1):
        yield from _problems(item, kind, f"{place}[{i}]")


def _told(value: Any) -> str:  # noqa: ANN401
    """Show a plain value; say of any other what it is: a table has no short form."""
    kind = type(value)
    if value is None or isinstance(value, (*_PLAIN, os.PathLike, tuple, list)):
        return shown(value)
    return f"{kind.__name__} of {kind.__module__.partition('.')[0]}"

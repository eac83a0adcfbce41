"""What every stage's settings are made of.

A `Stage` checks itself however it is made: by TOML, command line, Python or `msgspec.structs.replace`.
msgspec alone checks only what it decodes, and lets not-a-number and infinity pass some limits.
"""

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from jecur.errors import SettingsError

__all__ = [
    "Count",
    "CountOrZero",
    "Fraction",
    "Positive",
    "Probability",
    "Seed",
    "Stage",
    "make_settings",
    "plain_value",
    "problems_of_value",
    "rising",
    "shown",
]

Positive = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Probability = Annotated[float, Meta(gt=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]
CountOrZero = Annotated[int, Meta(ge=0)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every stage's settings.

    Raises
    ------
    SettingsError
        If a value has the wrong type, lies out of range, is no finite number or no known name, or
        contradicts another; all of them are named. (TypeError for a name that does not exist, as for
        any keyword argument.)
    """

    def __post_init__(self) -> None:
        """Check every field; numbers and sequences take the type that the field declares."""
        problems = []
        for field in msgspec.structs.fields(type(self)):
            value = plain_value(getattr(self, field.name))
            found = list(problems_of_value(value, field.type, field.name))
            problems += found
            if not found:
                msgspec.structs.force_setattr(self, field.name, _declared(value, field.type))
        problems = problems or list(self.contradictions())
        if problems:
            raise SettingsError("; ".join(problems))

    def contradictions(self) -> Iterator[str]:
        """Yield what two settings, each allowed, make impossible together."""
        yield from ()


def rising(stage: Stage, lower: str, upper: str) -> Iterator[str]:
    """Yield a problem where one setting does not lie below another."""
    low, high = getattr(stage, lower), getattr(stage, upper)
    if not low < high:
        yield f"expected {lower} below {upper}, found {low:g} and {high:g}"


Settings = TypeVar("Settings", bound="Stage")


def make_settings(raw: Mapping[str, Any], kind: type[Settings], place: str = "") -> Settings:
    """Make settings of plain values, from a file or the command line.

    Parameters
    ----------
    raw, kind, place
        As `_problems_of_table`: the values, the class, and where they stand.

    Raises
    ------
    SettingsError
        Naming everything that is wrong at once.
    """
    problems = list(_problems_of_table(raw, kind, place))
    if problems:
        raise SettingsError("; ".join(problems))
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:  # a contradiction
        raise SettingsError(str(error)) from error


def _problems_of_table(raw: Mapping[str, Any], kind: type[Stage], place: str = "") -> Iterator[str]:
    """Yield everything that is wrong with a table of settings, one line each, its place in front.

    Parameters
    ----------
    raw
        Plain values, as TOML gives them.
    kind
        The settings that they should make.
    place
        Of the table, such as ``training``; "" for the whole file.
    """
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    at = f"{place}." if place else ""
    for name in raw:
        if name not in fields:
            where = f"[{place}]" if place else "the study file"
            yield f"{at}{name}: expected a setting of {where}, found no such name{_near(name, _known(kind))}"
    for name, field in fields.items():
        if name in raw:
            yield from problems_of_value(raw[name], field.type, at + name)
        elif field.required:
            yield f"{at}{name}: expected a value, found none"


def problems_of_value(value: Any, kind: Any, place: str) -> Iterator[str]:  # noqa: ANN401
    """Yield what is wrong with one plain value, ``kind`` being the type that its field declares."""
    stage = _stage_in(kind)
    if stage is not None and isinstance(value, Mapping):
        problems = list(_problems_of_table(value, stage, place))
        yield from problems or _refusal(value, kind, place)
    elif stage is not None and get_origin(kind) is tuple and isinstance(value, list):
        for i, item in enumerate(value):
            yield from problems_of_value(item, stage, f"{place}[{i + 1}]")
    else:
        yield from _refusal(value, kind, place)


def _refusal(value: Any, kind: Any, place: str) -> Iterator[str]:  # noqa: ANN401
    choices = _choices(kind)
    known = any(type(value) is type(choice) and value == choice for choice in choices)
    if choices and not known and not (value is None and NoneType in get_args(kind)):
        listed = ", ".join(repr(choice) for choice in choices)
        near = _near(value, {str(choice): str(choice) for choice in choices})
        yield f"{place}: expected one of {listed}, found {shown(value)}{near}"
        return
    if not _is_finite(value):
        yield f"{place}: expected a finite number, found {shown(value)}"
        return
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        yield f"{place}: {_in_words(str(error), value)}"


_TYPES = {
    "`str`": "text",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "a table",
    "`null`": "nothing",
}


def _in_words(refusal: str, value: Any) -> str:  # noqa: ANN401
    """Say msgspec's refusal in the terms of a settings file, with the value that was found."""
    said, _, where = refusal.partition(" - at `$")
    item = re.match(r"\[(\d+)\]", where)
    if item and isinstance(value, list | tuple):
        value = value[int(item[1])]
    if not said.startswith("Expected"):
        return said
    expected = said.partition(", got ")[0].replace("Expected", "expected", 1)
    expected = expected.replace(" | ", "` or `")
    for name, words in _TYPES.items():
        expected = expected.replace(name, words)
    return f"{expected}, found {shown(value)}"


def plain_value(value: Any) -> Any:  # noqa: ANN401
    """Python's own number for one of NumPy, path as text, an array of one axis as a list.

    A float32 is the number that it shows: 0.3, not 0.30000001192092896.
    """
    if isinstance(value, PurePath):
        return str(value)
    # NumPy's, which is not loaded here
    axes = getattr(value, "shape", None) if hasattr(value, "dtype") else None
    if axes == ():
        plain = value.item()
        return float(str(value)) if value.dtype.kind == "f" else plain
    if axes is not None and len(axes) == 1:
        value = list(value)
    if type(value) in {list, tuple}:
        return type(value)(plain_value(item) for item in value)
    return value


def _declared(value: Any, kind: Any) -> Any:  # noqa: ANN401
    """Value as the field's type has it: 1 as 1.0 where numbers are real, lists as tuples."""
    return msgspec.convert(value, kind)


def _is_finite(value: Any) -> bool:  # noqa: ANN401
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list | tuple):
        return all(_is_finite(item) for item in value)
    return True


def _stage_in(kind: Any) -> type[Stage] | None:  # noqa: ANN401
    """Return the settings class inside an optional or a tuple type."""
    if isinstance(kind, type) and issubclass(kind, Stage):
        return kind
    if get_origin(kind) in (tuple, Union, UnionType):
        return next((s for arg in get_args(kind) if (s := _stage_in(arg))), None)
    return None


def _known(kind: type[Stage]) -> dict[str, str]:
    """Name -> the way to it, of the settings of a table and of the tables inside it."""
    known = {}
    for field in msgspec.structs.fields(kind):
        inner = (
            field.type if isinstance(field.type, type) and issubclass(field.type, Stage) else None
        )
        nested = msgspec.structs.fields(inner) if inner else ()
        known.update({deep.name: f"{field.name}.{deep.name}" for deep in nested})
    return known | {field.name: field.name for field in msgspec.structs.fields(kind)}


def _choices(kind: Any) -> tuple[Any, ...]:  # noqa: ANN401
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return tuple(choice for arg in get_args(kind) for choice in _choices(arg))
    return ()


def _near(name: Any, known: Mapping[str, str]) -> str:  # noqa: ANN401
    close = difflib.get_close_matches(str(name), [k for k in known if k], n=1, cutoff=0.6)
    return f"; did you mean {known[close[0]]!r}?" if close else ""


def shown(value: Any) -> str:  # noqa: ANN401
    """Show a value in a message, in at most 60 letters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

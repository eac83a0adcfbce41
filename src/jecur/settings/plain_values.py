"""What a settings file may hold at all, before it is asked what it means.

A file of settings is short, shallow, and made of finite numbers and texts that can be seen. What is
not is refused here with its place, whatever setting it was meant for.
"""

import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jecur.errors import SettingsError
from jecur.printable import is_printable

__all__ = ["read_plain_toml"]

_MOST_BYTES = 2**20
_DEEPEST = 12
_MOST_NESTED = 64
"""Brackets or dots in one line's name: beyond this it was not written by hand."""
_LARGEST = 1e15
_LONGEST_TEXT = 4096
_MOST_ENTRIES = 1000
"""Of one table or list."""


def read_plain_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of plain values.

    Parameters
    ----------
    path
        At most 1 MiB, nested at most 12 deep; finite numbers up to 1e15 (the settings refuse the others).

    Raises
    ------
    SettingsError
        "no-study-file" if it cannot be read, else with the line or the place in the file.
    """
    text = _text(path)
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{path.name}: expected TOML, found: {error}; correct that line"
        ) from error
    except (RecursionError, ValueError, OverflowError) as error:
        raise SettingsError(
            f"{path.name}: expected TOML of plain values, found nesting or a number beyond all "
            "settings; correct the file"
        ) from error
    problems = list(_problems(found, "", 0))
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise SettingsError(f"{path.name}: {'; '.join(problems[:3])}{more}; correct the file")
    return found


def _text(path: Path) -> str:
    try:
        _refuse_folder_or_giant(path)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:  # not ValueError: our own refusals are that too
        raise SettingsError(
            f"expected a study file at {path.name}, found none that can be read as UTF-8 text; "
            "write one with `jecur init DIR`",
            code="no-study-file",
        ) from error
    for number, line in enumerate(text.splitlines(), 1):
        name = line.split("=", 1)[0]
        if max(line.count("["), line.count("{"), name.count(".")) > _MOST_NESTED:
            raise SettingsError(
                f"{path.name}: expected a setting in line {number}, found more than "
                f"{_MOST_NESTED} brackets or dots; correct that line"
            )
    return text


def _refuse_folder_or_giant(path: Path) -> None:
    if path.is_dir():
        inside = path / "study.toml"
        raise SettingsError(
            f"expected a study file, found the folder {path}; name "
            f"{inside if inside.is_file() else 'the file in it'}",
            code="no-study-file",
        )
    if not path.is_file():
        raise FileNotFoundError(path)
    if path.stat().st_size > _MOST_BYTES:
        raise SettingsError(
            f"{path.name}: expected a study file below {_MOST_BYTES >> 20} MiB, found "
            f"{path.stat().st_size / 2**20:.1f} MiB; write one with `jecur init DIR`"
        )


def _problems(value: Any, place: str, depth: int) -> Iterator[str]:  # noqa: ANN401 - any TOML
    """Tell what no setting can be, each with its place."""
    if depth > _DEEPEST:
        yield f"{place}: expected settings at most {_DEEPEST} deep, found more"
    elif isinstance(value, dict | list) and len(value) > _MOST_ENTRIES:
        yield f"{place or 'the file'}: expected at most {_MOST_ENTRIES} entries, found {len(value)}"
    elif isinstance(value, dict):
        for key, held in value.items():
            name = ascii(key[:40])[1:-1]
            yield from _problems(held, f"{place}.{name}" if place else name, depth + 1)
    elif isinstance(value, list):
        for k, held in enumerate(value):
            yield from _problems(held, f"{place}[{k}]", depth + 1)
    elif isinstance(value, str):
        yield from _text_problems(value, place)
    elif isinstance(value, int | float) and _LARGEST < abs(value) < math.inf:
        shown = "a longer one" if isinstance(value, int) else f"{value:g}"
        yield f"{place}: expected a number from -{_LARGEST:g} to {_LARGEST:g}, found {shown}"


def _text_problems(text: str, place: str) -> Iterator[str]:
    if len(text) > _LONGEST_TEXT:
        yield f"{place}: expected at most {_LONGEST_TEXT} letters, found {len(text)}"
    elif text != "\t" and not is_printable(text):
        yield f"{place}: expected letters that can be seen, found {text[:40]!a}"

"""Every setting with its meaning, kind, default and choices, read from the code that checks it.

The study file of `jecur init`, the page docs/settings.md and the study's own comments all come from
here, so none of them can fall behind.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from jecur.settings.base import Stage
from jecur.settings.study import StudySettings
from jecur.settings.training import EVIDENT_PRESET, PRESETS, Preset

__all__ = [
    "SettingFacts",
    "TableFacts",
    "settings_page",
    "stage_tables",
    "toml_value",
    "with_preset",
]

_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class SettingFacts:
    """One setting.

    Parameters
    ----------
    name
        As in the study file.
    kind
        What it may be, in words: "text", "whole number of at least 1", "list of texts".
    choices
        All values it may take, as TOML; empty if they are not enumerated.
    default
        As TOML; "" if it must be given or is not set.
    needed
        Whether it must be given.
    text
        What it means.
    """

    name: str
    kind: str
    choices: tuple[str, ...]
    default: str
    needed: bool
    text: str


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table of the study file.

    Parameters
    ----------
    name
        Dotted; "" for what stands before the first table.
    text
        What it holds.
    several
        Whether it may stand several times, ``[[name]]``.
    optional
        Whether it is left out unless wanted.
    settings
        Settings in it, without tables inside it.
    """

    name: str
    text: str
    several: bool
    optional: bool
    settings: tuple[SettingFacts, ...]


def stage_tables(
    kind: type[Stage] = StudySettings,
    name: str = "",
    *,
    several: bool = False,
    optional: bool = False,
) -> Iterator[TableFacts]:
    """Every table of the study file, outer ones first, in the order of the code."""
    meanings = _field_texts(kind)
    own, inner = [], []
    for field in msgspec.structs.fields(kind):
        stage, many, maybe = _stage(field.type)
        if stage is None:
            own.append(_setting(field, meanings.get(field.name, "")))
        else:
            inner.append((stage, f"{name}.{field.name}".strip("."), many, maybe))
    yield TableFacts(name, _plain(kind.__doc__ or ""), several, optional, tuple(own))
    for stage, place, many, maybe in inner:
        yield from stage_tables(stage, place, several=many, optional=maybe or optional)


def with_preset(table: TableFacts, preset: Preset) -> TableFacts:
    """Show what a preset sets in place of the defaults of the code, and what ``paper`` has instead."""
    values: Any = {"training": {**PRESETS[preset], "preset": preset}}
    for part in table.name.split("."):
        values = values.get(part, {})
    shown = tuple(
        replace(
            one, default=toml_value(values[one.name]), text=f"{one.text} (paper: {one.default})"
        )
        if one.name in values and not isinstance(values[one.name], dict)
        else one
        for one in table.settings
    )
    return replace(table, settings=shown)


def toml_value(value: Any) -> str:  # noqa: ANN401 - any plain value
    """One value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return repr(value)


def settings_page() -> str:
    """Write docs/settings.md."""
    lines = [_HEAD]
    for bare in stage_tables():
        table = with_preset(bare, EVIDENT_PRESET)
        if not table.settings:
            continue
        place = f"[[{table.name}]]" if table.several else f"[{table.name}]"
        lines += [f"## `{place}`" if table.name else "## Before the first table", "", table.text]
        if table.optional and not table.several:
            lines += ["", "Left out unless wanted."]
        lines += ["", "| setting | what it may be | default | meaning |", "|---|---|---|---|"]
        for one in table.settings:
            may = ", ".join(f"`{c}`" for c in one.choices) or one.kind
            default = (
                "must be given"
                if one.needed
                else (f"`{one.default}`" if one.default else "not set")
            )
            cells = [f"`{one.name}`", may, default, one.text or "as its name says"]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


_HEAD = """# Every setting

Made from the code by `python docs/write_settings.py`; a test holds this page current. `jecur init --table
clinic.xlsx --slides slides` writes a study file with all of them; [Your own slides](own_slides.md) shows the
few that a study needs. A value outside of what is written here, and a name that is not here, is refused with
its place and the choices.
"""


def _setting(field: msgspec.structs.FieldInfo, text: str) -> SettingFacts:
    default = field.default
    if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    shown = "" if default is msgspec.NODEFAULT or default is None else toml_value(default)
    choices = tuple(toml_value(choice) for choice in _literals(field.type))
    return SettingFacts(
        field.name, _words(field.type), choices, shown, field.required, _plain(text)
    )


def _literals(kind: Any) -> tuple[Any, ...]:  # noqa: ANN401
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return tuple(choice for arg in get_args(kind) for choice in _literals(arg))
    return ()


def _stage(kind: Any) -> tuple[type[Stage] | None, bool, bool]:  # noqa: ANN401
    """Stage inside a type, whether there may be several, and whether it may be left out."""
    if isinstance(kind, type) and issubclass(kind, Stage):
        return kind, False, False
    if get_origin(kind) in (tuple, Union, UnionType):
        for arg in get_args(kind):
            stage, _, _ = _stage(arg)
            if stage is not None:
                return stage, get_origin(kind) is tuple, get_origin(kind) is not tuple
    return None, False, False


def _words(kind: Any) -> str:  # noqa: ANN401
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        limits = [text for meta in args[1:] if isinstance(meta, Meta) for text in _limits(meta)]
        return " ".join([_words(args[0]), " and ".join(limits)]).strip()
    if origin is Literal:
        return "one of " + ", ".join(toml_value(choice) for choice in args)
    if origin in (Union, UnionType):
        return " or ".join(_words(arg) for arg in args if arg is not NoneType)
    if origin is tuple:
        inner = [arg for arg in args if arg is not Ellipsis]
        if len(inner) == 1:
            return f"list: {_words(inner[0])}, any number of them"
        return f"list of {len(inner)}: {_words(inner[0])} each"
    return _NAMES.get(kind, "value")


def _limits(meta: Meta) -> Iterator[str]:
    for name, words in (("gt", "above"), ("ge", "from"), ("lt", "below"), ("le", "up to")):
        limit = getattr(meta, name)
        if limit is not None:
            yield f"{words} {limit:g}"
    if meta.min_length:
        yield f"of at least {meta.min_length}"


@cache
def _field_texts(kind: type[Stage]) -> dict[str, str]:
    """Text behind each field in the source of a settings class."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    texts = {}
    for field, after in zip(body, [*body[1:], None], strict=True):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            texts[field.target.id] = str(after.value.value)
    return texts


def _plain(text: str) -> str:
    """One line, without the marks of a docstring."""
    return " ".join(text.replace("``", "`").split())

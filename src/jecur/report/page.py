"""Templates of the report's pages: every text escaped, and none of its characters act."""

import base64
from functools import cache
from importlib import resources
from typing import Any

import jinja2

from jecur.errors import JecurError
from jecur.printable import printable
from jecur.report.tables.table import page_headings, page_reasons, page_rows

__all__ = ["data_uri", "render", "resource"]

_PICTURE_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}


def render(name: str, **values: Any) -> str:  # noqa: ANN401 -- whatever a template shows
    """Fill in one of our templates."""
    tables = {
        "page_headings": page_headings,
        "page_reasons": page_reasons,
        "page_rows": page_rows,
    }
    return _environment().get_template(name).render(**tables, **values)


@cache
def _environment() -> jinja2.Environment:
    """Environment of all pages of a process: each template is read once."""
    return jinja2.Environment(
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(resource),
        auto_reload=False,
    )


def resource(name: str) -> str:
    """Text of one of our own files."""
    folder: Any = resources.files("jecur.report") / "templates"
    return str((folder / name).read_text(encoding="utf-8"))


def data_uri(picture: bytes, owner: str) -> str:
    """Put a picture into the page.

    Raises
    ------
    JecurError
        With code ``bad-picture`` if it is neither PNG nor JPEG.
    """
    for start, kind in _PICTURE_KINDS.items():
        if picture.startswith(start):
            return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"
    raise JecurError(
        f"{owner}: expected a PNG or JPEG picture, found other bytes; write it as one of these",
        code="bad-picture",
    )


def _shown(value: object) -> object:
    """Let no character of a text act in the page; markup of ours is left alone."""
    return printable(value) if type(value) is str else value

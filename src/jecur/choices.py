"""A name that an argument takes: one of those that exist, or refused with all of them named."""

import difflib
from typing import Any, get_args

from jecur.errors import SettingsError

__all__ = ["require_choice"]


def require_choice(argument: str, value: object, kind: Any) -> None:  # noqa: ANN401 - a Literal
    """Refuse a name that does not exist.

    Parameters
    ----------
    argument
        Name of the argument, for the message.
    value
        What was given.
    kind
        The ``Literal`` of the names that exist.

    Raises
    ------
    SettingsError
        With the names that exist, and the nearest of them.
    """
    choices = get_args(kind)
    if isinstance(value, str) and value in choices:
        return
    listed = ", ".join(repr(choice) for choice in choices)
    close = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.6)
    near = f"; did you mean {close[0]!r}?" if close else ""
    raise SettingsError(f"{argument}: expected one of {listed}, found {value!r}{near}")

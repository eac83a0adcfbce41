"""How every call from outside comes in, and what it may come out with."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from jecur.errors import refusal
from jecur.settings.arguments import checked

__all__ = ["door"]

P = ParamSpec("P")
R = TypeVar("R")


def door(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments, and say what the system refuses as the command line says it.

    Raises
    ------
    SettingsError
        By the function made: naming every argument that is wrong.
    SystemRefusedError
        By the function made, where the system has no room, no permission, no such folder.
    """
    inner = checked(function)

    @wraps(function)
    def entered(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return inner(*args, **kwargs)
        except (OSError, MemoryError) as error:
            raise refusal(error) from error

    return entered

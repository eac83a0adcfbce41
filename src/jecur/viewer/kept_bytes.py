"""The most recently used of what is costly to make, bounded in bytes; each is made once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["KeptBytes"]

T = TypeVar("T")


class KeptBytes(Generic[T]):
    """A cache that forgets the longest unused first.

    Parameters
    ----------
    most_bytes
        Of all that is kept; one larger than this is not kept.
    size
        Bytes of one.
    """

    def __init__(self, most_bytes: int, size: Callable[[T], int]) -> None:
        self._most = most_bytes
        self._size = size
        self._bytes = 0
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

    @property
    def n_bytes(self) -> int:
        """Bytes kept now."""
        return self._bytes

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is kept under ``key``, or make it; others who ask meanwhile wait for it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._kept:
                    return self._kept[key]
            try:
                made = make()
            finally:
                with self._lock:
                    self._making.pop(key, None)
            self._keep(key, made)
            return made

    def _keep(self, key: Hashable, made: T) -> None:
        size = self._size(made)
        with self._lock:
            if size > self._most or key in self._kept:
                return
            self._kept[key] = made
            self._bytes += size
            while self._bytes > self._most:
                self._bytes -= self._size(self._kept.popitem(last=False)[1])

"""Open slides, lent to one request at a time: readers are not made for two at once."""

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from jecur.slide.reader import Slide

__all__ = ["SlidePool"]


Key = TypeVar("Key", bound=Hashable)


class SlidePool(Generic[Key]):
    """At most a few open slides, those used last.

    Parameters
    ----------
    open_one
        Opens a slide.
    most
        Open slides at most, lent ones included: each holds decoded tiles (96 MiB) of its own.
    """

    def __init__(self, open_one: Callable[[Key], Slide], *, most: int) -> None:
        self._open = open_one
        self._room = threading.BoundedSemaphore(most)
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[tuple[Key, Slide]] = []
        self._lent = 0

    @contextmanager
    def borrow(self, key: Key) -> Iterator[Slide]:
        """Lend a slide for the length of a block; waits while too many are lent."""
        with self._room:
            slide = self._take(key)
            sound = False
            try:
                yield slide
                sound = True
            finally:
                self._give_back(key, slide, sound=sound)

    def close(self) -> None:
        """Close what is not lent."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, slide in idle:
            slide.close()

    def _take(self, key: Key) -> Slide:
        with self._lock:
            self._lent += 1
            place = next((i for i, (k, _) in enumerate(self._idle) if k == key), None)
            if place is not None:
                return self._idle.pop(place)[1]
            surplus = self._surplus()
        for slide in surplus:
            slide.close()
        try:
            return self._open(key)
        except BaseException:
            with self._lock:
                self._lent -= 1
            raise

    def _surplus(self) -> list[Slide]:
        """Idle slides, the longest unused first, that must make room; the lock is held."""
        n = max(0, self._lent + len(self._idle) - self._most)
        surplus, self._idle = self._idle[:n], self._idle[n:]
        return [slide for _, slide in surplus]

    def _give_back(self, key: Key, slide: Slide, *, sound: bool) -> None:
        with self._lock:
            self._lent -= 1
            if sound:
                self._idle.append((key, slide))
                return
        slide.close()  # whatever went wrong is not lent again

"""Open slides, lent to one request at a time: readers are not made for two at once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jecur.slide.reader import Slide

__all__ = ["SlidePool"]


class SlidePool:
    """At most a few open slides, those used last.

    Parameters
    ----------
    open_number
        Opens a slide.
    most
        Open slides at most, lent ones included: each holds decoded tiles (96 MiB) of its own.
    """

    def __init__(self, open_number: Callable[[int], Slide], *, most: int) -> None:
        self._open = open_number
        self._room = threading.BoundedSemaphore(most)
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[tuple[int, Slide]] = []
        self._lent = 0

    @contextmanager
    def borrow(self, number: int) -> Iterator[Slide]:
        """Lend a slide for the length of a block; waits while too many are lent."""
        with self._room:
            slide = self._take(number)
            sound = False
            try:
                yield slide
                sound = True
            finally:
                self._give_back(number, slide, sound=sound)

    def close(self) -> None:
        """Close what is not lent."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, slide in idle:
            slide.close()

    def _take(self, number: int) -> Slide:
        with self._lock:
            self._lent += 1
            place = next((k for k, (n, _) in enumerate(self._idle) if n == number), None)
            if place is not None:
                return self._idle.pop(place)[1]
            surplus = self._surplus()
        for slide in surplus:
            slide.close()
        try:
            return self._open(number)
        except BaseException:
            with self._lock:
                self._lent -= 1
            raise

    def _surplus(self) -> list[Slide]:
        """Idle slides, the longest unused first, that must make room; the lock is held."""
        n = max(0, self._lent + len(self._idle) - self._most)
        surplus, self._idle = self._idle[:n], self._idle[n:]
        return [slide for _, slide in surplus]

    def _give_back(self, number: int, slide: Slide, *, sound: bool) -> None:
        with self._lock:
            self._lent -= 1
            if sound:
                self._idle.append((number, slide))
                return
        slide.close()  # whatever went wrong is not lent again

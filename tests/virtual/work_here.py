"""Slides worked off in the test's own process where a command starts one worker; it starts more as ever."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from jecur.runs.worker_pool import Finished, work_off
from jecur.runs.workers import working_with


class _Here:
    """An engine of the product, as a cluster is one."""

    def work_off(
        self,
        work: Callable[[Any], Any],
        items: Sequence[Any],
        *,
        workers: int,
        limit_s: Callable[[Any], float] | None = None,
    ) -> Iterator[Finished]:
        """Apply the work to every item, in order."""
        if workers > 1:
            yield from work_off(work, items, workers=workers, limit_s=limit_s)
            return
        for index, item in enumerate(items):
            begun = time.monotonic()
            answer = work(item)
            yield Finished(index, answer, time.monotonic() - begun)


def in_this_process() -> AbstractContextManager[None]:
    """Work of one worker is done here, for the length of a block."""
    return working_with(_Here())


def in_real_processes() -> AbstractContextManager[None]:
    """Work is done as a user has it, for the length of a block."""
    return working_with(None)

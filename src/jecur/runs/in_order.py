"""Work handed to threads and taken back in the order it was given."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int
) -> Iterator[Result]:
    """Apply ``work`` to every item in threads; yield the results in the items' order.

    Items are drawn here, one at a time, and never more than two a thread ahead of what was taken
    back: memory does not grow with their number.

    Parameters
    ----------
    work
        Lets other threads run meanwhile, as numpy, ONNX Runtime and hashing do.
    items
        Drawn in the calling thread.
    threads
        1 or fewer works in the calling thread.
    """
    if threads <= 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="jecur-tiles") as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

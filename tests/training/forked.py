"""Processes of their own that need not import torch: forked from one that has, and has done nothing else.

An import takes four seconds of a processor, the training of these tests less than one.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

__all__ = ["in_process"]

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["jecur.training.task"])
PATIENCE_S = 120


@contextmanager
def in_process(
    act: Callable[..., None], *given: object
) -> Iterator[tuple[BaseProcess, "Connection[object, object]"]]:
    """Let ``act(*given, say)`` run in a process; give the process, and the end at which it is heard.

    The process has ended when the block has; what it said can still be heard.
    """
    hear, say = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=act, args=(*given, say))
    process.start()
    say.close()
    try:
        yield process, hear
        process.join(PATIENCE_S)
    finally:
        process.kill()
        process.join()

"""Prepared slides shared between studies: found again by the file's content and the recipe.

Patient and slide are named by each study, so the one file that names them is written anew. What is
taken out is proved first, to the last byte; what is put in appears whole or not at all.
"""

import os
import shutil
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from jecur.runs.finished import Finished, damage, read_marker, write_marker
from jecur.runs.leftovers import part_prefix, sweep

__all__ = ["is_in_cache", "keep_in_cache", "take_from_cache"]

_MARKER = "complete"


def take_from_cache(cache: Path, key: str, target: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Put cached files into a slide's folder.

    Parameters
    ----------
    cache
        Folder shared between studies.
    key
        Fingerprint of content, scale and recipe.
    target
        The slide's folder in the run.
    names
        Files that each study writes itself; they are not taken.

    Returns
    -------
    tuple of str
        Files that were put there; empty if the cache has none that are as they were written.
    """
    source = _place(cache, key)
    kept = read_marker(source / _MARKER)
    if kept is None or damage(source, kept):
        return ()
    target.mkdir(parents=True, exist_ok=True)
    taken = [name for name in kept.files if name not in names]
    try:
        for name in taken:
            _link(source / name, target / name)
    except FileNotFoundError:  # another study is putting it in anew
        return ()
    return tuple(taken)


def keep_in_cache(cache: Path, key: str, source: Path, finished: Finished) -> None:
    """Keep the finished files of a slide for other studies; nothing if they are there already.

    A cache that cannot be written, or is full, stops no run.
    """
    target = _place(cache, key)
    part = target.with_name(f"{part_prefix()}{uuid.uuid4().hex[:8]}")
    kept = read_marker(target / _MARKER)
    if kept is not None and not damage(target, kept):
        return
    sweep(target.parent, below=False)
    with suppress(OSError):
        part.mkdir(parents=True)
        for name in finished.files:
            _link(source / name, part / name)
        write_marker(part / _MARKER, part, key, tuple(finished.files))
        shutil.rmtree(target, ignore_errors=True)  # damaged, or without its marker
        part.rename(target)
    shutil.rmtree(part, ignore_errors=True)


def is_in_cache(cache: Path, key: str) -> bool:
    """Whether a slide was kept under this key; its files are proved when they are taken."""
    return (_place(cache, key) / _MARKER).is_file()


def _place(cache: Path, key: str) -> Path:
    return cache / key[:2] / key


def _link(source: Path, target: Path) -> None:
    """Link a file, which takes no space; copy it where file systems differ."""
    part = target.with_name(f".part-{target.name}-{uuid.uuid4().hex[:8]}")
    try:
        os.link(source, part)
    except OSError:
        shutil.copyfile(source, part)
    part.replace(target)

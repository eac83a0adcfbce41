"""The order in which one reviewer sees the tiles: drawn once, by the system's randomness, and kept.

Neither the order nor the name of a look says anything of the tile: both are drawn anew for every
reviewer, so what one reviewer saw first tells another nothing. One tile in ten comes twice, never
next to itself, so that each reviewer is compared with themselves too.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from jecur.errors import RunFolderError, SettingsError
from jecur.explain.review import REVIEWERS, KeyTile, key_folder
from jecur.runs.files import write_private

__all__ = [
    "INITIALS",
    "Look",
    "ReviewOrder",
    "begun_orders",
    "draw_order",
    "open_order",
    "reviewer_folder",
]

ORDER = "order.json"
INITIALS = re.compile(r"[A-Za-z][A-Za-z0-9]{0,7}")
"""Of a reviewer, on the screen or on a sheet."""
_TWICE = 10
"""One tile in so many comes twice."""


class Look(msgspec.Struct, frozen=True):
    """One look of a reviewer at a tile."""

    id: str
    """Random; what the page knows the look by."""
    tile: str
    """Name in the key."""
    again: bool = False
    """Whether it is the second look at this tile."""


class ReviewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What one reviewer is shown, first to last."""

    reviewer: str
    begun: str
    """Time (UTC, ISO 8601)."""
    looks: tuple[Look, ...]


def reviewer_folder(run: Path, reviewer: str) -> Path:
    """Folder of one reviewer's order and answers.

    Raises
    ------
    SettingsError
        With code ``bad-initials`` unless it is one to eight letters and digits.
    """
    if not INITIALS.fullmatch(reviewer):
        raise SettingsError(
            f"expected --reviewer to be initials of one to eight letters and digits, found {reviewer!r}; "
            "the report names reviewers by them",
            code="bad-initials",
        )
    return key_folder(run) / REVIEWERS / reviewer.upper()


def open_order(
    run: Path, reviewer: str, key: Sequence[KeyTile], *, n_tiles: int = 0
) -> ReviewOrder:
    """Take up a reviewer's order, or draw and keep one.

    Parameters
    ----------
    run
        Root of the run folder.
    reviewer
        Initials.
    key
        All tiles there are.
    n_tiles
        To be judged, half of each end; 0 takes all. One that was begun keeps its tiles.

    Raises
    ------
    SettingsError
        If there are fewer tiles, or another number of them was begun with.
    """
    path = reviewer_folder(run, reviewer) / ORDER
    if path.is_file():
        order = _read(path)
        begun = len({look.tile for look in order.looks})
        if n_tiles and n_tiles != begun:
            raise SettingsError(
                f"expected --tiles {begun}, with which {order.reviewer} began, found {n_tiles}; leave it "
                "out to go on"
            )
        return order
    order = draw_order(reviewer.upper(), _chosen(key, n_tiles))
    write_private(path, msgspec.json.encode(order).decode() + "\n")
    return order


def draw_order(reviewer: str, tiles: Sequence[str]) -> ReviewOrder:
    """Draw an order: every tile once, one in ten of them a second time, not next to itself."""
    chance = secrets.SystemRandom()
    once = list(tiles)
    chance.shuffle(once)
    n_twice = round(len(once) / _TWICE) if len(once) > 2 else 0
    shown = [(tile, False) for tile in once]
    for tile in chance.sample(once, n_twice):
        first = next(k for k, (name, _) in enumerate(shown) if name == tile)
        free = range(first + 2, len(shown) + 1)
        if free:  # of the last tile there is no place behind but next to itself
            shown.insert(chance.choice(free), (tile, True))
        else:
            shown[first] = (tile, True)
            shown.insert(chance.randrange(first), (tile, False))
    looks = tuple(Look(secrets.token_hex(8), tile, again) for tile, again in shown)
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    return ReviewOrder(reviewer=reviewer, begun=begun, looks=looks)


def begun_orders(run: Path) -> list[ReviewOrder]:
    """Orders of everybody who began, in the order in which they did."""
    paths = (key_folder(run) / REVIEWERS).glob(f"*/{ORDER}")
    return sorted((_read(path) for path in paths), key=lambda o: (o.begun, o.reviewer))


def _chosen(key: Sequence[KeyTile], n_tiles: int) -> list[str]:
    """Half of each end, from the top of the key: its order is random, and all reviewers share it."""
    ends = {end: [tile.name for tile in key if tile.end == end] for end in ("high", "low")}
    if not n_tiles:
        return [name for names in ends.values() for name in names]
    half = n_tiles // 2
    shortest = min(len(names) for names in ends.values())
    if n_tiles < 2 or n_tiles % 2 or half > shortest:
        raise SettingsError(
            f"expected --tiles to be an even number from 2 to {2 * shortest}, found {n_tiles}; for more, "
            "raise scoring.n_top_tiles in the study file and run it again"
        )
    return [name for names in ends.values() for name in names[:half]]


def _read(path: Path) -> ReviewOrder:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ReviewOrder)
    except (OSError, msgspec.DecodeError) as error:
        raise RunFolderError(
            f"expected the order of a reviewer in {path}, found other content ({error}); restore the file "
            "from a copy: without it the answers beside it cannot be read",
            code="damaged-review",
        ) from error

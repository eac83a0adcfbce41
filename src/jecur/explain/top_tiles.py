"""The most predictive tiles of both ends (paper, section 4.4).

Tiles of one patient are not independent, so at most a few of one patient are taken.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from jecur.arrays import Logits

__all__ = ["TopTile", "select_top_tiles"]

End = Literal["high", "low"]


@dataclass(frozen=True, slots=True)
class TopTile:
    """One of the most predictive tiles.

    Parameters
    ----------
    patient
        Index of the patient, as given.
    tile
        Index of the tile in the patient's bag.
    score
        Its logit.
    end
        "high": points to early recurrence; "low": to late or none.
    """

    patient: int
    tile: int
    score: float
    end: End


def select_top_tiles(
    bags: list[Logits], *, n_tiles: int, max_per_patient: int
) -> tuple[list[TopTile], list[TopTile]]:
    """Take the highest and the lowest tiles of a cohort.

    Parameters
    ----------
    bags
        Tile scores of each patient.
    n_tiles
        Tiles of each end; fewer where there are not enough. No tile is in both.
    max_per_patient
        At most so many of one patient at one end.

    Returns
    -------
    tuple of list
        Highest first; lowest first.
    """
    scores = np.concatenate(bags) if bags else np.empty(0, np.float32)
    patient = np.repeat(np.arange(len(bags)), [len(bag) for bag in bags])
    tile = np.concatenate([np.arange(len(bag)) for bag in bags]) if bags else np.empty(0, np.int64)
    n_tiles = min(n_tiles, len(scores) // 2)
    order = np.argsort(scores, kind="stable")

    def take(ranked: NDArray[np.int64], end: End) -> list[TopTile]:
        chosen = _capped(ranked[: len(scores) // 2], patient, n_tiles, max_per_patient)
        return [TopTile(int(patient[i]), int(tile[i]), float(scores[i]), end) for i in chosen]

    return take(order[::-1], "high"), take(order, "low")


def _capped(
    ranked: NDArray[np.int64], patient: NDArray[np.int64], n_tiles: int, cap: int
) -> list[int]:
    taken: dict[int, int] = {}
    chosen: list[int] = []
    for i in ranked:
        owner = int(patient[i])
        if len(chosen) == n_tiles:
            break
        if taken.get(owner, 0) < cap:
            taken[owner] = taken.get(owner, 0) + 1
            chosen.append(int(i))
    return chosen

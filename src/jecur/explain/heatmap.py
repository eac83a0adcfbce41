"""Tile scores laid back on the slide: an array, pictures, and shapes for QuPath.

Colors diverge around the score at which a tile alone would reach the cut-off: orange above
(points to early recurrence), violet below. The scale is one for all slides of a run, so that
two pictures can be compared.
"""

import json
import math
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from jecur.arrays import RGB, Logits, Positions

__all__ = [
    "TURN",
    "ScoreScale",
    "heatmap_array",
    "overlay_scores",
    "qupath_geojson",
    "score_colors",
    "score_scale",
    "side_by_side",
]

TURN = "turn"
"""Attribute of a table of tile scores: where colors turn, if not at the logit of the cut-off."""
_COLORS = mpl.colormaps["PuOr_r"]
_OPACITY = 0.65
_CLASSES = (
    "Jecur: far below cut-off",
    "Jecur: below cut-off",
    "Jecur: just below cut-off",
    "Jecur: just above cut-off",
    "Jecur: above cut-off",
    "Jecur: far above cut-off",
)
"""Equal steps of the color scale; the cut-off lies between the third and the fourth."""
_MARGIN, _BAR_WIDTH, _LABEL_WIDTH, _TITLE_HEIGHT = 12, 16, 120, 26


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """Range of tile scores that the colors span; they turn at ``center``."""

    low: float
    center: float
    high: float

    def place(self, scores: Logits) -> NDArray[np.float64]:
        """Places in [0, 1]: 0 at ``low``, 1/2 at ``center``, 1 at ``high``; straight between."""
        marks = [self.low, self.center, self.high]
        return np.asarray(np.interp(scores.astype(np.float64), marks, [0.0, 0.5, 1.0]))


def score_scale(scores: Logits, cutoff: float, turn: float | None = None) -> ScoreScale:
    """Scale from the 1st to the 99th percentile of a run's tile scores, turning at the cut-off.

    Parameters
    ----------
    scores
        (n,) logits, n >= 1.
    cutoff
        The model's risk cut-off in (0, 1).
    turn
        Score at which a tile alone reaches it (`jecur.mil.pooling.Pooling.reached_at`); infinite if none
        does, or all do. None: the logit of the cut-off.
    """
    low, high = np.percentile(scores, [1, 99])
    center = float(np.log(cutoff) - np.log1p(-cutoff)) if turn is None else turn
    if not math.isfinite(center):
        center = float(np.min(scores) if center < 0 else np.max(scores))  # no tile lies beyond it
    return ScoreScale(min(float(low), center - 0.1), center, max(float(high), center + 0.1))


def score_colors(n: int = 256) -> list[list[int]]:
    """Colors at ``n`` even places of the scale, R, G, B each, for whoever draws it elsewhere."""
    return np.round(_COLORS(np.linspace(0.0, 1.0, n))[:, :3] * 255.0).astype(int).tolist()  # type: ignore[no-any-return]


def heatmap_array(
    rows: NDArray[np.int64], columns: NDArray[np.int64], scores: Logits
) -> NDArray[np.float32]:
    """Tile scores on the tile grid, (n_rows, n_columns) float32, NaN where there is no tile."""
    grid = np.full((int(rows.max()) + 1, int(columns.max()) + 1), np.nan, np.float32)
    grid[rows, columns] = scores
    return grid


def overlay_scores(
    thumbnail: RGB,
    positions: NDArray[np.float64],
    scores: Logits,
    *,
    side_px: float,
    scale: ScoreScale,
) -> RGB:
    """Lay colored tiles over a slide's thumbnail.

    Parameters
    ----------
    thumbnail
        (h, w, 3) uint8 overview; not changed.
    positions
        (n, 2) upper left corners x, y in thumbnail pixels.
    scores
        (n,) logits.
    side_px
        Side of a tile in thumbnail pixels.
    scale
        The run's color scale.
    """
    picture = thumbnail.astype(np.float32)
    for (x, y), color in zip(positions, _rgb(scores, scale), strict=True):
        block = np.s_[round(y) : round(y + side_px), round(x) : round(x + side_px)]
        picture[block] = (1 - _OPACITY) * picture[block] + _OPACITY * color
    return picture.round().astype(np.uint8)


def side_by_side(thumbnail: RGB, overlay: RGB, scale: ScoreScale) -> RGB:
    """Slide, heat map and color bar in one picture, (h', w', 3) uint8."""
    height, width = thumbnail.shape[:2]
    sheet_height = max(height, 160) + _TITLE_HEIGHT + _MARGIN
    sheet = Image.new(
        "RGB", (2 * width + 4 * _MARGIN + _BAR_WIDTH + _LABEL_WIDTH, sheet_height), "white"
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for x, picture, title in (
        (_MARGIN, thumbnail, "Slide"),
        (width + 2 * _MARGIN, overlay, "Tile scores"),
    ):
        sheet.paste(Image.fromarray(picture), (x, _TITLE_HEIGHT))
        draw.text((x, 6), title, "black", font)
    left = 2 * width + 3 * _MARGIN
    span = np.linspace(1.0, 0.0, sheet_height - _TITLE_HEIGHT - 3 * _MARGIN)
    bar = np.round(_COLORS(span)[:, None, :3] * 255).astype(np.uint8).repeat(_BAR_WIDTH, axis=1)
    sheet.paste(Image.fromarray(bar), (left, _TITLE_HEIGHT + _MARGIN))
    for place, value, word in (
        (0.0, scale.high, "earlier"),
        (0.5, scale.center, "cut-off"),
        (1.0, scale.low, "later or none"),
    ):
        y = _TITLE_HEIGHT + _MARGIN + place * len(span) - 8
        draw.text((left + _BAR_WIDTH + 6, y), f"{value:+.2f} {word}", "black", font)
    return np.asarray(sheet)


def qupath_geojson(positions: Positions, scores: Logits, *, side_px: int, scale: ScoreScale) -> str:
    """Scored tiles as a GeoJSON feature collection that QuPath imports.

    Parameters
    ----------
    positions
        (n, 2) upper left corners, level-0 pixels.
    scores
        (n,) logits.
    side_px
        Side of a tile, level-0 pixels.
    scale
        Gives the colors.
    """
    places = scale.place(scores)
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [_square(int(x), int(y), side_px)]},
            "properties": {
                "objectType": "tile",
                "name": f"score {float(score):+.2f}",
                "classification": _classification(float(place)),
                "color": [round(float(c)) for c in color],
                "measurements": {"Jecur tile score": float(score)},
            },
        }
        for (x, y), score, place, color in zip(
            positions, scores, places, _rgb(scores, scale), strict=True
        )
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def _classification(place: float) -> dict[str, object]:
    """Class of a tile: QuPath colors tiles by it, one color a class, so each has its own shade."""
    step = min(int(place * len(_CLASSES)), len(_CLASSES) - 1)
    color = _COLORS((step + 0.5) / len(_CLASSES))[:3]
    return {"name": _CLASSES[step], "color": [round(255.0 * c) for c in color]}


def _rgb(scores: Logits, scale: ScoreScale) -> NDArray[np.float64]:
    return np.asarray(_COLORS(scale.place(scores))[:, :3] * 255.0)


def _square(x: int, y: int, side: int) -> list[list[int]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]

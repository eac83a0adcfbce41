"""Tile scores laid back on the slide: an array, a picture, and shapes for QuPath.

Colors diverge around the score at which a tile alone would reach the cut-off: orange above
(speaks for early recurrence), blue below. The scale is one for all slides of a run, so that two
pictures can be compared.
"""

import io
import json
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from jecur.arrays import RGB, Logits, Positions

__all__ = ["ScoreScale", "heatmap_array", "heatmap_png", "qupath_geojson", "score_scale"]

_COLORS = mpl.colormaps["PuOr_r"]
_OPACITY = 0.65


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """Range of tile scores that the colors span; ``center`` is where they turn."""

    low: float
    center: float
    high: float

    def norm(self) -> TwoSlopeNorm:
        """Return the scale as matplotlib wants it."""
        return TwoSlopeNorm(vmin=self.low, vcenter=self.center, vmax=self.high)


def score_scale(scores: Logits, cutoff: float) -> ScoreScale:
    """Scale from the 1st to the 99th percentile of a run's tile scores, turning at the cut-off.

    Parameters
    ----------
    scores
        (n,) logits, n >= 1.
    cutoff
        The model's risk cut-off in (0, 1).
    """
    center = float(np.log(cutoff) - np.log1p(-cutoff))
    low, high = np.percentile(scores, [1, 99])
    return ScoreScale(min(float(low), center - 0.1), center, max(float(high), center + 0.1))


def heatmap_array(
    rows: NDArray[np.int64], columns: NDArray[np.int64], scores: Logits
) -> NDArray[np.float32]:
    """Tile scores on the tile grid, (n_rows, n_columns) float32, NaN where there is no tile."""
    grid = np.full((int(rows.max()) + 1, int(columns.max()) + 1), np.nan, np.float32)
    grid[rows, columns] = scores
    return grid


def heatmap_png(
    thumbnail: RGB, positions: Positions, scores: Logits, *, side_px: float, scale: ScoreScale
) -> bytes:
    """Draw the tile scores over the slide's thumbnail, with a color bar.

    Parameters
    ----------
    thumbnail
        (h, w, 3) uint8 overview.
    positions
        (n, 2) upper left corners in thumbnail pixels.
    scores
        (n,) logits.
    side_px
        Side of a tile in thumbnail pixels.
    scale
        The run's color scale.

    Returns
    -------
    bytes
        A PNG: thumbnail on the left, heat map on the right.
    """
    height, width = thumbnail.shape[:2]
    inches = 4.0
    figure = Figure(figsize=(2 * inches + 0.9, inches * height / width + 0.3), dpi=110)
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    overlay = _overlay(thumbnail, positions, scores, side_px, scale)
    for axes, picture, title in ((left, thumbnail, "Slide"), (right, overlay, "Tile scores")):
        axes.imshow(picture, interpolation="antialiased")
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    bar = figure.colorbar(
        ScalarMappable(scale.norm(), _COLORS), ax=[left, right], fraction=0.025, pad=0.01
    )
    bar.set_label("tile score (logit), higher = earlier recurrence", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def _overlay(
    thumbnail: RGB, positions: Positions, scores: Logits, side_px: float, scale: ScoreScale
) -> RGB:
    picture = thumbnail.astype(np.float32)
    colors = _COLORS(scale.norm()(scores.astype(np.float64)))[:, :3] * 255.0
    for (x, y), color in zip(positions, colors, strict=True):
        block = np.s_[round(y) : round(y + side_px), round(x) : round(x + side_px)]
        picture[block] = (1 - _OPACITY) * picture[block] + _OPACITY * color
    return picture.round().astype(np.uint8)


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
    colors = np.round(_COLORS(scale.norm()(scores.astype(np.float64)))[:, :3] * 255).astype(int)
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [_square(int(x), int(y), side_px)]},
            "properties": {
                "objectType": "tile",
                "color": color.tolist(),
                "measurements": {"Jecur tile score": float(score)},
            },
        }
        for (x, y), score, color in zip(positions, scores, colors, strict=True)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def _square(x: int, y: int, side: int) -> list[list[int]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]

"""Virtual tissue arrays: cores on a turned, stretched grid, some missing, torn or adrift."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from jecur.arrays import RGB
from jecur.errors import SimulationError
from jecur.settings.base import CountOrZero, Positive, Stage
from jecur.simulate.fields import Image32, smooth_field
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb
from jecur.simulate.stains import VirtualStain, site_stain
from jecur.simulate.tissue import render_tissue

__all__ = ["ArraySimulationSettings", "VirtualArray", "VirtualCore", "draw_array"]

CoreState = Literal["whole", "torn", "missing"]

_NOISE = 1.4
_GRAIN_PX = 512
_DEBRIS_UM = (40.0, 160.0)
_MARGIN_PITCHES = 0.9


class ArraySimulationSettings(Stage, frozen=True):
    """A virtual tissue array: cores on a grid, and what goes wrong with them."""

    rows: Annotated[int, Meta(ge=1, le=26)] = 6
    columns: Annotated[int, Meta(ge=1, le=40)] = 8
    diameter_um: Annotated[float, Meta(ge=200, le=3000)] = 600.0
    """Diameter of the punch, micrometers; each core differs by 3 % (standard deviation)."""
    pitch_um: Positive = 900.0
    """From center to center, micrometers."""
    um_per_px: Annotated[float, Meta(ge=0.2, le=1.5)] = 0.5
    rotation_deg: Annotated[float, Meta(ge=0, le=30)] = 5.0
    """The array is turned by up to this either way, degrees."""
    drift_um: Annotated[float, Meta(ge=0)] = 45.0
    """Standard deviation of each core's own displacement in x and in y, micrometers."""
    bend_um: Annotated[float, Meta(ge=0)] = 150.0
    """Largest displacement by the smooth stretching of the section, micrometers."""
    missing_fraction: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    """Share of cores that were lost."""
    torn_fraction: Annotated[float, Meta(ge=0, le=1)] = 0.15
    """Share of the cores left that are torn: up to half gone, split or bitten."""
    n_debris: CountOrZero = 12
    """Specks of tissue between the cores, 40 to 160 um."""
    jpeg_quality: Annotated[int, Meta(ge=30, le=100)] = 87


@dataclass(frozen=True, slots=True)
class VirtualCore:
    """Truth of one core; ``x``, ``y`` and ``diameter`` in level-0 pixels."""

    row: int
    column: int
    x: float
    y: float
    diameter: float
    state: CoreState


@dataclass(frozen=True, slots=True)
class VirtualArray:
    """A drawn array and its truth."""

    image: RGB
    cores: tuple[VirtualCore, ...]
    rotation_deg: float
    stain: VirtualStain

    def truth(self) -> dict[str, Any]:
        """Plain values for JSON."""
        cores = [asdict(core) for core in self.cores]
        return {"rotation_deg": self.rotation_deg, "cores": cores}


def draw_array(
    settings: ArraySimulationSettings,
    rng: np.random.Generator,
    *,
    features: Mapping[tuple[int, int], TissueFeatures] | None = None,
) -> VirtualArray:
    """Draw a tissue array.

    Parameters
    ----------
    settings
        Grid and faults.
    rng
        Draws everything.
    features
        (row, column), from 1 -> features of that core; random where not given.

    Raises
    ------
    SimulationError
        If the cores would overlap.
    """
    if settings.pitch_um < settings.diameter_um:
        raise SimulationError(
            f"expected a pitch of at least the diameter, found {settings.pitch_um:g} um for cores "
            f"of {settings.diameter_um:g} um; raise the pitch"
        )
    cores, size, rotation = _plan(settings, rng)
    stain = site_stain(rng, angle_deg=4.0, intensity_sd=0.1)
    image = _glass(size, stain, rng)
    given = features or {}
    for core in cores:
        if core.state == "missing":
            continue
        own = given.get((core.row, core.column))
        drawn = own or TissueFeatures(*rng.uniform(0.1, 0.9, 4).tolist())
        _paste(image, _core_picture(core, drawn, stain, settings, rng), (core.x, core.y))
    for _ in range(settings.n_debris):
        _paste_debris(image, cores, stain, settings, rng)
    return VirtualArray(image, cores, rotation, stain)


def _plan(
    settings: ArraySimulationSettings, rng: np.random.Generator
) -> tuple[tuple[VirtualCore, ...], tuple[int, int], float]:
    """Places and states of the cores, and (height, width) of the slide."""
    rotation = float(rng.uniform(-settings.rotation_deg, settings.rotation_deg))
    rows, columns = np.indices((settings.rows, settings.columns))
    places = np.stack([columns.ravel(), rows.ravel()], axis=1) * settings.pitch_um
    bend = np.stack(
        [smooth_field(rows.shape, max(rows.shape) / 1.5, rng).ravel() for _ in range(2)], axis=1
    )
    bend *= settings.bend_um / max(float(np.abs(bend).max()), 1e-9)
    turn = np.deg2rad(rotation)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    places = (places + bend) @ matrix
    places += rng.normal(scale=max(settings.drift_um, 1e-9), size=places.shape)
    places -= places.min(axis=0) - _MARGIN_PITCHES * settings.pitch_um
    extent = places.max(axis=0) + _MARGIN_PITCHES * settings.pitch_um
    missing = rng.uniform(size=len(places)) < settings.missing_fraction
    torn = rng.uniform(size=len(places)) < settings.torn_fraction
    diameters = settings.diameter_um * (1 + 0.03 * rng.normal(size=len(places)).clip(-2, 2))
    cores = tuple(
        VirtualCore(
            row=int(row) + 1,
            column=int(column) + 1,
            x=float(x / settings.um_per_px),
            y=float(y / settings.um_per_px),
            diameter=float(diameter / settings.um_per_px),
            state="missing" if gone else "torn" if rent else "whole",
        )
        for row, column, (x, y), diameter, gone, rent in zip(
            rows.ravel(), columns.ravel(), places, diameters, missing, torn, strict=True
        )
    )
    width, height = np.ceil(extent / settings.um_per_px).astype(int).tolist()
    return cores, (height, width), rotation


def _glass(size: tuple[int, int], stain: VirtualStain, rng: np.random.Generator) -> RGB:
    """Empty glass with the camera's noise, repeated."""
    noise = rng.normal(scale=_NOISE, size=(_GRAIN_PX, _GRAIN_PX, 3)) + stain.white + 0.5
    tile = np.clip(noise, 0, 255).astype(np.uint8)
    times = (-(-size[0] // _GRAIN_PX), -(-size[1] // _GRAIN_PX), 1)
    return np.ascontiguousarray(np.tile(tile, times)[: size[0], : size[1]])


def _core_picture(
    core: VirtualCore,
    features: TissueFeatures,
    stain: VirtualStain,
    settings: ArraySimulationSettings,
    rng: np.random.Generator,
) -> RGB:
    """One core on glass, cut to its disc and torn if it is."""
    side = int(np.ceil(core.diameter * 1.1)) + 4
    y, x = (np.mgrid[0:side, 0:side] - (side - 1) / 2).astype(np.float32)
    ragged = smooth_field((side, side), max(side / 24, 2.0), rng).astype(np.float32)
    depth = core.diameter / 2 - np.hypot(x, y) + 0.008 * core.diameter * ragged
    if core.state == "torn":
        depth = np.minimum(depth, _tear(x, y, core.diameter, ragged, rng))
    return _cut(depth, features, stain, settings, rng)


def _tear(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    diameter: float,
    ragged: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Depth, in pixels, inside of what is left: one side gone, a crack, or a bite out of the rim."""
    turn = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(turn) + y * np.sin(turn) + 0.03 * diameter * ragged
    kind = rng.integers(3)
    if kind == 0:
        return np.asarray(along + rng.uniform(0.0, 0.3) * diameter, dtype=np.float32)
    if kind == 1:
        shift = rng.uniform(-0.15, 0.15) * diameter
        return np.asarray(np.abs(along - shift) - 0.06 * diameter, dtype=np.float32)
    away = np.hypot(x - 0.5 * diameter * np.cos(turn), y - 0.5 * diameter * np.sin(turn))
    return np.asarray(away - rng.uniform(0.25, 0.5) * diameter, dtype=np.float32)


def _cut(
    depth: NDArray[np.float32],
    features: TissueFeatures,
    stain: VirtualStain,
    settings: ArraySimulationSettings,
    rng: np.random.Generator,
) -> RGB:
    """Tissue where ``depth`` is positive, glass elsewhere."""
    tissue = render_tissue(features, depth.shape, settings.um_per_px, rng)
    cover: Image32 = np.clip(depth / 3.0, 0.0, 1.0)
    cut = replace(tissue, hematoxylin=tissue.hematoxylin * cover, eosin=tissue.eosin * cover)
    return render_rgb(cut, stain, rng)


def _paste(image: RGB, picture: RGB, center: tuple[float, float]) -> None:
    """Lay a picture over glass, the darker winning."""
    height, width = picture.shape[:2]
    left, top = round(center[0] - (width - 1) / 2), round(center[1] - (height - 1) / 2)
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + height, image.shape[0]), min(left + width, image.shape[1])
    if y1 <= y0 or x1 <= x0:
        return
    window = image[y0:y1, x0:x1]
    np.minimum(window, picture[y0 - top : y1 - top, x0 - left : x1 - left], out=window)


def _paste_debris(
    image: RGB,
    cores: tuple[VirtualCore, ...],
    stain: VirtualStain,
    settings: ArraySimulationSettings,
    rng: np.random.Generator,
) -> None:
    """Lay one speck of tissue anywhere but on a core."""
    x = rng.uniform(0.02, 0.98) * image.shape[1]
    y = rng.uniform(0.02, 0.98) * image.shape[0]
    size = rng.uniform(*_DEBRIS_UM) / settings.um_per_px
    nearest = min(np.hypot(core.x - x, core.y - y) for core in cores if core.state != "missing")
    features = TissueFeatures(*rng.uniform(0.1, 0.9, 4).tolist())
    if nearest < settings.diameter_um / settings.um_per_px * 0.52 + size / 2:
        return
    side = int(size * 1.5) + 8
    yy, xx = (np.mgrid[0:side, 0:side] - (side - 1) / 2).astype(np.float32)
    ragged = smooth_field((side, side), max(side / 6, 2.0), rng).astype(np.float32)
    _paste(
        image,
        _cut(
            size / 2 - np.hypot(xx, yy * 1.6) + 0.1 * size * ragged, features, stain, settings, rng
        ),
        (x, y),
    )

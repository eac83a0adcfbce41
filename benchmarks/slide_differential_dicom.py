"""DICOM slides over the product of what they may be, read by OpenSlide, wsidicom and Jecur.

What a slide shows is known, because it was generated. A slide passes if Jecur gives that picture on
every level, or refuses it with a cause that is in its files. wsidicom is asked if it is installed;
Jecur does not need it.

    python -m benchmarks.slide_differential_dicom --slides 200 --seed 15
"""

import itertools
import re
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import openslide
from benchmarks.common import Arguments, environment, table, table_head, table_row
from benchmarks.dicom_writer import Instance, encode, write_instance
from benchmarks.slide_differential import picture

from jecur.errors import SlideError
from jecur.slide.reader import open_slide

try:
    import wsidicom
except ImportError:
    wsidicom = None

TILE, LEVELS, MPP = 128, 3, 0.25
FACTORS = {
    "syntax": ("jpeg", "explicit", "j2k-lossless", "j2k", "implicit", "rle", "jpeg-ls"),
    "stream": ("as-tagged", "other"),
    "photometric": ("ybr", "rgb"),
    "rate": ("444", "422", "420"),
    "samples": (3, 1),
    "bits": (8, 16),
    "planar": (0, 1),
    "order": ("full", "sparse", "sparse-shuffled"),
    "missing": ("none", "level-0", "level-1"),
    "levels": (1, LEVELS),
    "parts": ("whole", "all", "lacking", "uncounted"),
    "planes": (1, 3),
    "paths": (1, 2),
    "told": ("told", "untold"),
    "second": ("none", "series", "patient"),
    "offsets": ("basic", "none", "extended"),
    "fragments": (1, 2),
    "nested": ("undefined", "defined"),
    "beside": ("nothing", "label and overview"),
    "opened": ("folder", "file"),
}
_SELDOM = {"stream", "samples", "bits", "planar", "planes", "paths", "told", "second", "fragments"}

_PLAIN = 0.6
_SOUND = {"syntax": 4, "parts": 2, "samples": 1, "bits": 1, "planar": 1, "planes": 1, "paths": 1}
"""How many of the first values a reader of DICOM should take; `_PLAIN` of the slides
are drawn from these."""


class Plan(NamedTuple):
    """One slide, by its factors."""

    syntax: str
    stream: str
    photometric: str
    rate: str
    samples: int
    bits: int
    planar: int
    order: str
    missing: str
    levels: int
    parts: str
    planes: int
    paths: int
    told: str
    second: str
    offsets: str
    fragments: int
    nested: str
    beside: str
    opened: str

    @property
    def tagged(self) -> str:
        """Photometric Interpretation."""
        if self.samples == 1:
            return "MONOCHROME2"
        if self.photometric == "rgb":
            return "RGB"
        return {"jpeg": "YBR_FULL_422", "j2k": "YBR_ICT", "j2k-lossless": "YBR_RCT"}[self.syntax]

    @property
    def held(self) -> str:
        """What a JPEG or JPEG 2000 stream holds."""
        if self.samples == 1:
            return "gray"
        names = {"ybr": "ycbcr", "rgb": "rgb"}
        same = names[self.photometric]
        return same if self.stream == "as-tagged" else {"ycbcr": "rgb", "rgb": "ycbcr"}[same]

    @property
    def possible(self) -> bool:
        """Whether it can be written and has a meaning."""
        compressed = self.syntax not in {"explicit", "implicit"}
        picture_codec = self.syntax in {"jpeg", "j2k", "j2k-lossless"}
        return not (
            (self.photometric == "ybr" and not picture_codec)
            or (self.stream == "other" and (not picture_codec or self.samples == 1))
            or (self.rate != "444" and (self.syntax != "jpeg" or self.held != "ycbcr"))
            or (self.bits == 16 and self.syntax not in {"explicit", "implicit", "rle"})
            or (self.planar == 1 and (compressed or self.samples == 1))
            or (self.missing != "none" and self.order == "full")
            or (self.missing == "level-1" and self.levels == 1)
            or (self.offsets != "basic" and not compressed)
            or (self.fragments > 1 and (not compressed or self.offsets != "basic"))
            or (self.told == "untold" and self.planes == self.paths == 1)
        )

    @property
    def causes(self) -> list[str]:
        """Patterns of what may be said against it; each names something that is in its files."""
        contradicts = self.stream == "other" and (
            self.syntax == "jpeg" or (self.photometric == "ybr" and self.held == "rgb")
        )
        several = self.planes * self.paths > 1
        found = {
            "one scan": self.second == "patient"
            or (self.second == "series" and self.opened == "folder"),
            "16-bit": self.bits == 16,
            "gray": self.samples == 1,
            "separate color planes": self.planar == 1,
            "focal planes": self.planes > 1 and self.told == "told",
            "optical paths": self.paths > 1 and self.told == "told",
            "one frame for each place": several and self.told == "untold",
            "all parts": self.parts in {"lacking", "uncounted"},
            "under a tag": contradicts,
            "Unsupported transfer syntax": self.syntax in {"implicit", "rle", "jpeg-ls"},
            "Unsupported photometric": self.syntax.startswith("j2k") and self.photometric == "ybr",
        }
        return [pattern for pattern, true in found.items() if true]


def plans(n: int, seed: int) -> list[Plan]:
    """Draw ``n`` different slides that meet pairs of factor values early; most are sound ones."""
    rng = np.random.default_rng(seed)
    seen: set[tuple[object, ...]] = set()
    chosen: dict[Plan, None] = {}
    while len(chosen) < n:
        plain = rng.random() < _PLAIN
        drawn = [p for p in (_draw(rng, plain=plain) for _ in range(150)) if p.possible]
        best = max(drawn, key=lambda plan: (plan not in chosen, len(_pairs(plan) - seen)))
        chosen[best] = None
        seen |= _pairs(best)
    return list(chosen)


def _draw(rng: np.random.Generator, *, plain: bool) -> Plan:
    values = []
    for name, every in FACTORS.items():
        options = every[: _SOUND.get(name, len(every))] if plain else every
        first = name in _SELDOM and rng.random() < (0.995 if plain else 0.8)
        values.append(options[0] if first else options[int(rng.integers(len(options)))])
    return Plan(*values)


def _pairs(plan: Plan) -> set[tuple[object, ...]]:
    items = zip(FACTORS, plan, strict=True)
    return {(*a, *b) for a, b in itertools.combinations(items, 2)}


def write(plan: Plan, folder: Path) -> list[np.ndarray]:
    """Write the files of a slide; return what each level shows."""
    colors = picture()
    shown = []
    for number in range(plan.levels):
        level = np.ascontiguousarray(colors[:: 2**number, :: 2**number])
        shown.append(_write_level(plan, folder, level, number))
    if plan.second != "none":
        other = np.ascontiguousarray(picture(7)[::-2, ::2][: 100 + plan.levels])
        told = {"series": "2"} if plan.second == "series" else {"patient": "B"}
        _instance(plan._replace(planes=1, paths=1), folder / "z.dcm", other, 9, told)
    if plan.beside != "nothing":
        for k, kind in enumerate(("LABEL", "OVERVIEW")):
            small = np.full((TILE, TILE, 3), 40 + 90 * k, np.uint8)
            told = {"image_type": ("ORIGINAL", "PRIMARY", kind, "NONE")}
            _instance(
                Plan(*(v[0] for v in FACTORS.values())), folder / f"y{k}.dcm", small, 20 + k, told
            )
    return shown


def _write_level(plan: Plan, folder: Path, image: np.ndarray, number: int) -> np.ndarray:
    frames = _frames(plan, image)
    shown = _decoded(plan, image, frames)
    if plan.missing == f"level-{number}":
        frames = [frame for frame in frames if frame[:2] != (0, 1)]
        shown[:TILE, TILE : 2 * TILE] = 255
    if plan.order == "sparse-shuffled":
        frames = frames[::-1]
    told = {"order": plan.order, "number": number + 1}
    path = folder / f"level-{number}.dcm"
    if plan.parts == "whole" or len(frames) < 2:  # nothing to divide
        _put(plan, path, image, frames, told)
        return shown
    middle = (len(frames) + 1) // 2
    counted = 0 if plan.parts == "uncounted" else 2
    for part, (start, piece) in enumerate(((0, frames[:middle]), (middle, frames[middle:]))):
        if not (part == 1 and plan.parts == "lacking"):
            part_of = (part + 1, counted)
            place = path.with_name(f"level-{number}-{part}.dcm")
            _put(plan, place, image, piece, told | {"part": part_of, "first_frame": start})
    return shown


def _instance(plan: Plan, path: Path, image: np.ndarray, number: int, told: dict) -> None:
    _put(plan, path, image, _frames(plan, image), {"number": number, **told})


def _put(plan: Plan, path: Path, image: np.ndarray, frames: list, told: dict) -> None:
    told = dict(told)
    told.pop("order", None)
    untold = plan.told == "untold"
    factor = picture().shape[1] / image.shape[1]
    write_instance(
        path,
        Instance(
            size=(image.shape[1], image.shape[0]), tile=(TILE, TILE), mpp=MPP * round(factor),
            frames=frames, syntax=plan.syntax, photometric=plan.tagged, samples=plan.samples,
            bits=plan.bits, planar=plan.planar, sparse=plan.order != "full",
            focal_planes=1 if untold else plan.planes, paths=1 if untold else plan.paths,
            offsets=plan.offsets, fragments=plan.fragments, nested=plan.nested, **told,
        ),
    )  # fmt: skip


def _frames(plan: Plan, image: np.ndarray) -> list[tuple[int, int, int, int, bytes]]:
    """Encode the tiles, for every focal plane and optical path."""
    rows, columns = -(-image.shape[0] // TILE), -(-image.shape[1] // TILE)
    frames = []
    for path, z in itertools.product(range(plan.paths), range(plan.planes)):
        shifted = np.roll(image, 40 * (path + 2 * z), axis=1)
        for row, column in itertools.product(range(rows), range(columns)):
            tile = np.zeros((TILE, TILE, 3), np.uint8)
            part = shifted[row * TILE :, column * TILE :][:TILE, :TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            frames.append((row, column, z, path, _encoded(plan, tile)))
    return frames


def _encoded(plan: Plan, tile: np.ndarray) -> bytes:
    if plan.samples == 1:
        tile = np.ascontiguousarray(tile[..., 1])
    if plan.bits == 16:
        tile = tile.astype("<u2") * 257
    if plan.planar:
        tile = np.ascontiguousarray(np.moveaxis(tile, -1, 0))
    return encode(tile, plan.syntax, stream=plan.held, rate=plan.rate)


def _decoded(plan: Plan, image: np.ndarray, frames: list) -> np.ndarray:
    """What the level shows: itself, or what lossy streams hold, decoded one by one as written."""
    shown = image.copy()
    if plan.syntax not in {"jpeg", "j2k"} or plan.samples == 1:
        return shown
    for row, column, z, path, data in frames:
        if z or path:
            continue
        if plan.syntax == "jpeg":
            space = {"ycbcr": "YCBCR", "rgb": "RGB"}[plan.held]
            tile = imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace="RGB")
        else:
            tile = imagecodecs.jpeg2k_decode(data)
        place = shown[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
        place[:] = tile[: place.shape[0], : place.shape[1]]
    assert np.abs(shown.astype(int) - image).mean() < 5.0
    return shown


class Verdict(NamedTuple):
    """How a slide fared."""

    outcome: str
    note: str
    others: dict[str, str]


def judge(plan: Plan, folder: Path, shown: list[np.ndarray]) -> Verdict:
    """Read a slide with all readers and hold each against what it shows."""
    first = min(folder.glob("level-0*.dcm"))
    others = {"openslide": _by_openslide(first, shown), "wsidicom": _by_wsidicom(folder, shown)}
    try:
        with open_slide(folder if plan.opened == "folder" else first) as slide:
            left_out = "levels-disagree" in dict(slide.notes)
            as_many = len(slide.levels) == len(shown) or (left_out and plan.missing != "none")
            if not abs(slide.mpp / MPP - 1.0) < 1e-3 or not as_many:
                told = f"scale {slide.mpp}, {len(slide.levels)} levels"
                return Verdict("SILENTLY DIFFERENT", told, others)
            pictures = {image.shape[1::-1]: image for image in shown}
            for number, size in enumerate(slide.levels):
                ours = slide._source.read(number, 0, 0, size.width, size.height)
                if not _is_equal(ours, pictures[size.width, size.height]):
                    return Verdict("SILENTLY DIFFERENT", f"level {number}", others)
            return Verdict("equal", f"{len(slide.levels)} levels", others)
    except SlideError as error:
        true = [cause for cause in plan.causes if re.search(cause, error.message)]
        blamed = "damage" in error.message
        outcome = "refused, cause true" if true and not blamed else "REFUSED WITHOUT TRUE CAUSE"
        return Verdict(outcome, error.message, others)


def _is_equal(image: np.ndarray, expected: np.ndarray) -> bool:
    """JPEG decoders may round apart by one."""
    if image.shape != expected.shape:
        return False
    return int(np.abs(image.astype(int) - expected).max()) <= 1


def _on_white(region: object) -> np.ndarray:
    pixels = np.asarray(region).astype(float)
    weight = pixels[..., 3:] / 255.0 if pixels.shape[2] == 4 else 1.0
    return np.rint(pixels[..., :3] * weight + 255.0 * (1.0 - weight))


def _by_openslide(path: Path, shown: list[np.ndarray]) -> str:
    try:
        with openslide.OpenSlide(str(path)) as handle:
            same = len(handle.level_dimensions) == len(shown) and all(
                _is_equal(_on_white(handle.read_region((0, 0), k, size)), shown[k])
                for k, size in enumerate(handle.level_dimensions)
            )
    except openslide.OpenSlideError:
        return "refused"
    return "equal" if same else "differs"


def _by_wsidicom(folder: Path, shown: list[np.ndarray]) -> str:
    if wsidicom is None:
        return "not asked"
    try:
        with wsidicom.WsiDicom.open(folder) as slide:
            same = len(slide.levels) == len(shown) and all(
                _is_equal(
                    _on_white(slide.read_region((0, 0), level.level, image.shape[1::-1])), image
                )
                for level, image in zip(slide.levels, shown, strict=True)
            )
    except Exception:  # noqa: BLE001 -- another library's own reasons
        return "refused"
    return "equal" if same else "differs"


def campaign(n: int, seed: int, folder: Path) -> list[tuple[Plan, Verdict]]:
    """Write and judge ``n`` slides, one at a time."""
    found = []
    for number, plan in enumerate(plans(n, seed)):
        place = folder / f"slide-{number}"
        place.mkdir()
        shown = write(plan, place)
        found.append((plan, judge(plan, place, shown)))
        for file in place.iterdir():
            file.unlink()
    return found


def report(found: list[tuple[Plan, Verdict]], seconds: float) -> str:
    """Tell what came of it, as a section of a page."""
    outcomes = Counter(verdict.outcome for _, verdict in found)
    causes = Counter(
        next((c for c in plan.causes if re.search(c, verdict.note)), "none of the slide's own")
        for plan, verdict in found
        if verdict.outcome.lower().startswith("refused")
    )
    lines = [f"{environment()}: {len(found)} slides in {seconds:.0f} s.", ""]
    lines += [table(("outcome", "slides"), outcomes.most_common()), ""]
    lines += [table(("cause in the message", "slides"), causes.most_common()), ""]
    lines += [table_head("reader", "slides that Jecur reads", "equal", "differs", "refused")]
    for reader in ("openslide", "wsidicom"):
        for told in ("equal", "refused"):
            tally = Counter(v.others[reader] for _, v in found if v.outcome.startswith(told))
            label = "read" if told == "equal" else "refused"
            counts = (tally[name] for name in ("equal", "differs", "refused"))
            lines.append(table_row(reader, label, *counts))
    bad = [(plan, v) for plan, v in found if v.outcome.isupper()]
    lines += ["", "No slide was silently different."] if not bad else [""]
    lines += [f"- {v.outcome}: {tuple(plan)}: {v.note}" for plan, v in bad]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the campaign and tell what came of it."""
    parser = Arguments(__doc__)
    parser.add_argument("--slides", type=int, default=200)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = campaign(options.slides, options.seed, Path(folder))
    text = report(found, time.monotonic() - start)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

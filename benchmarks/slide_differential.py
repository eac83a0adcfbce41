"""Slides over the product of what a TIFF may be, read by OpenSlide, tifffile, Pillow and Jecur.

Every file is generated, so what it shows is known: the picture that was written, upright, on white.
A file passes if Jecur gives that picture on every level, or refuses it with a cause that is in the
file. Nothing in between: pixels that differ without a word are what is looked for.

    python -m benchmarks.slide_differential --files 400 --out benchmarks/results/slides-differential.md
"""

import itertools
import re
import struct
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openslide
import tifffile
from benchmarks.common import Arguments, environment, table, table_head, table_row
from PIL import Image, ImageOps

from jecur.errors import SlideError
from jecur.slide.reader import open_slide

WIDTH, HEIGHT, TILE, LEVELS = 340, 290, 128, 3
FACTORS = {
    "kind": ("tiff", "ome", "svs"),
    "codec": (
        "none", "lzw", "deflate", "packbits", "zstd", "lzma", "jpeg", "webp", "jpegxl",
        "j2k-33003", "j2k-33004", "j2k-33005", "j2k-34712",
    ),
    "colors": ("rgb", "ycbcr", "palette", "gray", "cmyk", "cielab"),
    "planar": ("contig", "separate"),
    "bits": (8, 16),
    "alpha": ("none", "premultiplied", "straight", "unspecified"),
    "tiling": ("tiles", "strips", "one-strip"),
    "orientation": (1, 2, 3, 4, 5, 6, 7, 8),
    "pyramid": ("none", "subifds", "pages"),
    "missing": ("none", "level-0", "level-1"),
    "scale": ("one", "contradiction", "tags-only"),
    "second": ("none", "same-size"),
}  # fmt: skip
CODECS = {
    "none": None, "j2k-33003": 33003, "j2k-33004": 33004, "j2k-33005": 33005, "j2k-34712": 34712,
    "deflate": 8, "jpegxl": 50002,
}  # fmt: skip
LOSSLESS_LEVEL = {"webp": {"lossless": True}, "jpegxl": {"level": 101}}
EXTRA = {"premultiplied": "assocalpha", "straight": "unassalpha", "unspecified": "unspecified"}
_ROUNDING = 2
"""Colors that went through a conversion (YCbCr, transparency) may differ by this."""
_ONLY_CODECS = {"jpeg", "webp", "jpegxl", "j2k-33003", "j2k-33004", "j2k-33005", "j2k-34712"}


class Plan(NamedTuple):
    """One file, by its factors."""

    kind: str
    codec: str
    colors: str
    planar: str
    bits: int
    alpha: str
    tiling: str
    orientation: int
    pyramid: str
    missing: str
    scale: str
    second: str

    @property
    def possible(self) -> bool:
        """Whether the writer can make it at all."""
        picture = self.codec in _ONLY_CODECS
        return not (
            (self.alpha != "none" and self.colors != "rgb")
            or (picture and self.colors in {"palette", "cmyk", "cielab"})
            or (picture and self.colors == "ycbcr" and self.codec != "jpeg")
            or (picture and (self.planar == "separate" or self.alpha != "none"))
            or (self.codec in {"jpeg", "webp"} and self.bits == 16)
            or (self.codec == "webp" and self.colors != "rgb")
            or (self.planar == "separate" and self.colors not in {"rgb", "ycbcr"})
            or (self.planar == "separate" and self.kind == "ome")
            or (self.bits == 16 and self.colors in {"palette", "ycbcr", "cielab"})
            or (self.missing != "none" and self.tiling != "tiles")
            or (self.missing == "level-1" and self.pyramid == "none")
            or (self.kind == "svs" and (self.tiling != "tiles" or self.pyramid == "subifds"))
            or (self.kind == "ome" and self.pyramid == "pages")
            or (self.kind == "tiff" and self.scale == "contradiction")
            or (self.kind == "ome" and self.colors == "palette")
        )

    @property
    def levels(self) -> int:
        """Levels that are written."""
        return 1 if self.pyramid == "none" else LEVELS

    @property
    def causes(self) -> list[str]:
        """Patterns of what may be said against the file; each names something that is in it."""
        found = {
            "16-bit": self.bits == 16,
            "gray": self.colors == "gray",
            "CMYK": self.colors == "cmyk",
            "CIELAB": self.colors == "cielab",
            "palette": self.colors == "palette" and self.kind == "svs",
            "fourth sample": self.alpha == "unspecified",
            "one scale": self.scale == "contradiction",
            "one scan": self.second != "none",
            "Orientation": self.kind == "svs" and self.orientation != 1,
            "nsupported|not supported": self.kind == "svs" and self.codec in _ONLY_CODECS,
            "planar|separate": self.planar == "separate" and self.kind == "svs",
        }
        return [pattern for pattern, true in found.items() if true]


def plans(n: int, seed: int) -> list[Plan]:
    """Draw ``n`` different files so that pairs of factor values are met as early as can be.

    Most draws leave some factors at their first value, else nearly every file would have
    some ground to be refused.
    """
    rng = np.random.default_rng(seed)
    seen: set[tuple[object, ...]] = set()
    chosen: dict[Plan, None] = {}
    while len(chosen) < n:
        drawn = [plan for plan in (_draw(rng) for _ in range(200)) if plan.possible]
        if not drawn:
            continue
        best = max(drawn, key=lambda plan: (plan not in chosen, len(_pairs(plan) - seen)))
        chosen[best] = None
        seen |= _pairs(best)
    return list(chosen)


def _draw(rng: np.random.Generator) -> Plan:
    plain = rng.random() < 0.8
    values = []
    for name, options in FACTORS.items():
        likely_first = plain and name in {"bits", "colors", "scale", "second"}
        first = likely_first and rng.random() < 0.95
        values.append(options[0] if first else options[int(rng.integers(len(options)))])
    return Plan(*values)


def _pairs(plan: Plan) -> set[tuple[object, ...]]:
    items = zip(FACTORS, plan, strict=True)
    return {(*a, *b) for a, b in itertools.combinations(items, 2)}


def picture(seed: int = 0) -> np.ndarray:
    """Colors that tell their place, with texture: no turn, shift or exchange leaves them equal."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    rng = np.random.default_rng(seed)
    texture = rng.normal(0.0, 6.0, (HEIGHT // 8 + 1, WIDTH // 8 + 1)).repeat(8, 0).repeat(8, 1)
    texture = texture[:HEIGHT, :WIDTH]
    red, green = 60.0 + 170.0 * x / WIDTH, 40.0 + 120.0 * y / HEIGHT
    blue = 130.0 + 60.0 * np.sin(x / 40.0) * np.cos(y / 30.0)
    colors = np.stack((red, green, blue), axis=-1) + texture[..., None]
    return np.clip(np.rint(colors), 0, 255).astype(np.uint8)


def _opacity(shape: tuple[int, ...]) -> np.ndarray:
    alpha = np.full(shape[:2], 255, np.uint8)
    alpha[:, : shape[1] // 2] = 128
    return alpha


def stored(plan: Plan, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Samples to write for a level, and the picture they stand for before it is turned."""
    shown: np.ndarray | None = colors
    samples = colors
    if plan.colors == "ycbcr":
        samples = np.asarray(Image.fromarray(colors).convert("YCbCr"))
        shown = np.asarray(Image.fromarray(samples, "YCbCr").convert("RGB"))
    elif plan.colors == "palette":
        samples = colors[..., 0]
        shown = palette()[samples]
    elif plan.colors == "gray":
        samples = colors[..., 1]
        shown = np.repeat(samples[..., None], 3, axis=2)
    elif plan.colors == "cmyk":
        samples = np.concatenate((255 - colors, np.zeros_like(colors[..., :1])), axis=2)
        shown = None
    elif plan.colors == "cielab":
        shown = None
    if plan.alpha != "none":
        alpha = _opacity(colors.shape)
        weight = alpha[..., None] / 255.0
        if plan.alpha == "premultiplied":
            samples = np.rint(colors * weight).astype(np.uint8)
        laid = np.rint(colors * weight + 255.0 * (1.0 - weight)).astype(np.uint8)
        shown = None if plan.alpha == "unspecified" else laid
        samples = np.concatenate((samples, alpha[..., None]), axis=2)
    if plan.bits == 16:
        samples, shown = samples.astype(np.uint16) * 257, None
    return samples, shown


def palette() -> np.ndarray:
    """(256, 3) colors."""
    ramp = np.arange(256)
    return np.stack((255 - ramp, ramp // 2 + 60, ramp * 7 % 256), axis=1).astype(np.uint8)


def turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored rows into the picture, by Pillow."""
    exif = Image.Exif()
    exif[274] = orientation
    turned = Image.fromarray(image)
    turned.info["exif"] = exif.tobytes()
    turned.getexif()[274] = orientation
    return np.asarray(ImageOps.exif_transpose(turned))


def write(plan: Plan, path: Path) -> list[np.ndarray | None]:
    """Write a file; return what each level shows, upright (None: nothing that can be shown)."""
    sizes = [1] if plan.pyramid == "none" else [2**k for k in range(LEVELS)]
    colors = picture()
    levels = [stored(plan, np.ascontiguousarray(colors[::step, ::step])) for step in sizes]
    with tifffile.TiffWriter(path, ome=False) as writer:
        for number, (samples, _) in enumerate(levels):
            options = _options(plan, samples, number)
            if plan.pyramid == "subifds" and number == 0:
                options["subifds"] = len(levels) - 1
            writer.write(_laid_out(plan, samples), **options)
        if plan.second != "none":
            other = stored(plan, picture(7)[::-1])[0]
            writer.write(_laid_out(plan, other), **_options(plan, other, 0, described=False))
    shown = [image for _, image in levels]
    if plan.codec == "jpeg" and shown[0] is not None:
        shown = _as_decoded(path, plan, shown)
    if plan.missing != "none":
        number = int(plan.missing[-1])
        _forget_tile(path, plan, number)
        if shown[number] is not None:
            blank = shown[number].copy()
            blank[:TILE, :TILE] = 255
            shown[number] = blank
    return [None if image is None else turn(image, plan.orientation) for image in shown]


def _laid_out(plan: Plan, samples: np.ndarray) -> np.ndarray:
    return np.moveaxis(samples, -1, 0) if plan.planar == "separate" else samples


def _options(plan: Plan, samples: np.ndarray, number: int, *, described: bool = True) -> dict:
    options: dict = {
        "photometric": {
            "rgb": "rgb", "ycbcr": "ycbcr", "palette": "palette", "gray": "minisblack",
            "cmyk": "separated", "cielab": "cielab",
        }[plan.colors],
        "compression": CODECS.get(plan.codec, plan.codec),
        "metadata": None,
        "extratags": [(274, "H", 1, plan.orientation, True)] if plan.orientation != 1 else [],
    }  # fmt: skip
    if samples.ndim == 3:
        options["planarconfig"] = plan.planar
    if plan.colors == "palette":
        options["colormap"] = (palette().astype(np.uint16) * 257).T
    if plan.colors == "ycbcr":
        options["subsampling"] = (2, 2) if plan.codec == "jpeg" else (1, 1)
    if plan.alpha != "none":
        options["extrasamples"] = [EXTRA[plan.alpha]]
    if plan.codec.startswith("j2k"):
        options["compressionargs"] = {"reversible": True, "level": 0}
    elif plan.codec in LOSSLESS_LEVEL:
        options["compressionargs"] = LOSSLESS_LEVEL[plan.codec]
    elif plan.codec == "jpeg":
        options["compressionargs"] = {"level": 95}
    if plan.tiling == "tiles":
        options["tile"] = (TILE, TILE)
    else:
        options["rowsperstrip"] = 48 if plan.tiling == "strips" else samples.shape[0]
    if number:
        options["subfiletype"] = 1
    else:
        mpp = {"one": 0.25, "contradiction": 0.5, "tags-only": 0.25}[plan.scale]
        options["resolution"] = (1e4 / mpp, 1e4 / mpp)
        options["resolutionunit"] = "centimeter"
        if described:
            options["description"] = _description(plan)
    return options


def _description(plan: Plan) -> str:
    if plan.kind == "svs":
        mpp = "" if plan.scale == "tags-only" else "|MPP = 0.2500"
        return f"Aperio Image Library v11 \n{WIDTH}x{HEIGHT} (128x128) x|AppMag = 40{mpp}"
    if plan.kind != "ome":
        return ""
    scale = "" if plan.scale == "tags-only" else (
        "PhysicalSizeX='250' PhysicalSizeXUnit='nm' PhysicalSizeY=\"0.00025\" "
        'PhysicalSizeYUnit="mm"'
    )  # fmt: skip
    channels = {"gray": 1, "cmyk": 4}.get(plan.colors, 4 if plan.alpha != "none" else 3)
    images = "".join(
        f'<o:Image ID="Image:{k}" Name="scan &amp; {k}"><o:Pixels ID="Pixels:{k}" '
        f'DimensionOrder="XYCZT" Type="uint{plan.bits}" SizeX="{WIDTH}" SizeY="{HEIGHT}" '
        f'SizeC="{channels}" SizeZ="1" SizeT="1" {scale}>'
        f'<o:Channel ID="Channel:{k}:0" SamplesPerPixel="{channels}"/>'
        f'<o:TiffData IFD="{k}" PlaneCount="1"/></o:Pixels></o:Image>'
        for k in range(1 if plan.second == "none" else 2)
    )
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return f'<?xml version="1.0" encoding="UTF-8"?><o:OME xmlns:o="{space}">{images}</o:OME>'


def _pages(file: tifffile.TiffFile, plan: Plan) -> list[tifffile.TiffPage]:
    first = file.pages[0]
    if plan.pyramid == "subifds":
        return [first, *first.pages]
    return list(file.pages)[: 1 if plan.pyramid == "none" else LEVELS]


def _as_decoded(path: Path, plan: Plan, shown: list) -> list[np.ndarray]:
    """JPEG loses something: what tifffile's decoder gives, if it is near to what was written."""
    with tifffile.TiffFile(path) as file:
        found = [np.asarray(page.asarray()) for page in _pages(file, plan)]
    found = [np.repeat(x[..., None], 3, axis=2) if x.ndim == 2 else x for x in found]
    for image, written in zip(found, shown, strict=True):
        assert np.abs(image.astype(int) - written).mean() < 15.0
    return found


def _forget_tile(path: Path, plan: Plan, number: int) -> None:
    """Set offset and byte count of a level's first tile to 0, in every plane."""
    with tifffile.TiffFile(path) as file:
        page = _pages(file, plan)[number]
        planes = int(page.samplesperpixel) if plan.planar == "separate" else 1
        per_plane = len(page.databytecounts) // planes
        places = [
            (tag.valueoffset + k * per_plane * size, size)
            for tag in (page.tags[324], page.tags[325])
            for size in [struct.calcsize({3: "H", 4: "I", 16: "Q"}[int(tag.dtype)])]
            for k in range(planes)
        ]
    with path.open("r+b") as file:
        for at, size in places:
            file.seek(at)
            file.write(bytes(size))


class Verdict(NamedTuple):
    """How a file fared."""

    outcome: str
    note: str
    others: dict[str, str]


def judge(plan: Plan, path: Path, shown: list[np.ndarray | None]) -> Verdict:
    """Read a file with all readers and hold each against what it shows."""
    # Pillow is not asked of files with tiles that are not stored: what it owes there is not defined
    pillow = "not asked" if plan.missing != "none" else _by_pillow(path, shown[0])
    # OpenSlide can end the process at separate planes of an Aperio file, or at missing tiles
    # between equal levels
    doubled = plan.missing != "none" and plan.second != "none"
    fatal = plan.kind == "svs" and (plan.planar == "separate" or doubled)
    others = {"openslide": "not asked" if fatal else _by_openslide(path, shown), "pillow": pillow}
    others["tifffile"] = _by_tifffile(path, plan, shown)
    tolerance = _ROUNDING if plan.alpha != "none" or plan.colors in {"ycbcr", "palette"} else 0
    try:
        with open_slide(path) as slide:
            if not abs(slide.mpp / 0.25 - 1.0) < 1e-3:
                return Verdict("SILENTLY DIFFERENT", f"scale {slide.mpp}", others)
            left_out = plan.levels - len(slide.levels)
            if (left_out > 0) != ("levels-disagree" in dict(slide.notes)):
                return Verdict("SILENTLY DIFFERENT", f"{left_out} levels left out", others)
            if left_out > 0 and plan.missing == "none":
                return Verdict("SOUND LEVELS LEFT OUT", str(slide.notes), others)
            for number, size in enumerate(slide.levels):
                ours = slide._source.read(number, 0, 0, size.width, size.height)
                stored = round(np.log2(slide.downsamples[number]))
                expected = _expected(plan, path, stored, shown)
                if expected is None or ours.shape != expected.shape:
                    return Verdict("SILENTLY DIFFERENT", f"level {number}: no such picture", others)
                worst = int(np.abs(ours.astype(int) - expected).max())
                if worst > tolerance + (plan.codec == "jpeg"):
                    return Verdict("SILENTLY DIFFERENT", f"level {number}: by {worst}", others)
            return Verdict("equal", f"{slide.reader}, {len(slide.levels)} levels", others)
    except SlideError as error:
        true = [c for c in plan.causes if re.search(c, error.message)]
        blamed = "damage" in error.message
        outcome = "refused, cause true" if true and not blamed else "REFUSED WITHOUT TRUE CAUSE"
        return Verdict(outcome, error.message, others)


def _expected(
    plan: Plan, path: Path, number: int, shown: list[np.ndarray | None]
) -> np.ndarray | None:
    """What is known to be shown; OpenSlide's picture where Aperio's tiles are missing."""
    if plan.kind == "svs" and plan.missing != "none":
        handle = openslide.OpenSlide(str(path))
        region = np.asarray(
            handle.read_region((0, 0), number, handle.level_dimensions[number])
        ).astype(float)
        handle.close()
        weight = region[..., 3:] / 255.0
        return np.rint(region[..., :3] * weight + 255.0 * (1.0 - weight)).astype(np.uint8)
    return shown[number] if number < len(shown) else None


def _compared(image: np.ndarray, expected: np.ndarray | None) -> str:
    if expected is None:
        return "shows something"
    if image.shape != expected.shape:
        return "differs"
    return "equal" if np.abs(image.astype(int) - expected).max() <= _ROUNDING + 1 else "differs"


def _by_openslide(path: Path, shown: list[np.ndarray | None]) -> str:
    try:
        with openslide.OpenSlide(str(path)) as handle:
            results = set()
            for number, size in enumerate(handle.level_dimensions[: len(shown)]):
                region = np.asarray(handle.read_region((0, 0), number, size)).astype(float)
                weight = region[..., 3:] / 255.0
                laid = np.rint(region[..., :3] * weight + 255.0 * (1.0 - weight))
                results.add(_compared(laid, shown[number]))
            return "differs" if "differs" in results else results.pop()
    except openslide.OpenSlideError:
        return "refused"


def _by_pillow(path: Path, shown: np.ndarray | None) -> str:
    try:
        with Image.open(path) as opened:
            image = opened.copy()
            if image.mode in {"RGBA", "LA"}:
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image.convert("RGBA"))
            return _compared(np.asarray(ImageOps.exif_transpose(image).convert("RGB")), shown)
    except Exception:  # noqa: BLE001 -- another library's own reasons
        return "refused"


def _by_tifffile(path: Path, plan: Plan, shown: list[np.ndarray | None]) -> str:
    """Stored samples as tifffile gives them, which leaves colors and turns to its caller."""
    try:
        with tifffile.TiffFile(path) as file:
            images = [np.asarray(page.asarray()) for page in _pages(file, plan)]
    except Exception:  # noqa: BLE001 -- another library's own reasons
        return "refused"
    results = {_compared(image, expected) for image, expected in zip(images, shown, strict=False)}
    return "differs" if "differs" in results else results.pop()


def campaign(n: int, seed: int, folder: Path) -> list[tuple[Plan, Verdict]]:
    """Write and judge ``n`` files, one at a time."""
    found = []
    for plan in plans(n, seed):
        suffix = {"tiff": ".tif", "ome": ".ome.tif", "svs": ".svs"}[plan.kind]
        path = folder / f"file{suffix}"
        shown = write(plan, path)
        found.append((plan, judge(plan, path, shown)))
        path.unlink()
    return found


def _report(found: list[tuple[Plan, Verdict]], seconds: float) -> str:
    outcomes = Counter(verdict.outcome for _, verdict in found)
    lines = [
        "# Slides over the product of what a TIFF may be",
        "",
        f"{environment()}: {len(found)} files in {seconds:.0f} s.",
        "",
        "What a file shows is known, because it was generated: Jecur's pixels are held against it on",
        "every level and to the edges (exact; 1 for JPEG's rounding, 2 where colors are converted).",
        "",
        table(("outcome", "files"), outcomes.most_common()),
        "",
        "Reasons of refusal:",
        "",
    ]
    causes = Counter(
        next((c for c in plan.causes if re.search(c, verdict.note)), "none of the file's own")
        for plan, verdict in found
        if verdict.outcome.lower().startswith("refused")
    )
    rows = [(name.replace("|", " or "), count) for name, count in causes.most_common()]
    lines += [table(("cause in the message", "files"), rows)]
    lines += ["", "Other readers on the files that Jecur reads equal:", ""]
    lines += [table_head("reader", "equal", "differs", "refused")]
    for reader in ("openslide", "pillow", "tifffile"):
        tally = Counter(v.others[reader] for _, v in found if v.outcome == "equal")
        lines.append(table_row(reader, tally["equal"], tally["differs"], tally["refused"]))
    lines += [
        "",
        "(What makes the others differ was not looked into file by file. tifffile gives samples as they",
        "are stored, unturned and without laying transparency on white or converting YCbCr.)",
        "",
    ]
    bad = [(p, v) for p, v in found if v.outcome.isupper()]
    lines += ["No file was silently different."] if not bad else []
    lines += [f"- {v.outcome}: {tuple(p)}: {v.note}" for p, v in bad]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the campaign and write what came of it."""
    parser = Arguments(__doc__)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = campaign(options.files, options.seed, Path(folder))
    text = _report(found, time.monotonic() - start)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

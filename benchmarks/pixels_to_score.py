"""From pixels to scores: one 40x slide of 529 tiles, and 60 slides of 36, before and after in one run.

    python -m benchmarks.pixels_to_score make SCRATCH --images IMAGES
    python -m benchmarks.pixels_to_score run SCRATCH --before TREE --rounds 3 --peers PYTHON --out RESULT.md
    python -m benchmarks.pixels_to_score stages SCRATCH

``make`` lays real 40x fields (a folder of images of 1000 px) side by side as Aperio slides in JPEG with two
further levels, and writes a model: MobileNetV2 on four channels with the starting weights that ship. ``run``
calls ``jecur score`` as a user does, start-up included: this version, this version with its tiles kept, and
another source tree (an older version); ways take turns. With ``--peers`` the interpreter of another
environment runs `benchmarks/pixels_peer.py` on the large slide, between the rounds. ``stages`` measures each
step on one core.
CPU seconds are those of all processes: they say more than the clock where a machine has other work.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import simplejpeg
import tifffile
from benchmarks.common import ROOT, Arguments, table, write_result
from PIL import Image

MODEL = """
from pathlib import Path
import msgspec, sys
from jecur.nuclei.segmentation import BUILTIN
from jecur.settings import StainSettings, TilingSettings
from jecur.training.export import encoder_to_onnx
from jecur.training.mobilenet import build_encoder
from tests.model_files import toy_card, write_toy
card = toy_card()
recipe = msgspec.structs.replace(card.recipe, tiling=TilingSettings(), stain=StainSettings())
network = build_encoder("mobilenetv2_100", channels=4, start="builtin", seed=0)
graph = encoder_to_onnx(network, tile_px=224)
held = BUILTIN.read_bytes()
write_toy(Path(sys.argv[1]), card=toy_card(recipe=recipe), encoder_onnx=graph, nuclei_onnx=held)
"""
TEXT = "Aperio Image Library v11.2.1 \n{w}x{h} (256x256) jpeg|AppMag = 40|MPP = 0.25"
SIDE = 512
"""Of a tile of 128 um at 40x, pixels."""


def write_slide(path: Path, image: np.ndarray) -> None:
    """Write RGB pixels as a 40x Aperio slide of three levels."""
    how = {"tile": (256, 256), "photometric": "ycbcr", "compression": "jpeg", "metadata": None,
           "compressionargs": {"level": 85}, "subsampling": (2, 2)}  # fmt: skip
    with tifffile.TiffWriter(path) as out:
        for k, step in enumerate((1, 4, 16)):
            level = Image.fromarray(image).reduce(step) if step > 1 else Image.fromarray(image)
            text = TEXT.format(w=image.shape[1], h=image.shape[0]) if k == 0 else None
            # tifffile stores what it is given: the colors are turned before
            out.write(np.asarray(level.convert("YCbCr")), description=text, **how)


def mosaic(fields: list[np.ndarray], side: int, rng: np.random.Generator) -> np.ndarray:
    """Fields side by side, turned at random, cut to ``side`` pixels."""
    n = -(-side // 1000)
    rows = [
        np.concatenate(
            [np.rot90(fields[rng.integers(len(fields))], rng.integers(4)) for _ in range(n)], axis=1
        )
        for _ in range(n)
    ]
    return np.ascontiguousarray(np.concatenate(rows)[:side, :side])


def make(scratch: Path, images: Path, before: Path) -> None:
    fields = [
        np.asarray(Image.open(p).convert("RGB"))[:1000, :1000] for p in sorted(images.glob("*.png"))
    ]
    rng = np.random.default_rng(0)
    (scratch / "small").mkdir(parents=True, exist_ok=True)
    write_slide(scratch / "large.svs", mosaic(fields, 23 * SIDE, rng))
    for k in range(60):
        few = [fields[i] for i in rng.choice(len(fields), 2, replace=False)]
        write_slide(scratch / "small" / f"s{k:02}.svs", mosaic(few, 6 * SIDE, rng))
    environment = os.environ | {"PYTHONPATH": f"{before / 'src'}:{before}"}
    command = [sys.executable, "-c", MODEL, str(scratch / "model.jecur")]
    subprocess.run(command, check=True, env=environment, cwd=before, capture_output=True)


def score(
    tree: Path, slides: list[Path], scratch: Path, more: list[str]
) -> tuple[float, float, int]:
    """Seconds by the clock, CPU seconds and bytes beside pictures of one ``jecur score``."""
    out = scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "jecur", "score", *map(str, slides), "--model",
         str(scratch / "model.jecur"), "--out", str(out), "-j", "2", *more],
        check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(tree / "src")},
    )  # fmt: skip
    took = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    left = sum(p.stat().st_size for p in out.rglob("*") if p.is_file() and p.suffix != ".png")
    return took, cpu, left


def peer(python: Path, scratch: Path) -> tuple[int, float, float]:
    """Other toolkits on the large slide: tiles, seconds in all, seconds from the first tile asked for."""
    corners = [f"{column * SIDE} {row * SIDE}" for row in range(23) for column in range(23)]
    tiles = scratch / "tiles.txt"
    tiles.write_text("\n".join([str(SIDE), *corners]) + "\n")
    command = [python, ROOT / "benchmarks" / "pixels_peer.py", scratch / "large.svs"]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run(
        [*map(str, command), "--tiles", str(tiles)],
        check=True, capture_output=True, text=True, env=clean,
    ).stdout.split()  # fmt: skip
    return int(said[-3]), float(said[-2]), float(said[-1])


def run(scratch: Path, before: Path, rounds: int, peers: Path | None) -> str:
    ways = {"before": (before, []), "tiles kept": (ROOT, ["--keep-tiles"]), "now": (ROOT, [])}
    parts = []
    for name, slides in (
        ("One slide", [scratch / "large.svs"]),
        ("60 slides", sorted((scratch / "small").glob("*.svs"))),
    ):
        found = {way: [] for way in ways}
        risks, tiles, others = {}, 0, []
        for turn in range(rounds):
            for way, (tree, more) in ways.items():
                found[way].append(score(tree, slides, scratch, more))
                scores = pd.read_csv(scratch / "out" / "scores.csv")
                risks[way], tiles = scores["risk"].tolist(), int(scores["n_tiles"].sum())
            if peers is not None and name == "One slide" and turn == 0:
                others.append(peer(peers, scratch))
        same = all(risk == risks["now"] for risk in risks.values())
        base = [statistics.median(r[k] for r in found["before"]) for k in (0, 1)]
        rows = []
        for way, runs in found.items():
            clock, cpu = (statistics.median(r[k] for r in runs) for k in (0, 1))
            rows.append(
                (way, f"{clock:.1f}", f"{tiles / clock:.1f}", f"{clock / base[0]:.2f}", f"{cpu:.1f}",
                 f"{1000 * cpu / tiles:.1f}", f"{cpu / base[1]:.2f}", f"{runs[-1][2] / 1e6:.2f}")
            )  # fmt: skip
        head = (
            "way",
            "s",
            "tiles/s",
            "to before",
            "CPU s",
            "CPU ms a tile",
            "to before",
            "MB left beside pictures",
        )
        said = "the same to the last digit" if same else "DIFFERENT"
        parts.append(f"## {name}, {tiles} tiles; risks {said}\n\n{table(head, rows)}")
        ours = tiles / statistics.median(r[0] for r in found["now"])
        for n, whole, asked in others:
            parts.append(
                "TIAToolbox (reader, Vahadane), smp U-Net and timm MobileNetV2 on the same slide, once, in "
                f"the same run: {n} tiles, {n / whole:.2f} tiles/s start-up included ({n / asked:.2f} from "
                f"the first tile on). Ours, start-up included: {ours / (n / whole):.1f} and "
                f"{ours / (n / asked):.1f} times that."
            )
    return "\n\n".join(parts)


def stages(scratch: Path) -> str:
    from jecur.mil.looks import measure_looks  # noqa: PLC0415
    from jecur.mil.scoring import TileScorer  # noqa: PLC0415
    from jecur.model.file import read_bundle  # noqa: PLC0415
    from jecur.nuclei.segmentation import NucleiModel, add_nuclei_channel  # noqa: PLC0415
    from jecur.slide.quality import measure_tiles  # noqa: PLC0415
    from jecur.slide.reader import open_slide  # noqa: PLC0415
    from jecur.slide.tiling import read_tiles, sample_pixels, tile_tissue  # noqa: PLC0415
    from jecur.slide.tissue import find_tissue  # noqa: PLC0415
    from jecur.stain.appearance import StainReference  # noqa: PLC0415
    from jecur.stain.normalizer import fit_normalizer  # noqa: PLC0415

    once, each = [], []

    def timed(rows, name, n, work):
        begun = time.process_time()
        result = work()
        rows.append((name, f"{1000 * (time.process_time() - begun) / n:.2f}"))
        return result

    bundle = timed(
        once, "read and check the model file", 1, lambda: read_bundle(scratch / "model.jecur")
    )
    recipe = bundle.card.recipe
    nuclei = timed(
        once, "open the nuclei network", 1, lambda: NucleiModel.load(recipe.nuclei, threads=1)
    )
    scorer = timed(once, "open the encoder", 1, lambda: TileScorer(bundle, threads=1))
    slide = timed(once, "open the slide", 1, lambda: open_slide(scratch / "large.svs"))
    tissue = timed(once, "tissue", 1, lambda: find_tissue(slide, recipe.tissue))
    grid = tile_tissue(slide, tissue, recipe.tiling)
    known: dict = {}
    rng = np.random.default_rng(recipe.stain.seed)
    pixels = timed(
        once, "60 tiles for the stains (not read again)", 1,
        lambda: sample_pixels(slide, grid, recipe.stain.n_pixels, rng, keep=known),
    )  # fmt: skip
    reference = StainReference.from_dict(recipe.stain_reference)
    normalizer = timed(
        once, "fit of the stains", 1,
        lambda: fit_normalizer(pixels, recipe.stain, reference, tissue.glass),
    )  # fmt: skip
    scale = max(slide.size.width, slide.size.height) * slide.mpp / 512
    timed(once, "thumbnail", 1, lambda: slide.overview(scale))
    n = len(grid)
    batches = timed(each, "read: decode and resample", n, lambda: list(read_tiles(slide, grid, 8)))
    timed(each, "quality", n, lambda: [measure_tiles(b.rgb, tissue.glass) for b in batches])
    normal = timed(each, "normal colors", n, lambda: [normalizer.apply(b.rgb) for b in batches])
    tiles = timed(each, "nuclei", n, lambda: [add_nuclei_channel(nuclei, rgb) for rgb in normal])
    timed(each, "encoder", n, lambda: [scorer.score_tiles(t) for t in tiles])
    some = np.concatenate(tiles[:8])[:48]
    timed(once, "looks of 48 tiles", 1, lambda: measure_looks(some, None))
    coded = simplejpeg.encode_jpeg(np.ascontiguousarray(batches[0].rgb[0][:, :, :]), quality=85)
    area = (SIDE / batches[0].rgb.shape[1]) ** 2
    limit: list = []
    timed(
        limit,
        "decode of as many JPEG pixels",
        100 / area,
        lambda: [simplejpeg.decode_jpeg(coded) for _ in range(100)],
    )
    a = np.ones((1024, 1024), np.float32)
    timed(
        limit,
        "a matrix product of as many steps as MobileNetV2 (0.3 GMAC)",
        10 * 1024**3 / 0.3e9,
        lambda: [a @ a for _ in range(10)],
    )
    return (
        f"## One core, ms\n\nOnce a slide of {n} tiles:\n\n{table(('step', 'ms'), once)}\n\n"
        f"Each tile:\n\n{table(('step', 'ms'), each)}\n\nLimits, each tile:\n\n{table(('what', 'ms'), limit)}"
    )


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("what", choices=("make", "run", "stages"))
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--before", type=Path, default=ROOT, help="source tree of an older version")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, help="interpreter with tiatoolbox, smp and timm")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.what == "make":
        make(asked.scratch, asked.images, asked.before.resolve())
        return
    text = (
        run(asked.scratch, asked.before.resolve(), asked.rounds, asked.peers)
        if asked.what == "run"
        else stages(asked.scratch)
    )
    write_result(asked.out, "From pixels to scores", None, text)


if __name__ == "__main__":
    main()

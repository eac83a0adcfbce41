"""Damaged slides: no crash, no hang, no memory eaten, no wrong tile without a word.

    python -m benchmarks.slide_mutation SLIDES SCRATCH --copies 100

Every good file is copied with one random damage each: bytes flipped, the end cut off, or four bytes
in the first or last 64 KiB overwritten. A child process opens the copy, finds tissue and reads all
tiles as a run would. Each tile is compared with the clean slide's own pixels at that place. For those that
pass without a word, the share of a tile's pixels that differ is printed (median, most).
"""

import json
import os
import resource
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from benchmarks.common import Arguments, table_head, table_row

from jecur.errors import JecurError
from jecur.settings import QualitySettings, TilingSettings, TissueSettings
from jecur.slide.quality import TileQuality, judge_slide, measure_tiles
from jecur.slide.reader import open_slide
from jecur.slide.tiling import TileLoss, read_tiles, tile_tissue
from jecur.slide.tissue import find_tissue

GOOD = (
    "svs_cmu1_small_region/CMU-1-Small-Region.svs",
    "constructed/generic_pyramid.tiff",
    "constructed/constructed_philips.tiff",
    "constructed/constructed_HE.ndpi",
    "constructed/constructed.scn",
    "constructed/pyramid.ome.tiff",
    "constructed/dicom_cmu1_colourfixed",
    "constructed/mirax/constructed_sparse.mrxs",
)
TILING = TilingSettings(min_tissue_fraction=0.1)
SECONDS, BYTES = 60, 2 * 2**30
KINDS = ("flip", "cut", "overwrite")


def read_all(path: Path, clean: Path | None) -> dict:
    """What a run would see: status, code, and how many tiles differ from the clean slide's."""
    try:
        with open_slide(path) as slide:
            tissue = find_tissue(slide, TissueSettings())
            grid = tile_tissue(slide, tissue, TILING)
            loss, measured, wrong, n, shares = TileLoss(), [], 0, 0, []
            sound = open_slide(clean) if clean else None
            for batch in read_tiles(slide, grid, 32, loss=loss):
                measured.append(measure_tiles(batch.rgb, tissue.glass))
                n += len(batch.rgb)
                for index, tile in zip(batch.indices, batch.rgb, strict=True):
                    if sound is not None:
                        x, y = (float(v) for v in grid.positions[index])
                        expected = sound.read_region(x, y, grid.side_px, grid.output_px)
                        share = float((tile != expected).any(axis=-1).mean())
                        wrong += share > 0
                        shares += [share] if share else []
            if not measured:
                return {"status": "failed", "code": "no-tile-readable", "wrong": 0, "tiles": 0}
            quality = judge_slide(
                slide, tissue, grid, TileQuality.join(measured), loss, QualitySettings()
            )
            told = {"status": quality.status, "code": quality.code, "wrong": wrong, "tiles": n}
            return told | {"shares": shares}
    except JecurError as error:
        return {"status": "failed", "code": error.code, "wrong": 0, "tiles": 0}


def in_child(path: Path, clean: Path) -> dict:
    """Read in a forked child with limits of time and memory."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            before = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf(
                "SC_PAGE_SIZE"
            )
            resource.setrlimit(resource.RLIMIT_AS, (before + BYTES,) * 2)
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            os.write(writing, json.dumps(read_all(path, clean)).encode())
            code = 0
        except MemoryError:
            os.write(writing, json.dumps({"status": "memory", "wrong": 0}).encode())
            code = 0
        except BaseException as error:  # noqa: BLE001 -- an exception of no named kind is a finding
            os.write(writing, json.dumps({"status": f"bug: {error!r}"[:200], "wrong": 0}).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    started = time.monotonic()
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _, status, usage = os.wait4(child, 0)
    if not told:
        late = time.monotonic() - started > SECONDS - 5
        return {"status": "hang" if late else f"crash (signal {os.WTERMSIG(status)})", "wrong": 0}
    return json.loads(told) | {"mib": usage.ru_maxrss / 1024}


def damage(path: Path, kind: str, rng: np.random.Generator) -> None:
    """Damage one file in place."""
    content = bytearray(path.read_bytes())
    if kind == "cut":
        del content[int(rng.integers(1, len(content))) :]
    elif kind == "flip":
        for at in rng.integers(0, len(content), int(rng.integers(1, 17))):
            content[at] ^= int(rng.integers(1, 256))
    else:
        edge = min(65_536, len(content) - 4)
        start = (
            int(rng.integers(0, edge))
            if rng.integers(2)
            else len(content) - 4 - int(rng.integers(0, edge))
        )
        content[start : start + 4] = rng.bytes(4)
    path.write_bytes(content)


def copy_of(source: Path, folder: Path) -> Path:
    """Copy a slide (a file, a folder, or a .mrxs with its folder)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    target = folder / source.name
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
        if source.suffix == ".mrxs":
            shutil.copytree(source.with_suffix(""), target.with_suffix(""))
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


def parts_of(target: Path) -> list[Path]:
    """Files that may be damaged, larger ones more often."""
    if target.suffix == ".mrxs":
        return sorted(
            p for p in target.with_suffix("").rglob("*") if p.is_file() and p.stat().st_size > 8
        )
    if target.is_dir():
        return sorted(p for p in target.rglob("*.dcm"))
    return [target]


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("slides", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--copies", type=int, default=100)
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="these in their place")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    files = asked.more or [asked.slides / name for name in GOOD]
    heads = ("file", "copies", "failed", "flagged", "ok, tiles equal", "flagged or failed, tiles differ",
             "ok, tiles differ", "crash, hang, memory, bug", "peak MiB")  # fmt: skip
    print(table_head(*heads))
    total, silent = Counter(), []
    for number, source in enumerate(files):
        count, peak, worst = Counter(), 0.0, []
        for copy in range(asked.copies):
            rng = np.random.default_rng([asked.seed, number, copy])
            target = copy_of(source, asked.scratch / "copy")
            kind = KINDS[copy % 3]
            parts = parts_of(target)
            weights = np.array([p.stat().st_size for p in parts], dtype=float)
            damage(parts[int(rng.choice(len(parts), p=weights / weights.sum()))], kind, rng)
            found = in_child(target, source)
            peak = max(peak, found.get("mib", 0.0))
            status, differs = found["status"], bool(found["wrong"])
            key = status if status in {"failed", "flagged", "ok"} else "bad"
            count[key, differs] += 1
            silent += found.get("shares", []) if key == "ok" else []
            if key == "bad" or (key == "ok" and differs):
                worst.append((kind, status, found["wrong"], found.get("tiles")))
        total += count
        cells = [
            count["failed", False], count["flagged", False], count["ok", False],
            count["flagged", True] + count["failed", True], count["ok", True], count["bad", False],
        ]  # fmt: skip
        print(table_row(source.name, asked.copies, *cells, f"{peak:.0f}"), flush=True)
        for found in worst:
            print(f"    {source.name}: {found}", file=sys.stderr, flush=True)
    print({f"{k}, differ: {d}": n for (k, d), n in total.items()})
    if silent:
        print(
            f"{len(silent)} tiles differ without a word; share of their pixels: median "
            f"{np.median(silent):.4f}, 90 % below {np.quantile(silent, 0.9):.3f}, most {max(silent):.3f}"
        )


if __name__ == "__main__":
    main()

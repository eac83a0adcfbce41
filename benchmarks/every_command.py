"""Every command on the demonstration, and a comparison of what two versions of the program wrote.

    python -m benchmarks.every_command run JECUR OUT        # JECUR: the program, such as .venv/bin/jecur
    python -m benchmarks.every_command compare BEFORE AFTER [--renamed old=new ...]

`run` leaves one folder a command with its files, `stdout` and `code`. `compare` holds all numbers
of all JSON, CSV and Parquet files against each other to the last bit, and pictures by their bytes; what
differs by name is listed, not hidden.
"""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
from benchmarks.common import Arguments, table

N_THREADS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
ONE_DAY = {"at", "created", "finished", "started", "seconds", "versions", "jecur", "cpu_seconds"}
"""Keys that tell when and by which version, not what."""


def commands(out: Path) -> dict[str, list[str]]:
    """Name -> arguments, in the order they need each other."""
    demo = out / "demo" / "demo"
    study, slides = demo / "cohort" / "study.toml", demo / "cohort" / "slides"
    model = demo / "models" / "jecur-demonstration.jecur"
    first, second = (str(slides / f"{name}.tif") for name in ("v0001-1", "v0002-1"))
    found = sorted(slides.glob("*")) if slides.is_dir() else []
    if found:
        first, second = str(found[0]), str(found[1])
    small, scores = out / "simulate" / "cohort", str(demo / "scores.csv")
    table = str(demo / "cohort" / "clinical.csv")

    def to(name: str) -> str:
        return str(out / name / name.rsplit("-", maxsplit=1)[-1])

    return {
        "demo": ["demo", "--out", str(demo)],
        "simulate": ["simulate", "--out", str(small), "--training", "24", "--validation", "8"],
        "inspect": ["inspect", first, second, "--json"],
        "doctor": ["doctor", str(slides), "--table", table, "--study", str(study), "--json"],
        "stain-estimate": ["stain", "estimate", first, "--json"],
        "stain-preview": ["stain", "preview", first, second, "--out", str(out / "stain-preview" / "s.png")],
        "nuclei-map": ["nuclei", "map", first, "--out", to("nuclei-map")],
        "score": ["score", first, second, "--model", str(model), "--out", to("score")],
        "model-show": ["model", "show", str(model)],
        "verify": ["verify", str(demo), "--json"],
        "nuclei-features": ["nuclei", "features", str(demo)],
        "evaluate": ["evaluate", "--scores", scores, "--study", str(study), "--out", to("evaluate")],
        "train": ["train", str(small / "short.toml"), "--out", to("train")],
        "crossval": ["crossval", str(small / "short.toml"), "--folds", "2", "--out", to("crossval")],
        "tma-map": ["tma", "map", first, "--out", str(out / "tma-map" / "map.csv")],
    }  # fmt: skip


SHORT = """
[training]
seed = 0
epochs = 2
frozen_blocks = 5
tiles_per_bag = 4
"""
"""A training of minutes, in the words that both the old and the new study files take."""


def write_short(study: Path) -> None:
    """Write ``short.toml`` beside a study file: the same study, trained for two epochs."""
    parts = re.split(r"(?m)^(?=\[)", study.read_text(encoding="utf-8"))
    kept = "".join(part for part in parts if not part.startswith(("[training]", "[training.")))
    study.with_name("short.toml").write_text(kept + SHORT, encoding="utf-8")


def run(program: str, out: Path, only: list[str]) -> None:
    for name in only or commands(out):
        arguments = commands(out)[name]
        if name in {"train", "crossval"}:
            write_short(out / "simulate" / "cohort" / "study.toml")
        (out / name).mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | N_THREADS,
        )
        (out / name / "stdout").write_text(done.stdout)
        (out / name / "stderr").write_text(done.stderr)
        (out / name / "code").write_text(f"{done.returncode}\n")
        print(f"{name}: {done.returncode}", flush=True)


def numbers(value: object, place: str = "") -> dict[str, float]:
    """Place -> number, of a tree of JSON."""
    if isinstance(value, dict):
        parts = [numbers(v, f"{place}.{k}") for k, v in value.items() if k not in ONE_DAY]
        return {k: v for part in parts for k, v in part.items()}
    if isinstance(value, list):
        parts = [numbers(v, f"{place}[{i}]") for i, v in enumerate(value)]
        return {k: v for part in parts for k, v in part.items()}
    return {place: float(value)} if isinstance(value, int | float) else {}


def numbers_in(path: Path) -> dict[str, float] | None:
    """Every number of a file; None where it holds none that can be compared."""
    if path.suffix == ".json" or (path.name == "stdout" and path.read_text()[:1] in "{["):
        text = path.read_text()
        for parts in ([text], text.splitlines()):  # one object, or one a line
            try:
                return numbers([json.loads(part) for part in parts])
            except ValueError:
                continue
        return None
    if path.suffix in {".csv", ".parquet"}:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        held = {}
        for column in frame.select_dtypes("number"):
            if column not in ONE_DAY:
                held |= {f"{column}[{i}]": float(v) for i, v in enumerate(frame[column])}
        return held
    return None


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def compare(before: Path, after: Path, renamed: dict[str, str]) -> int:
    """Print a table a command: files, numbers, those that differ; return how many differ."""

    def named(place: str) -> str:
        for old, new in renamed.items():
            place = place.replace(old, new)
        return place

    rows = []
    wrong = 0
    details: list[str] = []
    for folder in sorted(p for p in before.iterdir() if p.is_dir()):
        ours = after / folder.name
        code = [(p / "code").read_text().strip() for p in (folder, ours)]
        files = n = differing = lost = new = 0
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            relative = named(path.relative_to(folder).as_posix())
            held, other = numbers_in(path), ours / relative
            if held is None:
                if path.suffix in {".npy", ".png", ".jpg", ".tiff"} and other.is_file():
                    files, n = files + 1, n + 1
                    if path.read_bytes() != other.read_bytes():
                        differing += 1
                        details.append(f"{folder.name}/{relative}: other bytes")
                continue
            if not other.is_file():
                details.append(f"{folder.name}/{relative}: only before")
                lost += len(held)
                continue
            files += 1
            theirs = numbers_in(other) or {}
            moved = {named(k): v for k, v in held.items()}
            both = moved.keys() & theirs.keys()
            bad = [k for k in both if not same(moved[k], theirs[k])]
            n, differing = n + len(both), differing + len(bad)
            lost, new = lost + len(moved.keys() - both), new + len(theirs.keys() - both)
            details += [
                f"{folder.name}/{relative}{k}: {moved[k]!r} -> {theirs[k]!r}" for k in bad[:5]
            ]
            if moved.keys() - both:
                details.append(f"{folder.name}/{relative}: lost {sorted(moved.keys() - both)[:4]}")
        wrong += differing
        shown = code[0] if code[0] == code[1] else " -> ".join(code)
        rows.append((folder.name, shown, files, n, differing, lost, new))
    heads = ("command", "exit code", "files", "numbers", "different", "only before", "only after")
    print(f"{table(heads, rows)}\n")
    print("\n".join(f"- {line}" for line in details))
    return wrong


def main() -> int:
    parser = Arguments(__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    runs = parts.add_parser("run")
    runs.add_argument("program")
    runs.add_argument("out", type=Path)
    runs.add_argument("--only", nargs="*", default=[], help="these commands, others are there")
    against = parts.add_parser("compare")
    against.add_argument("before", type=Path)
    against.add_argument("after", type=Path)
    against.add_argument("--renamed", nargs="*", default=[])
    given = parser.parse_args()
    if given.part == "run":
        run(given.program, given.out.resolve(), given.only)
        return 0
    renamed = dict(pair.split("=", 1) for pair in given.renamed)
    return 1 if compare(given.before, given.after, renamed) else 0


if __name__ == "__main__":
    sys.exit(main())

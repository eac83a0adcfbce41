"""A first hour as a user has it: a messy folder of slides and an Excel sheet, then the commands.

    python -m benchmarks.walk_through make FOLDER        slides and clinic.xlsx, as people have them
    python -m benchmarks.walk_through walk FOLDER        init, doctor, run, crossval, score twice; times

The slides are drawn (`jecur.simulate`); names, sheet, dates and faults are those of a clinic.
"""

import os
import resource
import shutil
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import tifffile
from benchmarks.common import Arguments, table

from jecur.settings import SimulationSettings
from jecur.simulate.cohort import simulate_cohort
from jecur.simulate.slide import write_slide

N_PATIENTS, N_SECOND = 35, 3
"""One of the patients has lost their slide; three have a second one; one has a stain of antibodies:
38 slides."""
HEADINGS = (
    "Pat. No", "Sex", "Age (years)", "Centre", "AFP [ng/ml]", "Cirrhosis", "Vascular invasion", "TNM stage",
    "Date of surgery", "Recurrence", "Date of recurrence", "Died", "Date of death", "Last follow-up",
    "Comments",
)  # fmt: skip
ANSWERS = ("endpoint=recurrence-free survival", "split=fraction")
"""What `jecur init` asks of this sheet: no heading says them, and they are a choice."""


def messy_name(number: int, part: int = 0) -> str:
    """Name of a slide file, as several people gave them over the years."""
    forms = (
        "HCC-{n:03d}.tiff", "hcc_{n}.tiff", "Scan2019_HCC{n:03d}_HE.tiff", "batch 2/HCC {n:04d} (copy).tiff",
        "batch 2/HCC-{n}_tumour.tiff",
    )  # fmt: skip
    name = forms[number % len(forms)].format(n=number)
    return name.replace(".tiff", f" block{part + 1}.tiff") if part else name


def make_clinic(folder: Path, *, size_px: int = 1536, workers: int = 1, seed: int = 22) -> Path:
    """Make a folder of slides and an Excel sheet; return the sheet."""
    drawn = folder / "drawn"
    simulate_cohort(
        SimulationSettings(
            n_training=N_PATIENTS + N_SECOND,
            n_validation=0,
            seed=seed,
            size_px=size_px,
            tissue_fraction=0.6,
            workers=workers,
        ),
        drawn,
    )
    table = pd.read_csv(drawn / "clinical.csv", dtype=str)
    slides = [drawn / "slides" / name for name in table["slide"]]
    for k in range(N_PATIENTS - 1):  # the last patient's slide is missing
        _move(slides[k], folder / "slides" / messy_name(k + 1))
    for k in range(N_SECOND):
        _move(slides[N_PATIENTS + k], folder / "slides" / messy_name(4 * k + 2, part=1))
    _antibody_stain(slides[N_PATIENTS - 1], folder / "slides" / "HCC-009_IHC_GPC3.tiff")
    _write_sheet(table.iloc[:N_PATIENTS], folder / "clinic.xlsx")
    shutil.rmtree(drawn)
    return folder / "clinic.xlsx"


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)


def _antibody_stain(source: Path, target: Path) -> None:
    """Stain a slide brown, as antibodies against glypican-3 do."""
    pixels = tifffile.imread(source, key=0)
    density = -np.log((pixels.astype(np.float32) + 1) / 256).mean(axis=2, keepdims=True)
    brown = np.exp(-density * np.array([0.55, 1.15, 1.6], dtype=np.float32))
    write_slide(target, (255 * brown).astype(np.uint8), um_per_px=0.5)


def _write_sheet(table: pd.DataFrame, path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Patients"
    sheet.append(["Liver resections 2008-2014, pathology"])
    sheet.append([])
    sheet.append(HEADINGS)
    for k, row in enumerate(table.to_dict("records")):
        sheet.append(_row(k, row))
    sheet.append([])
    sheet.append(["Legend: n.d. = not determined; <2 = below the limit of the assay"])
    notes = book.create_sheet("Notes")
    notes.append(["exported for the study"])
    book.save(path)


def _row(k: int, row: dict[str, str]) -> list[object]:
    surgery = date(2008, 1, 10) + timedelta(45 * k)
    end = surgery + timedelta(round(float(row["months"]) * 30.4375))
    again = row["recurrence"] == "1"
    died = again and k % 3 == 0
    death = end + timedelta(200) if died else None
    contact = death or (end + timedelta(90) if again else end)
    afp = "<2" if k in {4, 11, 20} else ("n.d." if k in {7, 16} else float(row["afp_ng_ml"]))
    return [
        f"HCC-{k + 1:03d}",
        {"male": "m", "female": "f"}[row["sex"]],
        round(float(row["age"])),
        ("North", "South", "West")[k % 3],
        afp,
        ("Yes", "No")[k % 4 == 0],
        "n.d." if k == 13 else ("No" if row["vascular_invasion"] == "none" else "Yes"),
        row["stage"],
        surgery,
        "Yes" if again else "No",
        end.strftime("%d.%m.%Y") if again else None,
        "Yes" if died else "No",
        death,
        contact,
        "second block cut" if k in {1, 5, 9} else None,
    ]


COMMANDS = (
    ["init", "study", "--table", "clinic.xlsx", "--slides", "slides", *(f"--answer={a}" for a in ANSWERS)],
    ["doctor", "study/study.toml"],
    ["run", "study/study.toml", "--out", "study/run"],
    ["crossval", "study/study.toml", "--out", "study/cv", "--folds", "3"],
    ["score", "slides/HCC-005.tiff", "--model", "study/run/models/clinic.jecur", "--out", "study/scored"],
    [
        "score", "--study", "study/study.toml", "--model", "study/run/models/clinic.jecur",
        "--out", "study/scored", "--report",
    ],
)  # fmt: skip
"""What a user types, in order."""


def in_folder(word: str, folder: Path) -> str:
    """One word of a command, its paths in a folder."""
    paths = ("study", "clinic.xlsx", "slides")
    return str(folder / word) if word.split("/", maxsplit=1)[0] in paths else word


def walk(folder: Path) -> None:
    """Type the commands; print each with exit code, seconds, seconds of processor, and what it said."""
    rows = []
    for command in COMMANDS:
        begun, before = time.monotonic(), _processor_s()
        done = subprocess.run(
            [sys.executable, "-m", "jecur", *command],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        took, worked = time.monotonic() - begun, _processor_s() - before
        print(f"$ jecur {' '.join(command)}")
        print(done.stdout.strip() or done.stderr.strip())
        print(
            f"[exit code {done.returncode}, {took:.0f} s, {worked:.0f} s of processor]\n",
            flush=True,
        )
        rows.append((" ".join(command[:2]), done.returncode, took, worked))
    rows.append(
        ("all", max(row[1] for row in rows), sum(r[2] for r in rows), sum(r[3] for r in rows))
    )
    shown = [(f"`{name}`", code, f"{s:.0f}", f"{cpu:.0f}") for name, code, s, cpu in rows]
    print(table(("command", "exit code", "seconds", "seconds of processor"), shown))
    print("load average:", " ".join(f"{load:.1f}" for load in os.getloadavg()))


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Make the clinic, or walk through it."""
    parser = Arguments(__doc__)
    parser.add_argument("what", choices=("make", "walk"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=1536)
    asked = parser.parse_args()
    if asked.what == "make":
        make_clinic(asked.folder, size_px=asked.size)
    else:
        walk(asked.folder)


if __name__ == "__main__":
    main()

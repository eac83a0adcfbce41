"""Reproduce the paper's validation on a virtual TCGA: simulated slides, real names, real follow-up.

    python -m benchmarks.reproduce_virtual DATA --patients 60 --seed 0 --crossval

For some of the 302 patients slides are drawn under the names that TCGA's slides have, in the folders
that `jecur fetch` makes. Their tissue leans on the patients' real follow-up (planted), or on nothing
(null). The model was trained on other, wholly virtual patients. `jecur reproduce liu2021` must find a
hazard ratio in the first and none in the second. Nothing here says anything of real slides.
"""

import importlib
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.common import Arguments
from scipy.special import betaincinv, ndtr, ndtri
from scipy.stats import rankdata

from jecur.cli import run as run_command
from jecur.cohort.tcga.endpoint import EVENT
from jecur.cohort.tcga.lihc import TcgaFiles, read_tcga_lihc
from jecur.demo import demo_cohort, study_of_virtual_cohort
from jecur.fetch.lists import shipped_slides
from jecur.pipeline import train_study
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.runs.workers import run_all
from jecur.settings import (
    PRESETS,
    SimulationSettings,
    TcgaSettings,
    TrainingSettings,
    make_settings,
)
from jecur.simulate.cohort import simulate_cohort
from jecur.simulate.regions import FEATURES, TissueFeatures
from jecur.simulate.slide import render_rgb, write_slide
from jecur.simulate.stains import site_stain, slide_stain
from jecur.simulate.tissue import render_tissue

SIDE_PX, UM_PER_PX = 1536, 0.5
SIGNS = np.array([1.0, 1.0, 1.0, -1.0])  # stroma, atypia, hyperchromasia, immune
LEAN = 0.8
"""Correlation of each feature with the rank of the patient's residual, where it is planted."""


def residuals(months: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Martingale residuals: events less those expected by then (Nelson-Aalen)."""
    order = np.argsort(months, kind="stable")
    at_risk = len(months) - np.arange(len(months))
    hazard = np.cumsum(event[order] / at_risk)
    found = np.empty(len(months))
    found[order] = event[order] - hazard
    return found


def latent_features(frame: pd.DataFrame, lean: float, rng: np.random.Generator) -> np.ndarray:
    """Draw (n, 4) features in [0, 1] with the marginal distribution of virtual cohorts."""
    residual = residuals(frame["time"].to_numpy(float), (frame["event"] == EVENT).to_numpy(float))
    score = ndtri((rankdata(residual) - 0.5) / len(residual))
    noise = rng.standard_normal((len(score), 4))
    latent = SIGNS * (lean * score[:, None] + np.sqrt(1 - lean**2) * noise)
    return betaincinv(1.3, 1.3, ndtr(latent))


def draw(order: tuple[Path, list[float], list[int]]) -> str:
    """Draw one slide."""
    path, features, seed = order
    rng = np.random.default_rng(seed)
    tissue = render_tissue(
        TissueFeatures(**dict(zip(FEATURES, features, strict=True))),
        (SIDE_PX, SIDE_PX),
        UM_PER_PX,
        rng,
        tissue_fraction=0.45,
        heterogeneity=0.3,
    )
    site = site_stain(np.random.default_rng(seed[:2]), angle_deg=4.0, intensity_sd=0.12)
    stain = slide_stain(site, rng, angle_deg=1.5, intensity_sd=0.06)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_slide(path, render_rgb(tissue, stain, rng), um_per_px=UM_PER_PX, quality=87)
    return path.name


def write_tcga(
    folder: Path, clinical: Path, *, patients: int, seed: int, lean: float
) -> tuple[int, int]:
    """Write a virtual TCGA; return patients and events."""
    portal = next(iter(sorted(clinical.rglob("data_clinical_patient.txt"))))
    biotab = next(iter(sorted(clinical.rglob("*clinical_patient_lihc.txt")))).parent
    settings = TcgaSettings(histology="hcc", residual="exclude-r1-r2")
    frame = read_tcga_lihc(TcgaFiles(portal), settings).frame
    rng = np.random.default_rng(seed)
    features = latent_features(frame, lean, rng)
    files = {file.patient: file for file in shipped_slides("https://x")[0] if "-DX1" in file.name}
    listed = np.flatnonzero(frame["patient_id"].isin(list(files)))
    chosen = np.sort(rng.choice(listed, patients, replace=False))
    sites = {site: k for k, site in enumerate(sorted(set(frame["site"])))}
    orders = [
        (
            files[frame["patient_id"][k]].place(folder),
            features[k].tolist(),
            [seed, sites[frame["site"][k]], int(k)],
        )
        for k in chosen
    ]
    by_name = importlib.import_module("benchmarks.reproduce_virtual").draw  # workers import it
    for outcome in run_all(by_name, orders, workers=2, progress=SilentProgress(), title="Drawing"):
        if not isinstance(outcome.result, str):
            raise SystemExit(outcome.result)
    for source, name in ((portal.parent, "lihc_tcga"), (biotab, "biotab")):
        shutil.copytree(source, folder / "clinical" / name, dirs_exist_ok=True)
    return len(chosen), int((frame["event"][chosen] == EVENT).sum())


def train(base: Path) -> Path:
    """Train on 120 wholly virtual patients by the preset jecur: the encoder stays as it ships."""
    demo = demo_cohort(seed=1, null=False, workers=2)
    settings = SimulationSettings(
        n_training=demo.n_training,
        n_validation=0,
        seed=11,
        workers=2,
        size_px=SIDE_PX,
        log_hazard_per_sd=demo.log_hazard_per_sd,
    )
    simulate_cohort(settings, base / "training")
    training = make_settings({**PRESETS["jecur"], "preset": "jecur"}, TrainingSettings)
    study = study_of_virtual_cohort("Virtual training", training)
    run = RunFolder.open(base / "training-run")
    model, _ = train_study(study, base / "training", run, workers=2, progress=SilentProgress())
    return model


def rows(out: Path) -> str:
    """The cells that have a number of ours, beside the paper's."""
    table = pd.read_csv(out / "paper.csv")
    known = table[table["ours"].notna()]
    return "\n".join(
        f"  {r.where}: {r.what}: paper {r.paper:.4g}, ours {r.ours:.4g}"
        + (f" (n {r.n:.0f}, {r.events:.0f} events)" if r.events == r.events else "")
        for r in known.itertuples()
    )


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_data()
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--crossval", action="store_true")
    parser.add_argument("--base", type=Path, help="folder that stays; a temporary one if left out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        base = given.base or Path(temporary)
        begun = time.monotonic()
        model = train(base)
        print(f"model trained: {time.monotonic() - begun:.0f} s", flush=True)
        for name, lean in (("planted", LEAN), ("null", 0.0)):
            data, out = base / name, base / f"{name}-run"
            begun = time.monotonic()
            n, events = write_tcga(
                data, given.data / "clinical", patients=given.patients, seed=given.seed, lean=lean
            )
            print(f"{name}: {n} patients, {events} events; drawn: {time.monotonic() - begun:.0f} s")
            begun = time.monotonic()
            command = ["reproduce", "liu2021", "--data", str(data), "--out", str(out)]
            code = run_command([*command, "--model", str(model), "-j", "2"])
            print(f"{name}: exit code {code}, {time.monotonic() - begun:.0f} s\n{rows(out)}")
            print(
                (out / "paper.md").read_text(encoding="utf-8").partition("## Paper")[0], flush=True
            )
        if given.crossval:
            out = base / "crossval-run"
            more = ["--preset", "jecur", "--folds", "3", "--max-tiles", "12", "-j", "2"]
            code = run_command(
                ["reproduce", "liu2021", "--data", str(base / "planted"), "--out", str(out), *more]
            )
            print(f"without a model: exit code {code}\n{rows(out)}")
            print((out / "crossval.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()

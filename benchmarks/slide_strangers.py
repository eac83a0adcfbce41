"""How many slides are told to be unlike the training slides: of the same generator, and strangers.

    python -m benchmarks.slide_strangers DATA SCRATCH [RESULTS.md]

Three virtual cohorts (seeds 41 to 43). Of each, the training patients make the model's memory, the
validation patients of the same cohort and those of the next one (other laboratories, same habits)
are held against it; so are virtual slides of other stain families, and every real slide and picture
of DATA that a run would score, pictures at their stated or supposed scale. Nothing was chosen on
these numbers: limit and everyday spread are fixed in the product.
"""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from benchmarks.common import Arguments, table, write_result

from jecur.errors import JecurError
from jecur.mil.likeness import SlideLooks, fit_looks, likeness
from jecur.mil.looks import read_looks
from jecur.runs.folder import RunFolder, fingerprint
from jecur.settings import CohortSettings, EndpointSettings, SimulationSettings, StudySettings
from jecur.simulate.cohort import simulate_cohort
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb, write_slide
from jecur.simulate.stains import VirtualStain, slide_stain
from jecur.simulate.tissue import render_tissue
from jecur.study.prepare import prepare_slide
from jecur.study.recipe import recipe_of_study
from jecur.study.slide_task import SlideTask

SEEDS = (41, 42, 43)
N_TRAINING, N_NEW, N_FAMILY, SIDE_PX, UM = 60, 40, 16, 1536, 0.5
FAMILIES = {
    "hematoxylin and DAB": ([0.65, 0.70, 0.29], [0.27, 0.57, 0.78], (1.0, 1.0)),
    "hematoxylin and PAS-like magenta": ([0.55, 0.76, 0.35], [0.18, 0.98, 0.11], (1.0, 1.2)),
    "eosin towards orange (HES-like)": ([0.62, 0.71, 0.335], [0.08, 0.80, 0.60], (1.0, 1.0)),
    "hematoxylin and eosin, twice as dense": (
        [0.62, 0.71, 0.335], [0.135, 0.915, 0.38], (2.0, 2.0),
    ),
    "hematoxylin and eosin, faded to half": (
        [0.62, 0.71, 0.335], [0.135, 0.915, 0.38], (0.5, 0.5),
    ),
}  # fmt: skip
PICTURES = (("stain/*.png", 0.5), ("liver/*/*.png", 0.5), ("liver/*/images/*.png", 0.5),
            ("liver/*/*.jpg", 0.5), ("slides/qc/*.jpeg", 0.5), ("slides/tma/*.jpeg", 0.5))  # fmt: skip


def study():
    endpoint = EndpointSettings(
        kind="recurrence-free survival", unit="months", event_values=("1",), censored_values=("0",)
    )
    return StudySettings(
        name="scores_without_patient",
        cohort=CohortSettings(table="t.csv", slide_folder="s", endpoint=endpoint),
    )


def looks(order):
    """Looks of one slide, or why there are none."""
    try:
        made = prepare_slide(order)
    except JecurError as error:
        return error.code
    if not made.usable:
        return made.code
    found = read_looks(order.run.slide_folder(order.slide))
    return SlideLooks(order.patient, found, made.vendor, made.mpp)


def family_slides(scratch):
    """Write slides of every other stain family, {family: paths}."""
    made = {}
    for k, (name, (h, e, factor)) in enumerate(FAMILIES.items()):
        made[name] = []
        for i in range(N_FAMILY):
            path = scratch / "families" / f"{k}-{i}.tiff"
            made[name].append(path)
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng([4100, k, i])
            unit = np.array([h, e]) / np.linalg.norm([h, e], axis=1, keepdims=True)
            base = VirtualStain(unit, np.array(factor), np.array([244.0, 243.0, 245.0]))
            stain = slide_stain(base, rng, angle_deg=1.5, intensity_sd=0.06)
            features = TissueFeatures(*rng.uniform(0.1, 0.9, 4))
            tissue = render_tissue(features, (SIDE_PX, SIDE_PX), UM, rng, heterogeneity=0.3)
            write_slide(path, render_rgb(tissue, stain, rng), um_per_px=UM)
    return made


def main():
    parser = Arguments(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("processes", type=int, nargs="?", default=2)
    given = parser.parse_args()
    data, scratch = given.data, given.scratch
    recipe = recipe_of_study(study())
    run = RunFolder.open(scratch / "run")
    groups = {}
    for seed in SEEDS:
        settings = SimulationSettings(
            n_training=N_TRAINING, n_validation=N_NEW, seed=seed, size_px=SIDE_PX, um_per_px=UM
        )
        cohort = simulate_cohort(settings, scratch / f"cohort-{seed}")
        for k, path in enumerate(cohort.slides):
            part = "training" if k < N_TRAINING else "new"
            groups.setdefault((seed, part), []).append((path, None))
    for name, paths in family_slides(scratch).items():
        groups["family", name] = [(path, None) for path in paths]
    whole = [p for p in (data / "slides").rglob("*") if p.is_file() and "qc" not in p.parts]
    kinds = {".svs", ".tif", ".tiff", ".ndpi", ".scn", ".mrxs", ".bif", ".vms"}
    slides = [(p, None) for p in sorted(whole) if p.suffix.lower() in kinds]
    slides += [(p, None) for p in sorted((data / "slides").rglob("*"))
               if p.is_dir() and any(p.glob("*.dcm"))]  # fmt: skip
    groups["real", "slides"] = slides
    groups["real", "pictures"] = [
        (p, mpp) for pattern, mpp in PICTURES for p in sorted(data.glob(pattern))
    ]
    found = {}
    with ProcessPoolExecutor(given.processes) as pool:
        for key, members in groups.items():
            orders = [
                SlideTask(fingerprint(str(p))[:12], p.name, p, mpp, recipe, run)
                for p, mpp in members
            ]
            found[key] = list(zip((p for p, _ in members), pool.map(looks, orders), strict=True))
            print(key, len(members), flush=True)
    report(found, given.out)


def report(found, out):
    lines = []
    totals = {}
    odd = []
    for n, seed in enumerate(SEEDS):
        training = fit_looks([s for _, s in found[seed, "training"] if not isinstance(s, str)])
        other = SEEDS[(n + 1) % len(SEEDS)]
        tested = {"same cohort, new patients": found[seed, "new"],
                  "same generator, other laboratories": found[other, "new"]}  # fmt: skip
        tested |= {f"family: {k[1]}": v for k, v in found.items() if k[0] == "family"}
        tested |= {f"real: {k[1]}": v for k, v in found.items() if k[0] == "real"}
        for name, members in tested.items():
            scored = [(p, s) for p, s in members if not isinstance(s, str)]
            told = [(p, likeness(training, s.measures)) for p, s in scored]
            distances = [t.distance for _, t in told]
            row = totals.setdefault(name, [0, 0, 0, [], []])
            row[0] += len(scored)
            row[1] += len(members) - len(scored)
            row[2] += sum(t.unlike for _, t in told)
            row[3] += distances
            row[4].append(training.limit)
            for p, t in told:
                if t.unlike == ("same" in name):
                    most = ", ".join(f"{m} {v:+.1f}" for m, v in t.most)
                    odd.append(f"- seed {seed}, {name}: {p.name} at {t.distance:.2f} ({most})")
    for name, (held, failed, flagged, distances, limits) in totals.items():
        share = f"{flagged / held:.1%}" if held else "-"
        middle = f"{np.median(distances):.2f}" if distances else "-"
        span = f"{min(limits):.2f} to {max(limits):.2f}"
        lines.append((name, held, failed, flagged, share, middle, span))
    heads = (
        "Slides",
        "Held",
        "Not scored by any run",
        "Flagged",
        "Share",
        "Median distance",
        "Limit",
    )
    text = table(heads, lines)
    text += "\n\nAgainst the wish (flagged of the same generator, or others passed):\n\n"
    write_result(
        out, "Slides unlike the training slides", __doc__, text + ("\n".join(odd) or "- none")
    )


if __name__ == "__main__":
    main()

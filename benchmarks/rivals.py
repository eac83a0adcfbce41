"""Models side by side on virtual cohorts: each kind of effect of the tissue planted, and none.

A cohort is simulated, prepared once and compared by `jecur compare` on its validation role. Kinds are those
of `jecur simulate --plant`, and "null", where every interval should hold 0.5. Trained encoders (paper,
coudray, scnn) are left out unless they are named: they take most of the time.

    python -m benchmarks.rivals --out rivals-out --training 40 --validation 40

Where ``tissue`` is among the models, a classifier is first trained on drawings of some training patients.
"""

import json
import time
from pathlib import Path

import msgspec
from benchmarks.common import Arguments, table, write_result

from jecur.demo import study_of_virtual_cohort
from jecur.rivals.compare import compare_models
from jecur.runs.folder import RunFolder
from jecur.runs.progress import LineProgress
from jecur.settings import (
    CompareSettings,
    SimulationSettings,
    TrainingSettings,
    read_study,
    write_study,
)
from jecur.simulate.cohort import simulate_cohort
from jecur.statistics.results import to_json_dict
from jecur.study.tissue_drawings import TissueOrder
from jecur.study.tissue_training import train_tissue

MODELS = "clinical,jecur,chowder,lstm,nuclear-features,architecture,til"
KINDS = ("tissue", "architecture", "til", "stroma", "null")


def _cohort(folder: Path, given, kind: str) -> Path:
    study = folder / "study.toml"
    if not study.is_file():
        settings = SimulationSettings(
            n_training=given.training, n_validation=given.validation, seed=given.seed, null=kind == "null",
            plant="tissue" if kind == "null" else kind,
            size_px=given.size_px, tissue_fraction=0.7, workers=given.workers, drawings=given.drawings,
        )  # fmt: skip
        simulate_cohort(settings, folder)
        virtual = study_of_virtual_cohort("Virtual", TrainingSettings.from_flat(seed=given.seed))
        cache = str((given.out / "cache").resolve())  # the same slides under another hazard
        run = msgspec.structs.replace(virtual.run, cache=cache)
        study.write_text(write_study(msgspec.structs.replace(virtual, run=run)))
    return study


def _tissue_model(folder: Path, study: Path, given) -> str:
    order = TissueOrder(study.parent / "drawings", fewest=10, cover=given.cover)
    found = train_tissue(
        read_study(study), study.parent, RunFolder.open(folder / "tissue"), order,
        workers=given.workers, progress=LineProgress(),
    )  # fmt: skip
    print(found.card.n_tiles, found.card.left_out, found.card.test)
    return str(found.path)


def _compared(folder: Path, given, kind: str):
    study = _cohort(folder / "cohort", given, kind)
    models = tuple(given.models.split(","))
    settings = CompareSettings(
        models=models,
        n_bootstrap=given.draws,
        tissue_model=_tissue_model(folder, study, given) if "tissue" in models else "",
    )
    found = compare_models(
        read_study(study), study.parent, RunFolder.open(folder / "compared"), settings,
        workers=given.workers, progress=LineProgress(),
    )  # fmt: skip
    (folder / "found.json").write_text(json.dumps(to_json_dict(found.comparison)))
    return found


def _rows(name: str, found):
    for model in found.comparison.models:
        c = model.statistics.concordance
        cost = found.costs[model.name]
        reached = (
            "not estimable"
            if c.estimate is None
            else f"{c.estimate:.3f} ({c.lower:.3f}-{c.upper:.3f})"
        )
        brier = "-" if model.brier.estimate is None else f"{model.brier.estimate:.3f}"
        yield (
            name,
            model.title,
            reached,
            brier,
            f"{cost.seconds / 60:.1f}",
            f"{cost.peak_mib:.0f}",
        )
    for name_, reason in found.failed.items():
        yield (name, name_, reason, "-", "-", "-")


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--training", type=int, default=40)
    parser.add_argument("--validation", type=int, default=40)
    parser.add_argument("--size-px", type=int, default=768)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--drawings", type=int, default=12, help="patients drawn on, for tissue")
    parser.add_argument(
        "--cover", type=float, default=0.75, help="share of a tile its class covers"
    )
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--result", type=Path)
    given = parser.parse_args()
    rows, missed, intervals, began = [], 0, 0, time.monotonic()
    for kind in given.kinds:
        found = _compared(given.out / kind, given, kind)
        rows += _rows(kind, found)
        if kind == "null":
            limits = [
                m.statistics.concordance for m in found.comparison.models if m.name != "clinical"
            ]
            missed += sum(c.lower is not None and not c.lower <= 0.5 <= c.upper for c in limits)
            intervals += len(limits)
        text = table(("planted", "model", "concordance (95 % CI)", "Brier", "minutes", "MiB"), rows)
        text += (
            f"\n\nWhere nothing is planted, {missed} of {intervals} intervals of models of the tissue miss "
            f"0.5; 5 % do by chance. {time.monotonic() - began:.0f} s in all."
        )
        write_result(given.result, "Models side by side", __doc__, text)


if __name__ == "__main__":
    main()

"""Models side by side on virtual cohorts with a planted effect of the tissue, and on one without.

A cohort is simulated, prepared once and compared by `jecur compare` on its validation role; then the same
with nothing planted, where every interval should hold 0.5. Trained encoders (paper, coudray, scnn) are left
out unless they are named: they take most of the time.

    python -m benchmarks.rivals --out rivals-out --training 40 --validation 40
"""

import json
import time
from pathlib import Path

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

MODELS = "clinical,jecur,chowder,lstm,nuclear-features,jecur+clinical"


def _cohort(folder: Path, given, *, seed: int, null: bool) -> Path:
    study = folder / "study.toml"
    if not study.is_file():
        settings = SimulationSettings(
            n_training=given.training, n_validation=given.validation, seed=seed, null=null,
            size_px=given.size_px, tissue_fraction=0.7, workers=given.workers,
        )  # fmt: skip
        simulate_cohort(settings, folder)
        virtual = study_of_virtual_cohort("Virtual", TrainingSettings.from_flat(seed=seed))
        study.write_text(write_study(virtual))
    return study


def _compared(folder: Path, given, *, seed: int, null: bool):
    study = _cohort(folder / "cohort", given, seed=seed, null=null)
    settings = CompareSettings(models=tuple(given.models.split(",")), n_bootstrap=given.draws)
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
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--result", type=Path)
    given = parser.parse_args()
    rows, missed, intervals, began = [], 0, 0, time.monotonic()
    for seed in given.seeds:
        for null in (False, True):
            name = f"{'null' if null else 'planted'}, seed {seed}"
            found = _compared(
                given.out / name.replace(", ", "-").replace(" ", "-"), given, seed=seed, null=null
            )
            rows += _rows(name, found)
            if null:
                tissue = [m for m in found.comparison.models if "clinical" not in m.name]
                limits = [m.statistics.concordance for m in tissue]
                missed += sum(c.lower is not None and not c.lower <= 0.5 <= c.upper for c in limits)
                intervals += len(limits)
    text = table(("cohort", "model", "concordance (95 % CI)", "Brier", "minutes", "MiB"), rows)
    text += (
        f"\n\nWithout an effect of the tissue {missed} of {intervals} intervals of models of the tissue miss "
        f"0.5; 5 % do by chance. {time.monotonic() - began:.0f} s in all."
    )
    write_result(given.result, "Models side by side", __doc__, text)


if __name__ == "__main__":
    main()

"""Models side by side on virtual cohorts: each kind of effect of the tissue planted, and none.

A cohort is simulated, prepared once and compared by `jecur compare` on its validation role. Kinds are those
of `jecur simulate --plant`, and "null", where every interval should hold 0.5. Trained encoders (paper,
coudray, scnn) are left out unless they are named: they take most of the time.

    python -m benchmarks.rivals --out rivals-out --training 40 --validation 40 --seeds 101 102

Where ``tissue`` is among the models, a classifier is first trained on drawings of some training patients.
Cohorts of one kind are then put together: pairs are formed within a cohort, and every model is held against
the one that is made for what was planted. Where a model has no scores, its patients there are tied.
"""

import json
import time
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from benchmarks.common import Arguments, table, write_result

from jecur.cohort.cohort import read_cohort
from jecur.demo import study_of_virtual_cohort
from jecur.evaluation.report import evaluation_input
from jecur.rivals.compare import compare_models
from jecur.rivals.joint import JOINT
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
from jecur.statistics.compared import ModelRisks, compare_models_of
from jecur.statistics.results import EvaluationInput, to_json_dict
from jecur.study.tissue_drawings import TissueOrder
from jecur.study.tissue_training import train_tissue

MODELS = "clinical,jecur,chowder,lstm,nuclear-features,architecture,til"
KINDS = ("tissue", "architecture", "til", "stroma", "atypia", "null")
MADE_FOR = {
    "tissue": "jecur",
    "architecture": "architecture",
    "til": "til",
    "stroma": "tissue",
    "atypia": "nuclear-features",
    "null": "clinical",
}
"""The model that the others are held against where a kind is planted."""
WITH_COVARIATES = ("clinical", JOINT)
"""Endings of models that see covariates, which keep effects of their own where nothing is planted."""


def _cohort(folder: Path, given, kind: str, seed: int) -> Path:
    study = folder / "study.toml"
    if not study.is_file():
        settings = SimulationSettings(
            n_training=given.training, n_validation=given.validation, seed=seed, null=kind == "null",
            plant="tissue" if kind == "null" else kind,
            size_px=given.size_px, tissue_fraction=0.7, workers=given.workers, drawings=given.drawings,
        )  # fmt: skip
        simulate_cohort(settings, folder)
        virtual = study_of_virtual_cohort("Virtual", TrainingSettings.from_flat(seed=seed))
        cache = str((given.out / str(seed) / "cache").resolve())  # the same slides, other hazards
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


def _compared(folder: Path, given, kind: str, seed: int):
    study = _cohort(folder / "cohort", given, kind, seed)
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


def _reached(estimate) -> str:
    if estimate.estimate is None:
        return "not estimable"
    return f"{estimate.estimate:.3f} ({estimate.lower:.3f}-{estimate.upper:.3f})"


def _difference(estimate) -> str:
    if estimate.estimate is None:
        return "not estimable"
    return f"{estimate.estimate:+.3f} ({estimate.lower:+.3f} to {estimate.upper:+.3f})"


def _rows(kind: str, seed: int, found):
    for model in found.comparison.models:
        cost = found.costs[model.name]
        brier = "-" if model.brier.estimate is None else f"{model.brier.estimate:.3f}"
        yield (
            kind, seed, model.title, _reached(model.statistics.concordance), brier,
            f"{cost.seconds / 60:.1f}", f"{cost.peak_mib:.0f}",
        )  # fmt: skip
    for name, reason in found.failed.items():
        yield (kind, seed, name, reason, "-", "-", "-")


def _patients(folder: Path, name: str, title: str) -> EvaluationInput:
    """The unseen patients of one cohort with the scores of one model; tied where it has none."""
    study = read_study(folder / "cohort/study.toml")
    cohort = read_cohort(study.cohort, folder / "cohort")
    scores = pd.read_csv(folder / "compared/scores.csv").set_index("model")
    everybody = sorted(set(scores["patient_id"]))
    own = scores.loc[[name]].set_index("patient_id") if name in scores.index else None
    of = {p.id: p for p in cohort.patients}
    risk = np.zeros(len(everybody)) if own is None else own.loc[everybody, "score"].to_numpy()
    cutoff = 0.0 if own is None else float(own["cutoff"].iloc[0])
    patients = [of[i] for i in everybody]
    return evaluation_input(
        study, patients, risk, risk > cutoff, meaning="score", label=title or name
    )


def _together(given, kind: str, found: dict):
    """All cohorts of one kind: concordance of each model, and what it is less than that made for it."""
    titles = {m.name: m.title for f in found.values() for m in f.comparison.models}
    risks, cohort = [], np.zeros(0, dtype=np.int64)
    for name, title in titles.items():
        parts = [_patients(given.out / str(s) / kind, name, title) for s in found]
        cohort = np.repeat(np.arange(1, len(parts) + 1), [p.risk.size for p in parts])
        joined = {
            f: np.concatenate([getattr(p, f) for p in parts])
            for f in ("months", "event", "risk", "high_risk")
        }
        ids = tuple(f"{s}/{i}" for s, p in zip(found, parts, strict=True) for i in p.patient_ids)
        patients = EvaluationInput(
            patient_ids=ids, **joined, endpoint_name=parts[0].endpoint_name,
            endpoint_definition=parts[0].endpoint_definition, meaning="score", label=title,
        )  # fmt: skip
        risks.append(ModelRisks(name, title, patients, None, "not pooled"))
    study = read_study(given.out / str(next(iter(found))) / kind / "cohort/study.toml")
    reference = MADE_FOR[kind] if MADE_FOR[kind] in titles else next(iter(titles))
    compared = compare_models_of(
        risks, cohort, [reference], settings=study.statistics, n_bootstrap=given.draws
    )
    less = {d.model: d.difference for d in compared.differences if d.measure == "Concordance"}
    for model in compared.models:
        alone = [
            m.statistics.concordance.estimate
            for f in found.values()
            for m in f.comparison.models
            if m.name == model.name and m.statistics.concordance.estimate is not None
        ]
        spread = f"{min(alone):.3f}-{max(alone):.3f}" if alone else "-"
        difference = _difference(less[model.name]) if model.name in less else ""
        yield (
            kind, model.title, _reached(model.statistics.concordance), f"{spread} of {len(alone)}",
            difference, compared.n, compared.events,
        )  # fmt: skip


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--training", type=int, default=40)
    parser.add_argument("--validation", type=int, default=40)
    parser.add_argument("--size-px", type=int, default=768)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
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
    rows, together, missed, intervals, began = [], [], 0, 0, time.monotonic()
    for kind in given.kinds:
        found = {}
        for seed in given.seeds:
            found[seed] = _compared(given.out / str(seed) / kind, given, kind, seed)
            rows += _rows(kind, seed, found[seed])
            print(*rows[-len(found[seed].comparison.models) :], sep="\n", flush=True)
        together += _together(given, kind, found)
        if kind == "null":
            limits = [
                m.statistics.concordance
                for f in found.values()
                for m in f.comparison.models
                if not m.name.endswith(WITH_COVARIATES)
            ]
            missed += sum(c.lower is not None and not c.lower <= 0.5 <= c.upper for c in limits)
            intervals += len(limits)
        text = table(
            ("planted", "model", "concordance, pairs within cohorts (95 % CI)",
             "lowest and highest cohort", "less the model made for it", "patients", "events"),
            together,
        )  # fmt: skip
        head = ("planted", "seed", "model", "concordance (95 % CI)", "Brier", "minutes", "MiB")
        text += "\n\n" + table(head, rows)
        text += (
            f"\n\nWhere nothing is planted, {missed} of {intervals} intervals of models of the tissue miss "
            f"0.5; 5 % do by chance. {time.monotonic() - began:.0f} s in all."
        )
        write_result(given.result, "Models side by side", __doc__, text)


if __name__ == "__main__":
    main()

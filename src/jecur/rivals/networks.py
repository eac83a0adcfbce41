"""The networks: a preset of `jecur train`, trained and scored as a cross-validation does it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import msgspec
import numpy as np

from jecur.cohort.cohort import Patient
from jecur.cohort.selection import refuse_labels_alike
from jecur.model.file import read_bundle
from jecur.rivals.bench import Bench, Division, RivalScores
from jecur.rivals.described import described_bench
from jecur.runs.folder import RunFolder
from jecur.settings import Preset, StudySettings, TrainingSettings, preset_training
from jecur.study.cohort_slides import require_unseen_patients, usable_slides
from jecur.study.frozen import starting_weights
from jecur.study.score import ScoredPatient, score_patients
from jecur.study.torch_wing import no_torch
from jecur.study.train import train_model
from jecur.study.training_task import TrainingPatients, outcomes_of

__all__ = ["Network", "logit", "require_torch"]

_FLOOR = 1e-12
"""A sigmoid in double precision reaches 1 beyond a score of 37; the odds need it inside."""


@dataclass(frozen=True, slots=True)
class Network:
    """A recipe of `jecur train`.

    Parameters
    ----------
    name
        What ``--models`` calls it.
    title
        What tables call it.
    preset
        The recipe; None takes that of the study file.
    """

    name: str
    title: str
    preset: Preset | None = None

    def training(self, study: StudySettings) -> TrainingSettings:
        """Its recipe, with the study's seed and limits of good and poor outcome."""
        if self.preset is None:
            return study.training
        own = preset_training(self.preset)
        loss = msgspec.structs.replace(
            own.loss,
            good_months=study.training.loss.good_months,
            poor_months=study.training.loss.poor_months,
        )
        return msgspec.structs.replace(own, loss=loss, seed=study.training.seed)

    def require(self, study: StudySettings, divisions: Sequence[Division]) -> None:
        """Need torch, and patients of both outcomes."""
        require_torch()
        for division in divisions:
            outcome = outcomes_of(division.training, self.training(study))
            refuse_labels_alike(outcome, f"{self.name}, {division.name}")

    def inputs(self, bench: Bench) -> tuple[object, ...]:
        """Its recipe, the weights it starts from and how it scores."""
        training = self.training(bench.study)
        return (training, starting_weights(training), bench.study.scoring.batch_size)

    def train(self, bench: Bench, division: Division, part: RunFolder) -> RivalScores:
        """Train, then score those held out and, for the scale of the score, those trained on."""
        study = msgspec.structs.replace(bench.study, training=self.training(bench.study))
        if not study.training.encoder.trained:
            bench = described_bench(bench, study.training)
            part = replace(part, slides=bench.run.slides or part.slides)
        sides = (division.training, division.tuning)
        patients = TrainingPatients(*(outcomes_of(side, study.training) for side in sides))
        model = train_model(
            study, patients, bench.prepared, bench.recipe, part, progress=bench.progress
        )

        def scored(who: Sequence[Patient], where: RunFolder) -> list[ScoredPatient]:
            slides = usable_slides([(p.id, p.slides) for p in who], bench.prepared)
            return score_patients(
                model, slides, where, study.scoring, threads=bench.workers, progress=bench.progress
            )

        unseen = scored(division.held_out, part)
        require_unseen_patients(unseen)
        trained_on = [p for side in (patients.training.good, patients.training.poor) for p in side]
        bundle = read_bundle(model)
        return RivalScores(
            _scores(unseen),
            _scores(scored(trained_on, part.part("trained-on"))),
            logit(bundle.cutoff),
            {"trained_on": len(trained_on), "model": model.name},
        )


def require_torch() -> None:
    """Refuse to begin what ends at the first network.

    Raises
    ------
    TrainingError
        With code ``no-torch``.
    """
    absent = [name for name in ("torch", "timm", "onnx") if find_spec(name) is None]
    if absent:
        instead = ", or leave the networks out of --models"
        raise no_torch("torch, timm and onnx", "networks", ", ".join(absent), instead)


def _scores(patients: Sequence[ScoredPatient]) -> dict[str, float]:
    found: Mapping[str, float] = {p.patient: logit(p.score.risk) for p in patients}
    return dict(found)


def logit(risk: float) -> float:
    """Turn a risk in [0, 1] into the unbounded score it came from."""
    inside = min(max(risk, _FLOOR), 1.0 - _FLOOR)
    return float(np.log(inside) - np.log1p(-inside))

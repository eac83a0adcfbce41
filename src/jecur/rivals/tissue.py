"""Kather 2019: fractions of tissue classes as risk, by a classifier trained on regions that the user drew."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

import jecur
from jecur.arrays import Matrix, Vector
from jecur.cohort.cohort import Patient
from jecur.errors import NotEstimableError, SettingsError, TrainingError
from jecur.evaluation.patients import competing_of
from jecur.rivals.bench import Bench, Division, RivalScores, follow_up, locked_scores
from jecur.rivals.networks import require_torch
from jecur.rivals.stroma_score import at_least_median, fit_stroma_score
from jecur.runs.folder import RunFolder, atomic_path, fingerprint, sha256_file
from jecur.settings import StudySettings
from jecur.study.prepare import recipe_of_study
from jecur.study.tissue_fractions import (
    FRACTION,
    TRAINED_ON,
    measure_fractions,
    open_tissue_model,
    tell_virtual,
)
from jecur.study.tissue_tiles import TileSource, require_same_recipe
from jecur.survival.elastic_net import fit_elastic_net_by_folds

__all__ = ["Tissue"]

FEWEST_FOR_FOLDS = 20
"""Training patients below which folds inside them choose nothing."""


@dataclass(frozen=True, slots=True)
class Tissue:
    """Fractions of tissue classes.

    Parameters
    ----------
    name, title
        As of any rival.
    score
        The paper's score of cut-offs and weights, or Cox with an elastic-net penalty on the fractions.
    model
        File of `jecur tissue train`; "" if none was named.
    """

    name: str
    title: str
    score: Literal["cutoffs", "elastic-net"]
    model: str = ""

    def require(self, study: StudySettings, divisions: Sequence[Division]) -> None:
        """Need a classifier of tissue, torch for its encoder, and events."""
        if not self.model:
            raise SettingsError(
                f"expected a classifier of tissue for {self.name}, found none; train one on drawn regions "
                "with jecur tissue train and name it (--tissue-model tissue/models/tissue.safetensors), or "
                f"leave {self.name} out of --models",
                code="no-tissue-model",
            )
        card = open_tissue_model(Path(self.model)).card
        if card.input.kind == "tiles":
            require_torch()
        require_same_recipe(card, recipe_of_study(study))
        for division in divisions:
            follow_up((*division.training, *division.tuning))

    def inputs(self, bench: Bench) -> tuple[object, ...]:
        """Give the classifier and what the score is fitted with."""
        study = bench.study
        return (
            sha256_file(Path(self.model)),
            self.score,
            study.statistics.landmark_months,
            study.cohort.endpoint.competing_death,
            study.training.seed,
        )

    def train(self, bench: Bench, division: Division, part: RunFolder) -> RivalScores:  # noqa: ARG002
        """Measure everybody's tissue, fit to the patients trained on, score those not drawn on."""
        trained_on = (*division.training, *division.tuning)
        everybody = (*trained_on, *division.held_out)
        table = self._fractions(bench, everybody)
        columns = [c for c in table.columns if c.startswith(FRACTION)]
        classes = [c.removeprefix(FRACTION) for c in columns]
        training = [p for p in trained_on if p.id in table.index]
        held_out = [p for p in division.held_out if p.id in table.index]
        unseen = [p for p in held_out if not table.loc[p.id, TRAINED_ON]]
        if len(unseen) < len(held_out):
            _tell_seen(bench, self.name, division, len(held_out) - len(unseen))
        if not unseen:
            raise TrainingError(
                f"expected patients to score whose drawings did not train the classifier, found none of "
                f"{len(held_out)}; draw on training patients alone",
                code="leak",
            )
        own, new = (
            table.loc[[p.id for p in who], columns].to_numpy(np.float64)
            for who in (training, unseen)
        )
        fit = self._by_cutoffs if self.score == "cutoffs" else self._by_elastic_net
        return fit(bench, classes, (training, own), (unseen, new))

    def _by_cutoffs(
        self,
        bench: Bench,
        classes: Sequence[str],
        trained: tuple[list[Patient], Matrix],
        unseen: tuple[list[Patient], Matrix],
    ) -> RivalScores:
        patients, fractions = trained
        months, event = follow_up(tuple(patients))
        endpoint = bench.study.cohort.endpoint
        fitted = fit_stroma_score(
            fractions,
            classes,
            months,
            event,
            horizon=bench.study.statistics.landmark_months,
            competing=competing_of(patients, declared=endpoint.competing_death == "competes"),
        )
        own = fitted.of(fractions)
        facts: dict[str, float | str] = {
            "trained_on": len(patients),
            **{
                f"hazard ratio per SD, {name}": round(float(ratio), 6)
                for name, ratio in zip(fitted.classes, fitted.hazard_ratios, strict=True)
            },
            **{
                f"cut-off, {name}": round(float(cut), 6)
                for name, cut in zip(fitted.classes, fitted.cutoffs, strict=True)
            },
        }
        scores = _by_id(unseen[0], fitted.of(unseen[1]))
        return RivalScores(scores, _by_id(patients, own), at_least_median(own), facts)

    def _by_elastic_net(
        self,
        bench: Bench,
        classes: Sequence[str],
        trained: tuple[list[Patient], Matrix],
        unseen: tuple[list[Patient], Matrix],
    ) -> RivalScores:
        patients, fractions = trained
        months, event = follow_up(tuple(patients))
        if len(patients) < FEWEST_FOR_FOLDS:
            raise NotEstimableError(
                f"expected {FEWEST_FOR_FOLDS} training patients or more, found {len(patients)}; folds inside "
                "fewer choose nothing: add patients"
            )
        rng = np.random.default_rng(bench.study.training.seed)
        model = fit_elastic_net_by_folds(fractions, months, event, rng=rng)
        if not model.coefficients.any():
            raise NotEstimableError(
                "expected a class of tissue whose fraction goes with the event, found that the folds inside "
                "the training patients keep none; the model knows nothing here, which is a result"
            )
        facts: dict[str, float | str] = {
            "trained_on": len(patients),
            "strength": model.strength,
            **{
                f"hazard ratio per SD, {name}": float(np.exp(b))
                for name, b in zip(classes, model.coefficients, strict=True)
            },
        }
        return locked_scores(
            _by_id(unseen[0], model.risk(unseen[1])), _by_id(patients, model.risk(fractions)), facts
        )

    def _fractions(self, bench: Bench, patients: Sequence[Patient]) -> pd.DataFrame:
        """Measure everybody once: the fractions are the same in every fold, and for both scores."""
        whole = bench.run.part("tissue-classes")
        path = whole.root / "fractions.parquet"
        source = TileSource(bench.prepared, bench.run, bench.recipe)
        slides = sorted(
            (p.id, s, bench.run.bag_sha256(s)) for p in patients for s in source.usable(p)
        )
        mark = fingerprint(sha256_file(Path(self.model)), slides, jecur.__version__)
        if whole.is_finished("fractions", mark):
            return pd.read_parquet(path).set_index("patient_id")
        model = open_tissue_model(Path(self.model))
        tell_virtual(model, bench.study, bench.progress)
        found = measure_fractions(model, patients, source, progress=bench.progress)
        table = found.table()
        with atomic_path(path) as temporary:
            table.to_parquet(temporary, index=False)
        whole.mark_stage("fractions", mark, [path])
        return table.set_index("patient_id")


def _tell_seen(bench: Bench, name: str, division: Division, n: int) -> None:
    bench.progress.say(
        f"{name}, {division.name}: the drawings of {n} patients to score trained the classifier; they are "
        "left out for all models [leak]"
    )


def _by_id(patients: Sequence[Patient], scores: Vector) -> dict[str, float]:
    return {p.id: float(s) for p, s in zip(patients, scores, strict=True)}

"""Kather 2019: fractions of tissue classes as risk, by a classifier trained on regions that the user drew."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

import jecur
from jecur.arrays import Matrix, Vector
from jecur.cohort.cohort import Patient
from jecur.errors import SettingsError, TrainingError
from jecur.evaluation.patients import competing_of
from jecur.rivals.bench import Bench, Division, RivalScores, follow_up, locked_scores, median_cutoff
from jecur.rivals.networks import require_torch
from jecur.rivals.stroma_score import at_least_median, fit_stroma_score
from jecur.runs.folder import RunFolder, atomic_path, fingerprint, sha256_file
from jecur.settings import StudySettings
from jecur.study.recipe import recipe_of_study
from jecur.study.tissue_fractions import (
    FRACTION,
    TRAINED_ON,
    measure_fractions,
    open_tissue_model,
    tell_virtual,
)
from jecur.study.tissue_tiles import TileSource, require_same_recipe
from jecur.survival.elastic_net import fit_elastic_net_by_folds, require_enough_for_folds

__all__ = ["Tissue"]

_Fitted = tuple[Callable[[Matrix], Vector], dict[str, float]]
"""Fractions (n, K) -> scores (n,), higher means earlier event; what stands in the table of facts."""


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
        training = tuple(p for p in trained_on if p.id in table.index)
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
        fit = _by_cutoffs if self.score == "cutoffs" else _by_elastic_net
        score_of, facts = fit(bench.study, classes, training, own)
        return locked_scores(
            _by_id(unseen, score_of(new)),
            _by_id(training, score_of(own)),
            {"trained_on": len(training), **facts},
            cutoff=at_least_median if self.score == "cutoffs" else median_cutoff,
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


def _by_cutoffs(
    study: StudySettings, classes: Sequence[str], patients: tuple[Patient, ...], fractions: Matrix
) -> _Fitted:
    """Fit the paper's score to the patients trained on."""
    months, event = follow_up(patients)
    declared = study.cohort.endpoint.competing_death == "competes"
    fitted = fit_stroma_score(
        fractions,
        classes,
        months,
        event,
        horizon=study.statistics.landmark_months,
        competing=competing_of(patients, declared=declared),
    )
    ratios, cuts = (
        {f"{what}, {c}": round(float(x), 6) for c, x in zip(fitted.classes, values, strict=True)}
        for what, values in (
            ("hazard ratio per SD", fitted.hazard_ratios),
            ("cut-off", fitted.cutoffs),
        )
    )
    return fitted.of, {**ratios, **cuts}


def _by_elastic_net(
    study: StudySettings, classes: Sequence[str], patients: tuple[Patient, ...], fractions: Matrix
) -> _Fitted:
    """Fit Cox with a penalty to the patients trained on."""
    months, event = follow_up(patients)
    require_enough_for_folds(len(patients), "training patients")
    rng = np.random.default_rng(study.training.seed)
    model = fit_elastic_net_by_folds(fractions, months, event, rng=rng)
    model.require_something("a class of tissue whose fraction goes with the event", "the model")
    ratios = {
        f"hazard ratio per SD, {name}": float(np.exp(b))
        for name, b in zip(classes, model.coefficients, strict=True)
    }
    return model.risk, {"strength": model.strength, **ratios}


def _tell_seen(bench: Bench, name: str, division: Division, n: int) -> None:
    bench.progress.say(
        f"{name}, {division.name}: the drawings of {n} patients to score trained the classifier; they are "
        "left out for all models [leak]"
    )


def _by_id(patients: Sequence[Patient], scores: Vector) -> dict[str, float]:
    return {p.id: float(s) for p, s in zip(patients, scores, strict=True)}

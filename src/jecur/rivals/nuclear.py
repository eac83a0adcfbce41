"""The nuclear baselines among the rivals: elastic-net Cox on numbers made of a patient's nuclei."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

import jecur
from jecur.cohort.cohort import Patient
from jecur.errors import NotEstimableError, RunFolderError
from jecur.rivals.bench import Bench, Division, RivalScores, follow_up, locked_scores
from jecur.runs.folder import RunFolder, atomic_path, fingerprint, sha256_file
from jecur.runs.workers import Failure, run_all
from jecur.settings import StudySettings
from jecur.study.each_nucleus import prepared_tasks, segment_slides
from jecur.study.nuclear_baseline import fit_nuclear_model
from jecur.study.nuclear_feature_files import write_nuclear_features
from jecur.study.nuclear_measures import (
    MeasuredPatients,
    NuclearKind,
    measure_patients,
    nuclear_kind,
    nuclear_tables,
)

__all__ = ["Nuclear"]


@dataclass(frozen=True, slots=True)
class Nuclear:
    """A baseline of `jecur.study.nuclear_measures`; its tables are made where they are missing."""

    name: str
    title: str

    @property
    def kind(self) -> NuclearKind:
        """What is measured."""
        return nuclear_kind(self.name)

    def require(self, study: StudySettings, divisions: Sequence[Division]) -> None:  # noqa: ARG002
        """Need events."""
        for division in divisions:
            follow_up((*division.training, *division.tuning))

    def inputs(self, bench: Bench) -> tuple[object, ...]:
        """Give the seed of the folds that choose the penalty."""
        return (bench.study.training.seed,)

    def train(self, bench: Bench, division: Division, part: RunFolder) -> RivalScores:  # noqa: ARG002
        """Measure everybody's nuclei, fit to the patients trained on, score everybody."""
        trained_on = (*division.training, *division.tuning)
        everybody = (*trained_on, *division.held_out)
        try:
            self._write_tables(bench, everybody)
            found = self._measured(bench, everybody)
        except RunFolderError as error:  # slides that come as features, say: the others can go on
            raise NotEstimableError(error.message) from error
        names = {p.id for p in trained_on}
        used = np.array([p.id in names for p in found.patients])
        fitted = fit_nuclear_model(found, used, seed=bench.study.training.seed)
        fitted.require_something()
        scores = {p.id: float(r) for p, r in zip(found.patients, fitted.risk, strict=True)}
        facts: dict[str, float | str] = {
            "parameters": len(fitted.hazard_ratios),
            "trained_on": fitted.n_training,
            "strength": fitted.model.strength,
        }
        return locked_scores(
            {name: score for name, score in scores.items() if name not in names},
            {name: score for name, score in scores.items() if name in names},
            facts,
        )

    def _measured(self, bench: Bench, patients: Sequence[Patient]) -> MeasuredPatients:
        """Measure everybody once: the numbers are the same in every fold."""
        whole = bench.run.part(self.name)
        path = whole.root / "measures.parquet"
        tables = [
            (p.id, [sha256_file(file) for file in nuclear_tables(self.kind, p, bench.run)])
            for p in sorted(patients, key=lambda p: p.id)
        ]
        mark = fingerprint(self.name, tables, jecur.__version__)
        if whole.is_finished("measures", mark):
            kept = pd.read_parquet(path).set_index("patient_id")
            used = tuple(p for p in patients if p.id in kept.index)
            rows = kept.loc[[p.id for p in used]].to_numpy(np.float64)
            return MeasuredPatients(used, tuple(kept.columns), rows, ())
        found = measure_patients(
            self.kind, patients, bench.run, workers=bench.workers, progress=bench.progress
        )
        with atomic_path(path) as temporary:
            found.table().to_parquet(temporary, index=False)
        whole.mark_stage("measures", mark, [path])
        return found

    def _write_tables(self, bench: Bench, patients: Sequence[Patient]) -> None:
        """Make what a slide lacks; one that cannot be measured is told, and its patient has no score."""
        for slide, result in (
            self._tiles(bench, patients)
            if self.kind.of_slide is None
            else self._each(bench, patients)
        ):
            if isinstance(result, Failure):
                bench.progress.say(f"{slide}: {result.error.message} [{result.error.code}]")

    def _tiles(self, bench: Bench, patients: Sequence[Patient]) -> Iterator[tuple[str, object]]:
        slides = [e.id for p in patients for e in p.slides if bench.prepared[e.id].usable]
        folders = [bench.run.slide_folder(slide) for slide in slides]
        missing = [folder for folder in folders if not (folder / self.kind.file).is_file()]
        for done in run_all(
            write_nuclear_features,
            missing,
            workers=bench.workers,
            progress=bench.progress,
            title="Nuclear features",
        ):
            yield done.item.name, done.result

    def _each(self, bench: Bench, patients: Sequence[Patient]) -> Iterator[tuple[str, object]]:
        tasks = prepared_tasks(bench.study, patients, bench.run)
        for done in segment_slides(tasks, workers=bench.workers, progress=bench.progress):
            yield done.item.slide, done.result

"""The demonstration: a virtual cohort with known truth, and the whole study on it.

Nothing here is shortened: `jecur.pipeline.run_study` runs as it would on real slides. Only the
cohort is virtual, and small enough for two processor cores and a few minutes.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from jecur.pipeline import run_study
from jecur.runs.folder import RunFolder, write_text
from jecur.runs.progress import Progress
from jecur.settings import (
    CohortSettings,
    ColumnSettings,
    Covariate,
    EndpointSettings,
    ScoringSettings,
    SimulationSettings,
    StudySettings,
    TrainingSettings,
    write_study,
)
from jecur.simulate.cohort import SimulatedCohort, simulate_cohort
from jecur.study.report import PlantedCohort, StudyReport

__all__ = ["DEMO_TRAINING", "demo_cohort", "run_demo", "study_of_virtual_cohort"]

DEMO_TRAINING = TrainingSettings.from_flat(
    epochs=4, halve_every=2, frozen_blocks=5, tiles_per_bag=10, l2=0.0, learning_rate=3e-5
)
"""The preset ``paper-literal`` with what two cores and a few hundred steps allow, see docs/demo.md."""


def demo_cohort(*, seed: int, null: bool, workers: int) -> SimulationSettings:
    """Cohort of the demonstration."""
    return SimulationSettings(
        n_training=120,
        n_validation=120,
        seed=seed,
        null=null,
        workers=workers,
        size_px=1536,
        log_hazard_per_sd=(0.8, 0.8, 0.8, -0.8),
    )


def study_of_virtual_cohort(name: str, training: TrainingSettings) -> StudySettings:
    """Study file for a cohort made by `jecur.simulate`."""
    return StudySettings(
        name=name,
        virtual=True,
        cohort=CohortSettings(
            endpoint=EndpointSettings(
                kind="time to recurrence",
                unit="months",
                event_values=("1",),
                censored_values=("0",),
                definition="months from virtual surgery to simulated recurrence; "
                "loss and end of follow-up censor",
            ),
            columns=ColumnSettings(time="months", event="recurrence", site="site"),
            covariates=(
                Covariate(column="age", label="Age", unit="years"),
                Covariate(column="sex", label="Sex", kind="categorical", levels=("female", "male")),
                Covariate(
                    column="afp_ng_ml", label="AFP", unit="ng/ml", scale="log2", split_at=400.0
                ),
                Covariate(
                    column="stage", label="Stage", kind="categorical", levels=("I", "II", "III")
                ),
                Covariate(
                    column="vascular_invasion",
                    label="Vascular invasion",
                    kind="categorical",
                    levels=("none", "micro", "macro"),
                ),
                Covariate(column="tumor_size_cm", label="Tumor size", unit="cm", split_at=5.0),
            ),
        ),
        training=training,
        scoring=ScoringSettings(n_heatmaps=6, n_top_tiles=16),
    )


def run_demo(out: Path, *, seed: int, null: bool, workers: int, progress: Progress) -> StudyReport:
    """Make the virtual cohort, run the study on it and write the report.

    Parameters
    ----------
    out
        Run folder; the cohort goes into ``out/cohort``. Running again does what is missing.
    seed
        Of the cohort and the training.
    null
        Plant no effect: the control.
    workers
        Processes.
    progress
        Shows bars and messages.
    """
    run = RunFolder.open(out)
    settings = demo_cohort(seed=seed, null=null, workers=workers)
    cohort = simulate_with_progress(settings, out / "cohort", progress)
    shutil.copyfile(cohort.truth, out / "truth.json")
    name = "Jecur demonstration" + (" (control: nothing planted)" if null else "")
    study = study_of_virtual_cohort(name, msgspec.structs.replace(DEMO_TRAINING, seed=seed))
    write_text(out / "cohort" / "study.toml", write_study(study))
    return run_study(
        study,
        out / "cohort",
        run,
        workers=workers,
        progress=progress,
        planted=_planted(settings, cohort),
    )


def simulate_with_progress(
    settings: SimulationSettings, out: Path, progress: Progress
) -> SimulatedCohort:
    """Simulate a cohort under a progress bar."""
    n_slides = (settings.n_training + settings.n_validation) * settings.slides_per_patient
    with progress.task("Drawing virtual slides", n_slides) as advance:
        return simulate_cohort(settings, out, progress=_stepper(advance))


def _stepper(advance: Callable[[], None]) -> Callable[[int, int], None]:
    def step(_done: int, _total: int) -> None:
        advance()

    return step


def _planted(settings: SimulationSettings, cohort: SimulatedCohort) -> PlantedCohort:
    truth = json.loads(cohort.truth.read_text(encoding="utf-8"))
    effects = (0.0,) * 4 if settings.null else settings.log_hazard_per_sd
    names = {
        "stroma": "Stroma",
        "atypia": "Cytological atypia",
        "hyperchromasia": "Nuclear hyperchromasia",
        "immune": "Immune infiltration",
    }
    return PlantedCohort(
        oracle_concordance=cohort.oracle_concordance["validation"],
        null=settings.null,
        features={
            name: (effect, {patient: row[key] for patient, row in truth["patients"].items()})
            for (key, name), effect in zip(names.items(), effects, strict=True)
        },
    )

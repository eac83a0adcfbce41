"""Commands of a study: run, demo, simulate."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.markup import escape

from jecur.cli.at_work import Machines, open_study
from jecur.cli.console import (
    OK,
    SOME_FAILED,
    Device,
    Engine,
    Preset,
    RichProgress,
    Scheduler,
    Whole,
    Workers,
    app,
    console,
    tell_cautions,
)
from jecur.printable import counted
from jecur.runs.cores import cores

if TYPE_CHECKING:
    from jecur.study.report import StudyReport

__all__ = ["demo", "run_", "simulate"]


@app.command(name="run")
def run_(
    study: Path,
    *,
    out: Path,
    preset: Preset | None = None,
    workers: Workers = 0,
    engine: Engine = None,
    scheduler: Scheduler = "",
    device: Device = None,
) -> int:
    """Run a study from slides and a clinical table to the report.

    Running it again does only what is missing.

    Example: jecur run my-study/study.toml --out my-study/run

    Parameters
    ----------
    study
        The study file; `jecur init` writes one to start from.
    out
        Run folder.
    preset
        Recipe for whatever the study file leaves out: paper, paper-literal, jecur, chowder, coudray or scnn.
    workers
        Processes; 0 takes one a core.
    """
    from jecur.pipeline import run_study

    with open_study("run", study, out, Machines(preset, workers, engine, scheduler, device)) as it:
        if it is None:
            return OK
        findings = run_study(
            it.settings, it.folder, it.run, workers=it.workers, progress=it.progress
        )
    _tell_findings(findings, out)
    return SOME_FAILED if findings.n_failed_slides else OK


@app.command
def demo(*, out: Path, seed: Whole = 1, null: bool = False, workers: Workers = 0) -> int:
    """Make a virtual cohort with known truth, run the whole study on it and write the report.

    Example: jecur demo --out demo

    Parameters
    ----------
    out
        Run folder; the report is report.html in it.
    seed
        Of the cohort and the training.
    null
        Plant no effect of the tissue: a control that must find nothing.
    workers
        Processes; 0 takes one a core.
    """
    from jecur.demo import run_demo

    with RichProgress() as progress:
        findings = run_demo(
            out, seed=seed, null=null, workers=workers or cores(), progress=progress
        )
    _tell_findings(findings, out)
    return SOME_FAILED if findings.n_failed_slides else OK


@app.command
def simulate(
    *,
    out: Path,
    training: Whole = 120,
    validation: Whole = 80,
    slides_per_patient: Whole = 1,
    seed: Whole = 0,
    plant: Literal["tissue", "architecture", "til", "stroma", "atypia"] = "tissue",
    drawings: Whole = 0,
    null: bool = False,
    workers: Workers = 0,
) -> int:
    """Make a virtual cohort: slides, clinical table, study file, and the truth apart.

    Example: jecur simulate --out cohort --training 200 --validation 300 --seed 7

    Parameters
    ----------
    out
        Folder of the cohort.
    training
        Patients with the training role.
    validation
        Patients with the validation role.
    slides_per_patient
        1 to 8.
    seed
        Of everything.
    plant
        What the hazard hangs on: tissue (the paper's four features), architecture (the same nuclei, arranged
        otherwise), til (lymphocytes apart from the others or among them), stroma (its share alone), atypia
        (size, inequality and outline of hepatocyte nuclei alone).
    drawings
        Training patients, the first ones, on whose slides tumor and stroma are drawn: drawings/SLIDE.geojson.
    null
        Plant no effect of the tissue.
    workers
        Processes; 0 takes one a core.
    """
    from jecur.demo import simulate_with_progress, study_of_virtual_cohort
    from jecur.runs.folder import write_text
    from jecur.settings import SimulationSettings, TrainingSettings, make_settings, write_study

    values = {
        "n_training": training,
        "n_validation": validation,
        "slides_per_patient": slides_per_patient,
        "seed": seed,
        "plant": plant,
        "drawings": drawings,
        "null": null,
        "workers": workers or cores(),
    }
    settings = make_settings(values, SimulationSettings)
    with RichProgress() as progress:
        cohort = simulate_with_progress(settings, out, progress)
    study = study_of_virtual_cohort("Virtual cohort", TrainingSettings.from_flat(seed=seed))
    path = write_text(out / "study.toml", write_study(study, preset_by_name=True))
    console.print(
        f"{counted(len(cohort.slides), 'slide')}. Study: {escape(str(path))}. "
        f"Truth, not to be shown to a model: {escape(str(cohort.truth))}",
        soft_wrap=True,
    )
    return OK


def _tell_findings(findings: "StudyReport", out: Path) -> None:
    from jecur.report.verdict import give_verdict

    verdict = give_verdict(findings.statistics, "", virtual=findings.virtual)
    console.print(f"[bold]{escape(verdict.headline)}[/]", soft_wrap=True)
    console.print(escape(verdict.detail), soft_wrap=True)
    tell_cautions(findings.statistics)
    if findings.n_failed_slides:
        console.print(
            f"{counted(findings.n_failed_slides, 'slide')} failed: see {escape(str(out / 'slides.csv'))}"
        )
    console.print(f"Research use only. Report: {escape(str(findings.report))}", soft_wrap=True)

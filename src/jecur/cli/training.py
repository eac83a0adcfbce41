"""Commands that train models: train, crossval."""

from pathlib import Path

from rich.markup import escape

from jecur.cli.at_work import Machines, open_study
from jecur.cli.console import (
    OK,
    SOME_FAILED,
    AsJson,
    Device,
    Engine,
    Preset,
    Scheduler,
    Whole,
    Workers,
    app,
    console,
)
from jecur.printable import counted

__all__ = ["crossval", "train"]


@app.command
def train(
    study: Path,
    *,
    out: Path,
    preset: Preset | None = None,
    workers: Workers = 0,
    engine: Engine = None,
    scheduler: Scheduler = "",
    device: Device = None,
    as_json: AsJson = False,
) -> int:
    """Train the model of a study and stop there: no patient is scored, nothing is reported.

    `jecur run` with the same --out goes on from here. Several processes can share the training:
    torchrun --nproc-per-node 2 -m jecur train ...

    Example: jecur train my-study/study.toml --out my-study/run

    Parameters
    ----------
    study
        The study file.
    out
        Run folder; the model goes into its models folder.
    preset
        Recipe for whatever the study file leaves out: paper, paper-literal, jecur, chowder, coudray or scnn.
    workers
        Processes; 0 takes one a core.
    as_json
        Print one JSON object and nothing else.
    """
    from msgspec import to_builtins

    from jecur.model.file import read_bundle
    from jecur.pipeline import train_study

    with open_study(
        "train", study, out, Machines(preset, workers, engine, scheduler, device)
    ) as it:
        if it is None:
            return OK
        model, ready = train_study(
            it.settings, it.folder, it.run, workers=it.workers, progress=it.progress
        )
    card = read_bundle(model).card
    sides = (ready.training_patients.training, ready.training_patients.tuning)
    facts = {
        "model": str(model),
        "cohort": to_builtins(card.cohort),
        "cutoff": card.cutoff,
        "no_distinct_outcome": sum(len(side.excluded) for side in sides),
        "failed_slides": ready.n_failed,
    }
    if as_json:
        console.print_json(data=facts)
    else:
        good, poor = card.cohort.n_good, card.cohort.n_poor
        who = (
            f"{counted(good + poor, 'patient')}, {poor} of them with event"
            if card.training.loss.name == "cox"
            else f"{counted(good, 'patient')} with good and {poor} with poor outcome; "
            f"{facts['no_distinct_outcome']} without a distinct outcome left out"
        )
        console.print(
            f"Trained on {who}; {counted(ready.n_failed, 'slide')} failed.", soft_wrap=True
        )
        console.print(f"Research use only. Model: {escape(str(model))}", soft_wrap=True)
    return SOME_FAILED if ready.n_failed else OK


@app.command
def crossval(
    study: Path,
    *,
    out: Path,
    folds: Whole = 5,
    repeats: Whole = 1,
    site_preserving: bool = False,
    inner_folds: Whole = 0,
    seed: Whole = 0,
    preset: Preset | None = None,
    workers: Workers = 0,
    engine: Engine = None,
    scheduler: Scheduler = "",
    device: Device = None,
    as_json: AsJson = False,
) -> int:
    """Cross-validate a study: each patient's risk is from a model that never saw the patient.

    Uses the training and tuning roles; validation patients are not touched.

    Example: jecur crossval my-study/study.toml --out cv --folds 5 --site-preserving

    Parameters
    ----------
    study
        The study file.
    out
        Run folder: report.html, scores.csv with folds, folds.csv, crossval.json, crossval.md.
    folds
        Number of folds; each is held out once.
    repeats
        Number of times the patients are divided anew.
    site_preserving
        Keep all patients of a site in one fold.
    inner_folds
        Number of folds within the training patients that choose the number of epochs; 0 does not choose.
    seed
        Of the folds.
    preset
        Recipe for whatever the study file leaves out: paper, paper-literal, jecur, chowder, coudray or scnn.
    workers
        Processes; 0 takes one a core.
    as_json
        Print one JSON object and nothing else.
    """
    from jecur.settings import CrossvalSettings, make_settings
    from jecur.statistics.results import to_json_dict
    from jecur.study.cross_validate import cross_validate

    values = {
        "folds": folds,
        "repeats": repeats,
        "site_preserving": site_preserving,
        "inner_folds": inner_folds,
        "seed": seed,
    }
    division = make_settings(values, CrossvalSettings)
    said = Machines(preset, workers, engine, scheduler, device)
    with open_study("crossval", study, out, said, division) as it:
        if it is None:
            return OK
        found = cross_validate(
            it.settings, it.folder, it.run, division, workers=it.workers, progress=it.progress
        )
    if as_json:
        statistics = to_json_dict(found.statistics)
        console.print_json(
            data={"report": str(found.report), "summary": str(found.summary), **statistics}
        )
    else:
        for line in found.statistics.lines():
            console.print(escape(line), soft_wrap=True)
        console.print(
            f"{counted(found.n_failed_slides, 'slide')} failed. Research use only. "
            f"Report: {escape(str(found.report))}",
            soft_wrap=True,
        )
    return SOME_FAILED if found.n_failed_slides else OK

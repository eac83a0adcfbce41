"""The command line: a sub-command, its settings, one call, one path printed.

Exit codes: 0 all well; 3 some slides failed, the rest is done; 2 a table, setting or argument is
wrong; 1 a bug of ours. Rooms are imported when a command needs them, so that help is quick.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.markup import escape

import jecur
from jecur.errors import JecurError

if TYPE_CHECKING:
    from jecur.cohort.cohort import SlideEntry
    from jecur.findings import StudyFindings
    from jecur.pipeline import Scored

__all__ = ["main"]

OK, BUG, USER_ERROR, SOME_FAILED = 0, 1, 2, 3

app = App(
    name="jecur",
    version=jecur.__version__,
    help="Recurrence of liver cancer from histology slides. Research use only.",
    help_epilogue="Try it: jecur demo --out demo   Your data: jecur init my-study",
)
nuclei_app = App(name="nuclei", help="The nuclei network: train, evaluate.")
model_app = App(name="model", help="Model files.")
app.command(nuclei_app)
app.command(model_app)

console = Console()
errors = Console(stderr=True)

Workers = Annotated[int, Parameter(name=["--workers", "-j"])]


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    try:
        result = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        errors.print(f"[red]error:[/] {escape(str(error))}; see jecur --help", soft_wrap=True)
        return USER_ERROR
    except JecurError as error:
        errors.print(f"[red]error:[/] {escape(error.message)} \\[{error.code}]", soft_wrap=True)
        return USER_ERROR
    except KeyboardInterrupt:
        errors.print("stopped; run the same command again to go on")
        return 130
    return result if isinstance(result, int) else OK


@app.command
def init(folder: Path) -> int:
    """Write an annotated study file and an example clinical table into a folder.

    Example: jecur init my-study

    Parameters
    ----------
    folder
        Made if it does not exist; files that exist are kept.
    """
    from jecur.template import write_template

    path = write_template(folder)
    console.print(f"Edit {path}, then: jecur run {path} --out {folder / 'run'}", soft_wrap=True)
    return OK


@app.command(name="run")
def run_(study: Path, *, out: Path, workers: Workers = 0) -> int:
    """Run a study from slides and a clinical table to the report.

    Running it again does only what is missing.

    Example: jecur run my-study/study.toml --out my-study/run

    Parameters
    ----------
    study
        The study file; `jecur init` writes one to start from.
    out
        Run folder.
    workers
        Processes; 0 takes one a core.
    """
    from jecur.artifacts import RunFolder
    from jecur.pipeline import run_study
    from jecur.settings import read_study

    settings = read_study(study)
    with _bars() as progress:
        findings = run_study(
            settings,
            study.resolve().parent,
            RunFolder.open(out),
            workers=workers or _cores(),
            progress=progress,
        )
    _tell_findings(findings, out)
    return SOME_FAILED if findings.n_failed_slides else OK


@app.command
def score(
    slides: list[Path],
    *,
    model: Path,
    out: Path,
    patient: str = "",
    mpp: float | None = None,
    workers: Workers = 0,
) -> int:
    """Score slides with a model file. Needs no torch.

    Each slide is a patient of its own unless --patient joins them into one.

    Example: jecur score a.svs b.mrxs --model demo/models/jecur-demonstration.jecur --out scored

    Parameters
    ----------
    slides
        Whole-slide images.
    model
        A .jecur file.
    out
        Run folder.
    patient
        One patient that all the slides belong to.
    mpp
        Micrometers per pixel, where the files do not say or are wrong; recorded.
    workers
        Processes; 0 takes one a core.
    """
    from jecur.artifacts import RunFolder
    from jecur.pipeline import score_slides

    with _bars() as progress:
        scored = score_slides(
            _entries(slides, patient, mpp),
            model,
            RunFolder.open(out),
            workers=workers or _cores(),
            progress=progress,
        )
    _tell_scores(scored, out)
    return SOME_FAILED if scored.n_failed else OK


def _entries(slides: list[Path], patient: str, mpp: float | None) -> list[tuple[str, "SlideEntry"]]:
    from jecur.cohort.cohort import SlideEntry
    from jecur.errors import SlideError

    if mpp is not None and not 0 < mpp < 100:
        raise SlideError(
            f"expected --mpp between 0 and 100 um per pixel, found {mpp}", code="bad-mpp"
        )
    entries: list[tuple[str, SlideEntry]] = []
    taken: set[str] = set()
    for path in slides:
        name, n = path.stem or path.name, 2
        while name in taken:
            name, n = f"{path.stem}-{n}", n + 1
        taken.add(name)
        entries.append((patient or name, SlideEntry(name, path, mpp)))
    return entries


@app.command
def demo(*, out: Path, seed: int = 1, null: bool = False, workers: Workers = 0) -> int:
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

    with _bars() as progress:
        findings = run_demo(
            out, seed=seed, null=null, workers=workers or _cores(), progress=progress
        )
    _tell_findings(findings, out)
    return SOME_FAILED if findings.n_failed_slides else OK


@app.command
def simulate(
    *,
    out: Path,
    training: int = 120,
    validation: int = 80,
    slides_per_patient: int = 1,
    seed: int = 0,
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
    null
        Plant no effect of the tissue.
    workers
        Processes; 0 takes one a core.
    """
    import msgspec

    from jecur.artifacts import write_text
    from jecur.demo import simulate_with_progress, study_of_virtual_cohort
    from jecur.errors import SimulationError
    from jecur.settings import SimulationSettings, TrainingSettings, write_study

    values = {
        "n_training": training,
        "n_validation": validation,
        "slides_per_patient": slides_per_patient,
        "seed": seed,
        "null": null,
        "workers": workers or _cores(),
    }
    try:
        settings = msgspec.convert(values, SimulationSettings)
    except msgspec.ValidationError as error:
        raise SimulationError(f"{error}; correct that option") from error
    with _bars() as progress:
        cohort = simulate_with_progress(settings, out, progress)
    study = study_of_virtual_cohort("Virtual cohort", TrainingSettings(seed=seed))
    path = write_text(out / "study.toml", write_study(study))
    console.print(
        f"{len(cohort.slides)} slides. Study: {path}. Truth, not to be shown to a model: {cohort.truth}",
        soft_wrap=True,
    )
    return OK


@nuclei_app.command
def train(data: Path, *, out: Path) -> int:
    """Train the nuclei network on images with label images and a split.csv.

    Example: jecur nuclei train nuclei-data --out nuclei-model

    Parameters
    ----------
    data
        Folder with split.csv; see docs/nuclei.md.
    out
        Folder for checkpoints and the ONNX file with its card.
    """
    from jecur.training.nuclei_release import train_nuclei

    console.print(str(train_nuclei(data, out).onnx), soft_wrap=True)
    return OK


@nuclei_app.command
def evaluate(*, data: Path, split: str, model: str = "builtin") -> int:
    """Measure a nuclei network on one split; print n, dice, aji, pq ... as JSON.

    Example: jecur nuclei evaluate --data nuclei-data --split val

    Parameters
    ----------
    data
        Folder with split.csv.
    split
        A value of its split column.
    model
        "builtin", or an ONNX file.
    """
    from jecur.nuclei.segmentation import NucleiModel
    from jecur.settings import NucleiSettings
    from jecur.training.nuclei_evaluation import evaluate_nuclei

    network = NucleiModel.load(NucleiSettings(model=model))
    console.print_json(data=evaluate_nuclei(data, split, network).summary())
    return OK


@model_app.command
def show(file: Path) -> int:
    """Verify a model file and show its card.

    Example: jecur model show demo/models/jecur-demonstration.jecur

    Parameters
    ----------
    file
        A .jecur file.
    """
    from jecur.bundle import read_bundle

    card = dict(read_bundle(file).card)
    for bulky in ("training_curve", "learnt_from"):
        card.pop(bulky, None)
    console.print_json(data=card)
    return OK


def _tell_findings(findings: "StudyFindings", out: Path) -> None:
    from jecur.report.verdict import give_verdict

    verdict = give_verdict(findings.statistics, "", virtual=findings.virtual)
    console.print(f"[bold]{escape(verdict.headline)}[/]", soft_wrap=True)
    console.print(escape(verdict.detail), soft_wrap=True)
    if findings.n_failed_slides:
        console.print(f"{findings.n_failed_slides} slides failed: see {out / 'slides.csv'}")
    console.print(f"Research use only. Report: {findings.report}", soft_wrap=True)


def _tell_scores(scored: "Scored", out: Path) -> None:
    from rich.table import Table

    flags = {s.slide: s for s in scored.slides}
    table = Table(title=f"Risk of: {scored.endpoint}", title_justify="left")
    for heading in ("Patient", "Risk", f"Group (cut-off {scored.cutoff:g})", "Tiles", "Flags"):
        table.add_column(heading)
    for p in scored.patients:
        notes = {note for slide in p.slides for note in flags[slide].flags}
        notes |= {"seen-in-training"} if p.seen_in_training else set()
        table.add_row(
            escape(p.patient),
            f"{p.score.risk:.3f}",
            p.score.group,
            str(len(p.score.tile_scores)),
            escape(", ".join(sorted(notes)) or "none"),
        )
    if scored.patients:
        console.print(table)
    if scored.virtual:
        console.print(
            "[bold]This model learnt from virtual patients: its risks mean nothing for real slides.[/]",
            soft_wrap=True,
        )
    failed = [s for s in scored.slides if s.status == "failed"]
    console.print(
        f"{len(scored.slides)} slides in: {len(scored.slides) - len(failed)} scored, "
        f"{len(failed)} failed. Research use only. Files: {out}",
        soft_wrap=True,
    )


class _RichProgress:
    """Progress bars on a terminal; plain lines elsewhere."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bars = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=errors,
            transient=False,
        )

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """Show a bar of ``total`` steps."""
        number = self._bars.add_task(title, total=total)
        yield lambda: self._bars.advance(number)

    def say(self, line: str) -> None:
        """Show one line above the bars."""
        self._bars.console.print(escape(line), soft_wrap=True)

    def __enter__(self) -> "_RichProgress":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


def _bars() -> _RichProgress:
    return _RichProgress()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

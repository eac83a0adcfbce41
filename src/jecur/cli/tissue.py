"""Tissue classes of tiles, trained on drawn regions: tissue train, tissue apply."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cyclopts import App
from rich.markup import escape

from jecur.cli.at_work import Machines, open_plainly
from jecur.cli.console import (
    OK,
    SOME_FAILED,
    AsJson,
    Device,
    Engine,
    Scheduler,
    Whole,
    Workers,
    app,
    console,
)
from jecur.printable import counted

if TYPE_CHECKING:
    from jecur.study.tissue_training import TrainedTissue

__all__ = ["apply", "train"]

_Found = TypeVar("_Found")

tissue_app = App(name="tissue", help="Classes of tissue: train from drawn regions, apply.")
app.command(tissue_app)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _worked(
    work: Callable[..., _Found], study: Path, out: Path, asked: object, said: Machines
) -> _Found:
    """Do what is asked of a study on its machines, with a bar."""
    with open_plainly(study, out, said) as it:
        return work(it.settings, it.folder, it.run, asked, workers=it.workers, progress=it.progress)


@tissue_app.command
def train(
    study: Path,
    *,
    out: Path,
    annotations: Path | None = None,
    run: Path | None = None,
    classes: str = "",
    cover: float = 0.75,
    fewest: Whole = 30,
    most: Whole = 200,
    seed: Whole = 0,
    workers: Workers = 0,
    engine: Engine = None,
    scheduler: Scheduler = "",
    device: Device = None,
    as_json: AsJson = False,
) -> int:
    """Train a classifier of tissue from regions drawn in QuPath: OUT/models/tissue.safetensors.

    Tiles inside the regions, described by the frozen encoder, by multinomial logistic regression. How well it
    does is measured on patients left out. No outcome is looked at; validation patients are left out.

    Example: jecur tissue train study.toml --annotations drawings --out tissue

    Parameters
    ----------
    study
        Study file.
    out
        Run folder: the classifier, classes.csv, drawn_tiles.parquet; slides, where they are prepared here.
    annotations
        Folder of GeoJSON or XML files, one a slide under its name; what the study's table names if left out.
    run
        Run folder whose slides were prepared with their tiles, to spare preparing them.
    classes
        Classes to tell apart, with commas between them; all that are drawn if left out.
    cover
        A tile is of a class that covers at least this share of its area, if no other covers more than the
        rest.
    fewest
        Tiles that each class needs.
    most
        Tiles of a class that are taken of one patient.
    seed
        Divides patients among folds.
    workers
        Processes; 0 takes one a core.
    as_json
        Print one JSON object and nothing else.
    """
    from jecur.study.tissue_drawings import TissueOrder
    from jecur.study.tissue_training import train_tissue

    order = TissueOrder(annotations, _names(classes), cover, fewest, most, seed, run)
    said = Machines(None, workers, engine, scheduler, device)
    found = _worked(train_tissue, study, out, order, said)
    test, card = found.card.test, found.card
    if as_json:
        console.print_json(
            data={
                "model": str(found.path),
                "classes": list(card.classes),
                "n_tiles": card.n_tiles,
                "left_out": card.left_out,
                "balanced_accuracy": test.balanced_accuracy,
                "sensitivity": test.sensitivity,
            }
        )
    else:
        _tell_trained(found)
    return SOME_FAILED if found.n_failed else OK


def _tell_trained(found: "TrainedTissue") -> None:
    test, card = found.card.test, found.card
    for name in card.classes:
        tiles, patients = (
            counted(card.n_tiles[name], "tile"),
            counted(card.n_patients[name], "patient"),
        )
        console.print(
            f"{escape(name)}: {tiles} of {patients}, "
            f"{100 * test.sensitivity[name]:.1f} % of them called so by a model without their patient",
            soft_wrap=True,
        )
    left = ", ".join(f"{n:,} {reason}" for reason, n in card.left_out.items() if n)
    console.print(f"Tiles left out: {escape(left or 'none')}", soft_wrap=True)
    console.print(
        f"Balanced accuracy on patients left out {test.balanced_accuracy:.3f} ({test.n_folds} folds). "
        f"Research use only. Classifier: {escape(str(found.path))}",
        soft_wrap=True,
    )


@tissue_app.command
def apply(
    study: Path,
    *,
    model: Path,
    out: Path,
    run: Path | None = None,
    stroma: str = "",
    tumor: str = "",
    workers: Workers = 0,
    engine: Engine = None,
    scheduler: Scheduler = "",
    device: Device = None,
    as_json: AsJson = False,
) -> int:
    """Say what each patient's tissue is made of: fractions of classes, stroma-tumor ratio.

    A fraction is the mean of a class's probability over all tiles of the patient. clinical.csv in OUT is the
    study's table with these columns added: name them as covariates.

    Example: jecur tissue apply study.toml --model tissue/models/tissue.safetensors --out fractions

    Parameters
    ----------
    study
        Study file.
    model
        Classifier of jecur tissue train.
    out
        Run folder: tissue.csv, tile_classes.parquet, clinical.csv; slides, where they are prepared here.
    run
        Run folder whose slides were prepared with their tiles, to spare preparing them.
    stroma
        Classes that are stroma, with commas between them; recognized by name if left out.
    tumor
        Classes that are tumor, likewise.
    workers
        Processes; 0 takes one a core.
    as_json
        Print one JSON object and nothing else.
    """
    from jecur.study.tissue_apply import TissueQuestion, apply_tissue

    question = TissueQuestion(model, _names(stroma), _names(tumor), run)
    said = Machines(None, workers, engine, scheduler, device)
    done = _worked(apply_tissue, study, out, question, said)
    found = done.found
    code = SOME_FAILED if done.n_failed else OK
    if as_json:
        console.print_json(
            data={
                "table": str(done.table),
                "clinical": None if done.clinical is None else str(done.clinical),
                "n_patients": len(found.patients),
                "n_left_out": len(found.left_out),
                "n_drawings_trained": len(found.trained_on),
            }
        )
        return code
    for name, column in zip(found.classes, found.fractions.T, strict=True):
        if len(column):
            low, high = column.min(), column.max()
            console.print(
                f"{escape(name)}: {column.mean():.3f} of the tissue on average ({low:.3f} to {high:.3f})"
            )
    ratio = "" if done.ratio is not None else " No class is stroma or tumor by its name: no ratio."
    console.print(
        f"{counted(len(found.patients), 'patient')}, {len(found.left_out)} left out; the drawings of "
        f"{len(found.trained_on)} of them trained the classifier.{ratio} Research use only. "
        f"Table: {escape(str(done.table))}",
        soft_wrap=True,
    )
    return code

"""Commands that reproduce a published study: reproduce liu2021."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.markup import escape

from jecur.cli.console import (
    OK,
    SOME_FAILED,
    RichProgress,
    Whole,
    Workers,
    app,
    console,
    main_process,
)
from jecur.runs.cores import cores
from jecur.settings import Preset

if TYPE_CHECKING:
    from jecur.reproduce.compare import Cell

__all__ = ["liu2021", "reproduce"]

reproduce = App(name="reproduce", help="Reproduce a published study on public data.")
app.command(reproduce)


@reproduce.command
def liu2021(
    *,
    data: Path,
    out: Path,
    model: Path | None = None,
    clinical: Path | None = None,
    first_slide: Annotated[bool, Parameter(negative="")] = False,
    folds: Whole = 5,
    max_tiles: Whole = 0,
    preset: Preset = "paper",
    workers: Workers = 0,
) -> int:
    """Run the external validation of Liu et al. 2021 on TCGA-LIHC, beside what the paper prints.

    With a model its patients are scored as in the paper. Without one the risks come from
    site-preserving cross-validation, which is another design. The same command goes on.

    Example: jecur reproduce liu2021 --data tcga --out tcga-run --model my-study/run/models/my-study.jecur

    Parameters
    ----------
    data
        Folder that `jecur fetch tcga-lihc` filled, or any folder with TCGA-*.svs in it.
    out
        Run folder.
    model
        A .jecur file that has seen none of these patients.
    clinical
        Folder with the clinical tables, if they are not in --data.
    first_slide
        Use the first diagnostic slide of a patient alone; else all are one bag.
    folds
        Of the cross-validation without a model.
    max_tiles
        At most so many tiles a slide, drawn at random, without a model; 0 keeps all.
    preset
        Recipe of training without a model.
    workers
        Processes; 0 takes one a core.
    """
    from jecur.errors import SettingsError
    from jecur.reproduce.liu2021 import Protocol
    from jecur.reproduce.liu2021 import reproduce as run_protocol
    from jecur.runs.folder import RunFolder

    if model is not None and (max_tiles or preset != "paper" or folds != 5):
        raise SettingsError(
            "expected --max-tiles, --preset and --folds without --model alone, found both; tiles and "
            "training are those of the model file"
        )
    protocol = Protocol(
        data=data,
        clinical=clinical,
        model=model,
        all_slides=not first_slide,
        folds=folds,
        preset=preset,
        max_tiles=max_tiles,
    )
    with main_process() as is_main, RichProgress() as progress:
        if not is_main:
            return OK
        done = run_protocol(
            protocol, RunFolder.open(out), workers=workers or cores(), progress=progress
        )
    _show(done.cells)
    for line in (*done.remarks, f"Research use only. Report: {done.report}. Paper: {done.page}"):
        console.print(escape(line), soft_wrap=True)
    return SOME_FAILED if done.n_failed_slides else OK


def _show(cells: "tuple[Cell, ...]") -> None:
    from rich.table import Table

    shown = Table(title="Paper and ours", title_justify="left")
    shown.add_column("", overflow="fold")
    for heading in ("Paper", "Ours", "n", "Events"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for cell in cells:
        numbers = ["-" if v is None else f"{v:.4g}" for v in (cell.paper, cell.ours)]
        counts = ["" if v is None else str(v) for v in (cell.n, cell.events)]
        shown.add_row(escape(f"{cell.where}: {cell.what}"), *numbers, *counts)
    console.print(shown)
    lacking = dict.fromkeys((c.where, c.note) for c in cells if c.ours is None)
    for where, note in lacking:
        console.print(escape(f"{where}, where ours is '-': {note}"), soft_wrap=True)

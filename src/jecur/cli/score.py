"""Command: score."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.markup import escape

from jecur.cli.console import (
    OK,
    SOME_FAILED,
    AsJson,
    Device,
    EngineName,
    RichProgress,
    Scheduler,
    Workers,
    app,
    console,
)
from jecur.printable import counted
from jecur.runs.cores import cores

if TYPE_CHECKING:
    from jecur.scored.add import ScoreFolder
    from jecur.scored.earlier import Row

__all__ = ["score"]

Role = Literal["validation", "training", "tuning", "all"]


@app.command
def score(
    slides: list[Path] | None = None,
    *,
    model: Path,
    out: Path,
    table: Path | None = None,
    study: Path | None = None,
    role: Role | None = None,
    patient: str = "",
    mpp: float | None = None,
    annotations: Path | None = None,
    keep_tiles: bool = False,
    report: bool = False,
    as_json: AsJson = False,
    workers: Workers = 0,
    engine: EngineName | None = None,
    scheduler: Scheduler = "",
    device: Device = None,
) -> int:
    """Score slides, folders, a table or a study with a model file. Needs no torch.

    Each slide is a patient of its own unless --patient, a table or a study says otherwise. A second
    command into the same folder adds slides, or replaces those given again, and pools their patients anew.
    Exit code 3 if a slide fails; the others are scored.

    Example: jecur score slides --model demo/models/jecur-demonstration.jecur --out scored

    Parameters
    ----------
    slides
        Whole-slide images, and folders of them; a folder of DICOM files is one slide.
    model
        A .jecur file.
    out
        Folder of the scores: a new one, or one with scores of the same model.
    table
        CSV or Excel with a row a slide: its file, and if need be patient and micrometers per pixel. Names
        are relative to the folder given as SLIDES, else to the table.
    study
        Study file, whose table says whose the slides are.
    role
        Whose slides of the study: validation (the default), training, tuning or all.
    patient
        One patient that all the slides belong to.
    mpp
        Micrometers per pixel, where the files do not say or are wrong; recorded.
    annotations
        Drawn regions (QuPath GeoJSON, ASAP or Aperio XML) of the one slide, or a folder of such files
        under the slides' names; the model says which classes count.
    keep_tiles
        Write the tiles of every slide as well, 0.2 MB each; the scores are the same.
    report
        Write a page for each patient as well: patients/<patient>/report.html.
    as_json
        Print one JSON object and nothing else.
    workers
        Processes; 0 takes one a core.
    engine
        Where slides are scored: in processes of this machine (local) or by workers of a Dask cluster
        (dask); as the study says if absent.
    """
    from jecur.runs.worker_pool import started_early

    processes = workers or cores()
    local = engine != "dask" and not scheduler and study is None
    early = min(processes, _most(slides or [], processes)) if local else 0
    with started_early(early, "jecur.study.pass_by"):
        from jecur.mil.passport import admit_model
        from jecur.runs.folder import RunFolder
        from jecur.scored.add import add_scores
        from jecur.scored.as_json import folder_facts
        from jecur.scored.given import Request, find_given
        from jecur.settings import ComputeSettings, read_study
        from jecur.study.devices import on_devices
        from jecur.study.machines import at_work, with_engine

        request = Request(tuple(slides or ()), table, study, role, patient, mpp, annotations)
        request.require()
        given = find_given(request, features=admit_model(model).card.input.kind == "features")
        compute = read_study(study).compute if study is not None else ComputeSettings()
        machines = with_engine(compute, engine, scheduler, device)
        with (
            RichProgress() as progress,
            on_devices(machines, out, say=progress.say),
            at_work(machines, out, workers=processes, say=progress.say),
        ):
            found = add_scores(
                given,
                model,
                RunFolder.open(out),
                workers=processes,
                progress=progress,
                keep_tiles=keep_tiles,
                pages=report,
            )
    if as_json:
        print(json.dumps(folder_facts(found), allow_nan=False))  # noqa: T201 - the one object asked for
    else:
        _tell(found, out)
    return SOME_FAILED if found.n_failed else OK


def _most(paths: list[Path], processes: int) -> int:
    """How many processes slides given by name can keep busy; folders count as many."""
    return len(paths) if all(path.is_file() for path in paths) else processes


def _tell(found: "ScoreFolder", out: Path) -> None:
    from rich.table import Table

    card, merged = found.bundle.card, found.merged
    table = Table(title=escape(f"Risk of: {card.endpoint.definition}"), title_justify="left")
    for heading in ("Patient", "Risk", f"Group (cut-off {card.cutoff:g})", "Tiles", "Flags"):
        table.add_column(heading)
    limit = card.looks.limit if card.looks else None
    rows = [merged.patients[patient] for patient in merged.touched]
    for row in rows:
        own = [s for s in merged.slides.values() if s["patient_id"] == row["patient_id"]]
        table.add_row(
            escape(row["patient_id"]),
            f"{float(row['risk']):.3f}" if row["risk"] else "none",
            row["group"] or escape(row["status"]),
            row["n_tiles"],
            escape(", ".join(_flags(row, own, limit)) or "none"),
        )
    if rows:
        console.print(table)
    if card.virtual:
        console.print(
            "[bold]This model was trained on virtual patients: its risks mean nothing for real slides.[/]",
            soft_wrap=True,
        )
    if found.pages:
        first = escape(str(next(iter(found.pages.values()))))
        console.print(f"{counted(len(found.pages), 'page')}: {first}", soft_wrap=True)
    n, n_risk = len(merged.patients), sum(bool(row["risk"]) for row in merged.patients.values())
    more = (
        f" The folder holds {counted(n, 'patient')}, {n_risk} with a risk." if n > len(rows) else ""
    )
    console.print(
        f"{counted(len(found.given), 'slide')} in: {len(found.given) - found.n_failed} scored, "
        f"{found.n_failed} failed.{more} Research use only. Files: {escape(str(out))}",
        soft_wrap=True,
    )


def _flags(patient: "Row", slides: "list[Row]", limit: float | None) -> list[str]:
    """Whatever a reader of the risk should know: flags of the slides, and those that failed."""
    flags = {
        f for row in slides for f in row["flags"].split(";") if f and row["status"] != "failed"
    }
    if patient["unlike_training"] == "True":
        flags -= {"unlike-training"}
        distance = float(patient["training_distance"])
        flags |= {
            f"unlike-training ({distance:.2f}, limit {limit:.2f})" if limit else "unlike-training"
        }
    flags |= {"seen-in-training"} if patient["seen_in_training"] == "True" else set()
    return sorted(flags) + [code for code in patient["code"].split(";") if code]

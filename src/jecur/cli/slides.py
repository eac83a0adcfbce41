"""Commands that look at slides before a run: inspect, doctor."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.markup import escape

from jecur.cli.console import OK, SOME_FAILED, USER_ERROR, RichProgress, app, console, errors

if TYPE_CHECKING:
    from jecur.preview.slide import SlidePreview

__all__ = ["doctor", "inspect"]

AsJson = Annotated[bool, Parameter(name="--json")]


@app.command
def inspect(
    paths: list[Path],
    *,
    as_json: AsJson = False,
    mpp: float | None = None,
    preview: Path | None = None,
    study: Path | None = None,
    annotations: Path | None = None,
    cores: Path | None = None,
) -> int:
    """Show what the product sees in slides, and whether a run would score them.

    With --json one object a slide or core, one a line. Exit code 3 if any fails.

    Example: jecur inspect slide.svs --preview slide.png

    Parameters
    ----------
    paths
        Slide files, or folders that each hold one DICOM slide.
    as_json
        Print JSON and nothing else.
    mpp
        Micrometers per pixel, where the files do not say or are wrong.
    preview
        PNG to draw for one slide; for several slides or cores, a folder of PNGs.
    study
        Look at the slides as this study will: its settings, and what its table says of these slides
        (scale, cores of tissue arrays, drawn regions).
    annotations
        Drawn regions of the slide (QuPath GeoJSON, ASAP or Aperio XML), or a folder of such files
        under the slides' names; the study says which classes count.
    cores
        Map of the cores of a tissue array (`jecur tma map`): each core is looked at as a slide.
    """
    from jecur.preview.slide import preview_view
    from jecur.preview.view import view_slides

    views = view_slides(paths, study, mpp=mpp, cores=cores, annotations=annotations)
    if preview is not None and len(views) > 1:
        preview.mkdir(parents=True, exist_ok=True)
    worst = OK
    for view in views:
        picture = preview / f"{view.name}.png" if preview and len(views) > 1 else preview
        found = preview_view(view, preview=picture)
        if as_json:
            print(json.dumps(found.to_dict()))  # noqa: T201 - the one object asked for
        else:
            _tell(found)
        worst = SOME_FAILED if found.status == "failed" else worst
    return worst


@app.command
def doctor(
    folder: Path,
    *,
    table: Path,
    study: Path | None = None,
    tiles: bool = False,
    as_json: AsJson = False,
) -> int:
    """Look a whole cohort over before a long run: slides, scales, names, events.

    Exit code 3 if a slide cannot be opened or is in the table under two patients.

    Example: jecur doctor slides --table clinical.csv --study study.toml

    Parameters
    ----------
    folder
        Folder of the slides.
    table
        Clinical table.
    study
        Study file that names columns and codes; without it the columns must be patient_id, time
        (months), event (1 or 0), role and slide.
    tiles
        Read every tile too, and give the verdict of a run on each slide; takes as long as inspect.
    as_json
        Print JSON and nothing else.
    """
    import msgspec

    from jecur.cohort.cohort import read_cohort
    from jecur.preview.cohort import preview_cohort
    from jecur.preview.view import default_recipe
    from jecur.settings import CohortSettings, EndpointSettings, read_study
    from jecur.study.prepare import recipe_of_study

    if not folder.is_dir():
        errors.print(
            f"[red]error:[/] expected a folder of slides, found none at {escape(str(folder))}"
        )
        return USER_ERROR
    plain = CohortSettings(
        endpoint=EndpointSettings(
            kind="recurrence-free survival",
            unit="months",
            event_values=("1",),
            censored_values=("0",),
        )
    )
    settings = msgspec.structs.replace(
        read_study(study).cohort if study else plain,
        table=str(table.resolve()),
        slide_folder=str(folder.resolve()),
    )
    recipe = recipe_of_study(read_study(study)) if tiles and study else default_recipe()
    cohort = read_cohort(settings, study.resolve().parent if study else Path.cwd())
    with RichProgress() as progress:
        checkup = preview_cohort(cohort, progress=progress, recipe=recipe if tiles else None)
    worst = SOME_FAILED if any(f.severity == "error" for f in checkup.findings) else OK
    if as_json:
        print(json.dumps(checkup.to_dict()))  # noqa: T201 - the one object asked for
        return worst
    for finding in checkup.findings:
        color = "red" if finding.severity == "error" else "yellow"
        console.print(
            f"[{color}]{finding.severity}[/] {escape(finding.subject)}: "
            f"{escape(finding.message)} \\[{finding.code}]",
            soft_wrap=True,
        )
    roles = ", ".join(f"{role} {e} of {n}" for role, (e, n) in checkup.events.items() if n)
    console.print(
        f"{checkup.n_patients} patients used, {checkup.n_excluded} left out; {checkup.n_slides} "
        f"slides, {checkup.n_unreadable} unreadable. Events: {roles or 'none'}.",
        soft_wrap=True,
    )
    return worst


def _tell(found: "SlidePreview") -> None:
    color = {"ok": "green", "flagged": "yellow", "failed": "red"}[found.status]
    scale = "unknown" if found.mpp is None else f"{found.mpp:.4g} um/px ({found.mpp_source})"
    core = f" core {escape(found.core)}" if found.core else ""
    area = "" if found.tissue_mm2 is None else f", tissue {found.tissue_mm2:g} mm2"
    console.print(
        f"[bold]{escape(found.file)}{core}[/]  [{color}]{found.status}[/] {found.code}\n"
        f"  {escape(found.vendor or 'unknown')} by {escape(found.reader or 'no reader')}, {found.width} x "
        f"{found.height} px, {found.levels} levels, {scale}{area}, {found.n_tiles} tiles to score, "
        f"{found.n_tiles_left_out} left out",
        soft_wrap=True,
    )
    if found.reason:
        console.print(f"  {escape(found.reason)}", soft_wrap=True)
    if found.flags:
        console.print(f"  flags: {', '.join(found.flags)}")

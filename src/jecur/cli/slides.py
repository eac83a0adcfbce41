"""Commands that look at slides before a run: inspect, doctor."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from jecur.cli.console import (
    OK,
    SOME_FAILED,
    USER_ERROR,
    AsJson,
    RichProgress,
    app,
    console,
    errors,
)
from jecur.printable import counted
from jecur.runs.cores import cores

if TYPE_CHECKING:
    from jecur.preview.slide import SlidePreview
    from jecur.settings import StudySettings

__all__ = ["doctor", "inspect"]


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
    path: Path | None = None,
    *,
    table: Path | None = None,
    study: Path | None = None,
    out: Path | None = None,
    tiles: bool = False,
    as_json: AsJson = False,
) -> int:
    """Look a whole study over before a long run: settings, table, slides, libraries, disk, time.

    All that is wrong comes in one list, the same that a run would refuse. Exit code 3 if anything would
    stop or spoil a run.

    Example: jecur doctor study.toml

    Parameters
    ----------
    path
        Study file (or --study STUDY alone); or a folder of slides, with --table.
    table
        Clinical table, in place of the study's.
    study
        With a folder: the study file that names columns and codes; without it the columns must be
        patient_id, time (months), event (1 or 0), role and slide.
    out
        Run folder that is planned; left out, a folder "run" beside the study file.
    tiles
        Read every tile too, and give the verdict of a run on each slide; takes as long as inspect.
    as_json
        Print JSON and nothing else.
    """
    from jecur.doctor.visit import Visit, examine

    if path is None:
        path, study = study, None
    if path is None or (not path.is_dir() and path.suffix.lower() != ".toml"):
        where = "" if path is None else f" at {escape(str(path))}"
        errors.print(
            f"[red]error:[/] expected a study file or a folder of slides, found none{where}"
        )
        return USER_ERROR
    settings, folder = _study_to_look_at(path, table, study)
    with RichProgress() as progress:
        checkup = examine(Visit(settings, folder, out or folder / "run", tiles, cores()), progress)
    worst = SOME_FAILED if any(f.severity == "error" for f in checkup.findings) else OK
    if as_json:
        print(json.dumps(checkup.to_dict()))  # noqa: T201 - the one object asked for
        return worst
    for finding in checkup.findings:
        color = "red" if finding.severity == "error" else "yellow"
        subject = f" {escape(finding.subject)}" if finding.subject else ""
        console.print(
            f"[{color}]{finding.severity}[/]{subject}: {escape(finding.message)} \\[{finding.code}]",
            soft_wrap=True,
        )
    for line in checkup.lines():
        console.print(escape(line), soft_wrap=True)
    return worst


def _study_to_look_at(
    path: Path, table: Path | None, study: Path | None
) -> tuple["StudySettings", Path]:
    """Find settings of the study, and what its paths are relative to."""
    import msgspec

    from jecur.errors import SettingsError
    from jecur.settings import CohortSettings, EndpointSettings, StudySettings, read_study

    if not path.is_dir():
        settings, folder = read_study(path), path.resolve().parent
    elif table is None and study is None:
        raise SettingsError(
            f"expected a study file, or --table beside the folder {path}, found neither; give one"
        )
    elif study is not None:
        settings, folder = read_study(study), study.resolve().parent
    else:
        endpoint = EndpointSettings(
            kind="recurrence-free survival",
            unit="months",
            event_values=("1",),
            censored_values=("0",),
        )
        settings, folder = (
            StudySettings(name="study", cohort=CohortSettings(endpoint=endpoint)),
            Path(),
        )
    changes: dict[str, str] = {}
    if path.is_dir():
        changes["slide_folder"] = str(path.resolve())
    if table is not None:
        changes["table"] = str(table.resolve())
    cohort = msgspec.structs.replace(settings.cohort, **changes)
    return msgspec.structs.replace(settings, cohort=cohort), folder.resolve()


def _tell(found: "SlidePreview") -> None:
    color = {"ok": "green", "flagged": "yellow", "failed": "red"}[found.status]
    scale = "unknown" if found.mpp is None else f"{found.mpp:.4g} um/px ({found.mpp_source})"
    core = f" core {escape(found.core)}" if found.core else ""
    area = "" if found.tissue_mm2 is None else f", tissue {found.tissue_mm2:g} mm2"
    console.print(
        f"[bold]{escape(found.file)}{core}[/]  [{color}]{found.status}[/] {found.code}\n"
        f"  {escape(found.vendor or 'unknown')} by {escape(found.reader or 'no reader')}, {found.width} x "
        f"{found.height} px, {found.levels} levels, {scale}{area}, "
        f"{counted(found.n_tiles, 'tile')} to score, "
        f"{found.n_tiles_left_out} left out",
        soft_wrap=True,
    )
    if found.reason:
        console.print(f"  {escape(found.reason)}", soft_wrap=True)
    if found.flags:
        console.print(f"  flags: {', '.join(found.flags)}")

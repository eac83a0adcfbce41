"""Commands for tissue arrays: map."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App
from rich.markup import escape

from jecur.cli.console import OK, SOME_FAILED, AsJson, Whole, app, console, errors

if TYPE_CHECKING:
    from jecur.slide.tissue_array.mapping import FoundMap

__all__ = ["map_array"]


tma = App(name="tma", help="Tissue arrays: find the cores of a slide.")
app.command(tma)


@tma.command(name="map")
def map_array(
    slide: Path,
    *,
    out: Path,
    geojson: Path | None = None,
    preview: Path | None = None,
    diameter: float = 0.0,
    rows: Whole = 0,
    columns: Whole = 0,
    mpp: float | None = None,
    as_json: AsJson = False,
) -> int:
    """Find the cores of a tissue array and write their map.

    Look at the preview, correct the map (as a table, or in QuPath through the GeoJSON), fill in
    patient_id, and name it in the study under [[cohort.tissue_arrays]]. Exit code 3 if the slide
    cannot be read or has no cores.

    Example: jecur tma map array.svs --out map.csv --geojson map.geojson --preview map.png

    Parameters
    ----------
    slide
        Slide of the array.
    out
        CSV to write: one row a core, missing ones too.
    geojson
        The same as circles that QuPath opens.
    preview
        PNG to draw: every core circled and named, missing ones crossed.
    diameter
        Of the cores, micrometers; 0 measures it.
    rows
        Rows of the array; 0 takes what is found.
    columns
        Columns of the array; 0 takes what is found.
    mpp
        Micrometers per pixel, where the file does not say or is wrong.
    as_json
        Print JSON and nothing else.
    """
    from PIL import Image

    from jecur.cohort.core_map import core_map_csv, core_map_geojson
    from jecur.errors import SlideError
    from jecur.runs.folder import write_json, write_text
    from jecur.settings import TissueArraySettings, TissueSettings, make_settings
    from jecur.slide.reader import open_slide
    from jecur.slide.tissue_array.mapping import draw_map, map_cores

    given = {"diameter_um": diameter, "rows": rows, "columns": columns}
    settings = make_settings(given, TissueArraySettings)
    try:
        with open_slide(slide, mpp=mpp) as opened:
            found = map_cores(opened, settings, TissueSettings())
            if preview is not None:
                Image.fromarray(draw_map(opened, found.cores)).save(preview, "PNG")
    except SlideError as error:
        if as_json:
            failed = {"file": slide.name, "status": "failed", "code": error.code}
            print(json.dumps(failed | {"reason": error.message}))  # noqa: T201 - the object asked for
        else:
            errors.print(f"[red]error:[/] {escape(error.message)} \\[{error.code}]", soft_wrap=True)
        return SOME_FAILED
    write_text(out, core_map_csv(found.cores))
    if geojson is not None:
        write_json(geojson, core_map_geojson(found.cores))
    facts = {"file": slide.name, "status": "ok", **_facts(found), "map": str(out)}
    if as_json:
        print(json.dumps(facts))  # noqa: T201 - the one object asked for
        return OK
    console.print(
        f"[bold]{escape(slide.name)}[/]  {facts['n_cores']} cores of {facts['diameter_um']:g} um on "
        f"{facts['rows']} rows and {facts['columns']} columns, {facts['n_missing']} missing, turned by "
        f"{facts['rotation_deg']:g} degrees",
        soft_wrap=True,
    )
    for note in found.notes:
        console.print(f"  {escape(note)}", soft_wrap=True)
    console.print(escape(str(out)))
    return OK


def _facts(found: "FoundMap") -> dict[str, Any]:
    """Say what was found of the cores, as ``--json`` prints it."""
    n_rows, n_columns = found.shape
    return {
        "rows": n_rows,
        "columns": n_columns,
        "n_cores": len(found.cores.present),
        "n_missing": len(found.cores.cores) - len(found.cores.present),
        "diameter_um": round(found.diameter_um, 1),
        "rotation_deg": round(found.rotation_deg, 2),
        "n_off_grid": found.n_off_grid,
        "notes": list(found.notes),
    }

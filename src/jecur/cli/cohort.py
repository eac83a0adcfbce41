"""Commands of the cohort: cohort tcga-lihc."""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from cyclopts import App
from rich.markup import escape

from jecur.cli.console import OK, AsJson, app, console

__all__ = ["cohort", "tcga_lihc"]


cohort = App(name="cohort", help="Make a clinical table from public files.")
app.command(cohort)


@cohort.command(name="tcga-lihc")
def tcga_lihc(
    *,
    cbioportal: Path,
    out: Path,
    biotab: Path | None = None,
    cdr: Path | None = None,
    manifest: Path | None = None,
    endpoint: Literal["dfs", "recurrence", "rfs", "os", "dfi", "pfi"] = "dfs",
    histology: Literal["all", "hcc"] = "all",
    residual: Literal["all", "exclude-r1-r2"] = "all",
    by_file_id: bool = False,
    as_json: AsJson = False,
) -> int:
    """Make the TCGA-LIHC cohort from the files as downloaded: a table and a study file for it.

    Example: jecur cohort tcga-lihc --cbioportal lihc_tcga --histology hcc --residual exclude-r1-r2
    --out tcga/cohort.csv

    Parameters
    ----------
    cbioportal
        Study folder (the file of patients under any of the names cBioPortal gave it) or the file itself.
    out
        The table to write; study.toml and exclusions.csv go beside it.
    biotab
        Folder of the BCR biotab tables: for the endpoints recurrence and rfs.
    cdr
        TCGA-CDR, supplementary table S1: for the endpoints dfi and pfi.
    manifest
        GDC manifest of slides: names each patient's diagnostic slides; others are left out.
    endpoint
        What the time runs to; the default is cBioPortal's DFS.
    histology
        hcc leaves out fibrolamellar and mixed carcinoma.
    residual
        exclude-r1-r2 leaves out tumor at the margin.
    by_file_id
        Slides lie in folders named by file id, as the GDC's download tool makes them.
    as_json
        Print one JSON object and nothing else.
    """
    from jecur.cohort.endpoint import endpoint_definition
    from jecur.cohort.tcga.endpoint import endpoint_settings
    from jecur.cohort.tcga.lihc import TcgaFiles, read_tcga_lihc
    from jecur.cohort.tcga.output import write_tcga
    from jecur.settings import TcgaSettings

    settings = TcgaSettings(endpoint=endpoint, histology=histology, residual=residual)
    made = read_tcga_lihc(TcgaFiles(cbioportal, biotab, cdr, manifest, by_file_id), settings)
    written = write_tcga(made, settings, out)
    declared = endpoint_settings(endpoint)
    facts = {
        "n": len(made.frame),
        "events": made.events,
        "deaths_without_recurrence": made.competing,
        "endpoint": declared.kind,
        "definition": endpoint_definition(declared),
        "flow": [asdict(step) for step in made.flow],
        "unknown": made.unknown,
        "notes": list(made.notes),
        "files": {name: str(path) for name, path in asdict(written).items()},
    }
    if as_json:
        console.print_json(data=facts)
        return OK
    for step in made.flow:
        lost = f"-{step.excluded} " if step.excluded else ""
        console.print(
            escape(f"{lost}{step.reason}: {step.left} patients, {step.events} events"),
            soft_wrap=True,
        )
    for line in (*made.notes, f"{declared.kind}: {facts['definition']}", str(written.study)):
        console.print(escape(line), soft_wrap=True)
    return OK

"""What is wanted of TCGA-LIHC, looked up and planned: nothing is written yet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jecur.errors import FetchError
from jecur.fetch.gdc import clinical_files, data_release, differences, listed_slides
from jecur.fetch.lists import (
    DicomSeries,
    choose,
    read_ids,
    read_manifest_files,
    shipped_series,
    shipped_slides,
)
from jecur.fetch.patience import Patience
from jecur.fetch.plan import Plan, plan_files, plan_series
from jecur.fetch.record import Row
from jecur.fetch.remote import RemoteFile
from jecur.fetch.web import Web

__all__ = ["ASKING", "Choice", "Ready", "asked", "failed_row", "ready_from_gdc", "ready_from_idc"]

ASKING = Patience(tries=2, connect_s=10.0, read_s=30.0)
"""For what can be done without."""
_MOST_DIFFERENCES = 20
_RELEASE = "IDC v25, 2026-09-26"


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody wants.

    Parameters
    ----------
    out
        Output folder.
    slides, clinical
        What to fetch.
    ids
        File of patients, file ids or names; None takes all.
    patients, seed
        So many patients drawn at random.
    manifest
        GDC manifest in place of the list that ships.
    """

    out: Path
    slides: bool = True
    clinical: bool = True
    ids: Path | None = None
    patients: int | None = None
    seed: int = 0
    manifest: Path | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """What is to be fetched, looked up and planned; nothing is written yet.

    Parameters
    ----------
    plan
        To be shown.
    files
        Slides and clinical files whose size is known.
    series
        DICOM slides, whose files are listed when they are fetched.
    portal
        Address of cBioPortal if its table is wanted; else "".
    failed
        What could not be looked up, as rows of the record.
    origins, list_used
        For SOURCE.md.
    """

    out: Path
    plan: Plan
    files: tuple[RemoteFile, ...]
    origins: dict[str, tuple[str, str]]
    list_used: str
    server: str
    series: tuple[DicomSeries, ...] = ()
    portal: str = ""
    failed: tuple[Row, ...] = ()


def ready_from_gdc(choice: Choice, web: Web, base: str, portal: str) -> Ready:
    """Look up slides and clinical files of the GDC.

    The slides are those of the list that ships, or of a manifest; the API is asked for its present
    list, and every difference is told.
    """
    slides, source = _gdc_slides(choice, base)
    remarks, failed = [], []
    release = asked(lambda: data_release(Web(ASKING, web.stop), base))
    tables: tuple[RemoteFile, ...] = ()
    if choice.clinical:
        try:
            tables = clinical_files(web, base)
        except FetchError as error:
            failed.append(failed_row("clinical/biotab", "", error))
            remarks.append(f"BCR tables: {error.message} [{error.code}]")
    if choice.slides and choice.manifest is None:
        remarks += _told_differences(slides, web, base)
    plan = plan_files(
        slides,
        tables,
        choice.out,
        source,
        clinical=choice.clinical,
        remarks=remarks,
    )
    wanted = [
        n for n, is_wanted in (("gdc", choice.slides), ("biotab", choice.clinical)) if is_wanted
    ]
    return Ready(
        out=choice.out,
        plan=plan,
        files=(*tables, *slides),  # the small ones first
        origins=dict.fromkeys(wanted, (base, release)),
        list_used=source,
        server=base,
        portal=portal if choice.clinical else "",
        failed=tuple(failed),
    )


def _gdc_slides(choice: Choice, base: str) -> tuple[tuple[RemoteFile, ...], str]:
    if not choice.slides:
        return (), "no slides"
    if choice.manifest is None:
        listed, source = shipped_slides(base)
    else:
        listed, source = (
            read_manifest_files(choice.manifest, base),
            f"manifest {choice.manifest.name}",
        )
    named = [(f.patient or f.id, frozenset({f.id, f.name})) for f in listed]
    chosen = choose(
        named,
        ids=None if choice.ids is None else read_ids(choice.ids),
        patients=choice.patients,
        seed=choice.seed,
    )
    return tuple(listed[k] for k in chosen), source


def _told_differences(slides: Sequence[RemoteFile], web: Web, base: str) -> list[str]:
    """Say what the server's own list says otherwise."""
    everything, _ = shipped_slides(base)
    try:
        told = differences(everything, listed_slides(Web(ASKING, web.stop), base))
    except FetchError as error:
        return [
            f"The server was not asked for a newer list: {error.message} [{error.code}]. "
            f"The list that ships is followed ({len(slides)} files)."
        ]
    if not told:
        return ["The server's own list is the same."]
    more = [f"and {len(told) - _MOST_DIFFERENCES} more"] if len(told) > _MOST_DIFFERENCES else []
    return [
        "The server's own list differs; the list that ships is followed (to follow another, give it "
        "as --manifest):",
        *(f"  {line}" for line in (*told[:_MOST_DIFFERENCES], *more)),
    ]


def asked(question: Callable[[], str]) -> str:
    """Return an answer that can be done without, or why there is none."""
    try:
        return question()
    except FetchError as error:
        return f"not told ({error.code})"


def ready_from_idc(choice: Choice, base: str) -> Ready:
    """Look up DICOM slides of the IDC in the list that ships."""
    listed, source = shipped_series()
    named = [(one.patient, frozenset({one.id})) for one in listed]
    chosen = choose(
        named,
        ids=None if choice.ids is None else read_ids(choice.ids),
        patients=choice.patients,
        seed=choice.seed,
    )
    series = tuple(listed[k] for k in chosen)
    return Ready(
        out=choice.out,
        plan=plan_series(series, choice.out, source),
        files=(),
        origins={"idc": (base, _RELEASE)},
        list_used=source,
        server=base,
        series=series,
    )


def failed_row(folder: str, name: str, error: FetchError) -> Row:
    """Return the row of something that could not be looked up."""
    return Row(folder=folder, name=name, state="failed", code=error.code, reason=error.message)

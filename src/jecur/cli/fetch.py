"""Commands that fetch public cohorts: fetch tcga-lihc, fetch idc tcga-lihc."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.markup import escape

from jecur.cli.console import OK, SOME_FAILED, USER_ERROR, Whole, WholeOrAll, app, console
from jecur.printable import counted

if TYPE_CHECKING:
    from jecur.fetch.ready import Ready
    from jecur.fetch.tcga_lihc import Fetched
    from jecur.fetch.web import Web

__all__ = ["fetch", "idc", "idc_tcga_lihc", "tcga_lihc"]

Flag = Annotated[bool, Parameter(negative="")]

fetch = App(name="fetch", help="Fetch public cohorts: slides and clinical tables.")
idc = App(name="idc", help="Fetch from the Imaging Data Commons: slides as DICOM.")
app.command(fetch)
fetch.command(idc)


@fetch.command(name="tcga-lihc")
def tcga_lihc(
    *,
    out: Path,
    what: str = "slides,clinical",
    patients: WholeOrAll = None,
    seed: Whole = 0,
    list_: Annotated[Path | None, Parameter(name="--list")] = None,
    manifest: Path | None = None,
    base_url: str = "",
    portal_url: str = "",
    dry_run: Flag = False,
    yes: Flag = False,
    check: Flag = False,
) -> int:
    """Fetch TCGA-LIHC: the diagnostic slides and the clinical tables (GDC and cBioPortal).

    Shows how much it is before anything is fetched. The same command goes on where it was stopped.

    Example: jecur fetch tcga-lihc --out tcga --patients 5

    Parameters
    ----------
    out
        Folder; what is there whole is not fetched again.
    what
        slides, clinical, or both with a comma.
    patients
        So many patients, drawn at random.
    seed
        Of that draw; with one seed the fewer are among the more.
    list_
        File of patients, file ids or file names, one a line.
    manifest
        GDC manifest in place of the list that ships.
    base_url
        A mirror of the GDC's API.
    portal_url
        A mirror of cBioPortal.
    dry_run
        Show the plan and fetch nothing.
    yes
        Do not ask.
    check
        Prove again what is there, and fetch nothing.
    """
    from jecur.errors import FetchError
    from jecur.fetch.cbioportal import CBIOPORTAL
    from jecur.fetch.gdc import GDC
    from jecur.fetch.ready import ASKING, Choice, ready_from_gdc
    from jecur.fetch.web import Web, require_base

    if check:
        return _check(out)
    wanted = {word.strip() for word in what.split(",") if word.strip()}
    if not wanted or wanted - {"slides", "clinical"}:
        raise FetchError(
            f"expected --what slides, clinical or slides,clinical, found {what!r}", code="bad-list"
        )
    choice = Choice(
        out=out,
        slides="slides" in wanted,
        clinical="clinical" in wanted,
        ids=list_,
        patients=patients,
        seed=seed,
        manifest=manifest,
    )
    web = Web()
    ready = ready_from_gdc(
        choice,
        Web(ASKING) if dry_run else web,
        require_base(base_url or GDC),
        require_base(portal_url or CBIOPORTAL),
    )
    return _go(ready, web, dry_run=dry_run, yes=yes)


@idc.command(name="tcga-lihc")
def idc_tcga_lihc(
    *,
    out: Path,
    patients: WholeOrAll = None,
    seed: Whole = 0,
    list_: Annotated[Path | None, Parameter(name="--list")] = None,
    base_url: str = "",
    dry_run: Flag = False,
    yes: Flag = False,
    check: Flag = False,
) -> int:
    """Fetch the diagnostic slides of TCGA-LIHC as DICOM from the Imaging Data Commons' public bucket.

    Example: jecur fetch idc tcga-lihc --out tcga-dicom --patients 5

    Parameters
    ----------
    out
        Folder; what is there whole is not fetched again.
    patients
        So many patients, drawn at random.
    seed
        Of that draw; with one seed the fewer are among the more.
    list_
        File of patients or series ids, one a line.
    base_url
        A mirror of the bucket.
    dry_run
        Show the plan and fetch nothing.
    yes
        Do not ask.
    check
        Prove again what is there, and fetch nothing.
    """
    from jecur.fetch.idc import IDC
    from jecur.fetch.ready import Choice, ready_from_idc
    from jecur.fetch.web import Web, require_base

    if check:
        return _check(out)
    choice = Choice(out=out, clinical=False, ids=list_, patients=patients, seed=seed)
    ready = ready_from_idc(choice, require_base(base_url or IDC))
    return _go(ready, Web(), dry_run=dry_run, yes=yes)


def _go(ready: "Ready", web: "Web", *, dry_run: bool, yes: bool) -> int:
    from jecur.cli.fetch_progress import watch_transfers
    from jecur.fetch.tcga_lihc import fetch as fetch_now

    for line in ready.plan.lines():
        console.print(escape(line), soft_wrap=True)
    if dry_run:
        return OK
    ready.plan.require_room()
    if not (yes or _agreed()):
        return USER_ERROR
    with watch_transfers(ready.plan) as watch:
        done = fetch_now(ready, web, watch)
    return _tell(done, ready.out, "the same command goes on with them")


def _agreed() -> bool:
    """Ask on a terminal; elsewhere nobody can answer."""
    if not console.is_terminal:
        console.print("Nothing was fetched: give --yes to go on")
        return False
    try:
        answer = console.input("Fetch this? [y/N] ", markup=False).strip().lower()
    except EOFError:
        answer = ""
    if answer not in {"y", "yes"}:
        console.print("Nothing was fetched")
        return False
    return True


def _check(out: Path) -> int:
    from jecur.cli.fetch_progress import PlainWatch
    from jecur.fetch.tcga_lihc import check as check_now

    return _tell(check_now(out, PlainWatch()), out, "fetch again without --check")


def _tell(done: "Fetched", out: Path, remedy: str) -> int:
    console.print(
        escape(
            f"{counted(done.n_whole, 'file')} whole, {len(done.failed)} not. Each with its proof: "
            f"{out / 'fetched.csv'}"
        ),
        soft_wrap=True,
    )
    if not done.failed:
        return OK
    console.print(escape(f"{counted(len(done.failed), 'file')} failed: {remedy}"), soft_wrap=True)
    return SOME_FAILED

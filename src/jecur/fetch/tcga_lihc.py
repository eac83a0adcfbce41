"""TCGA-LIHC from the GDC and cBioPortal, or its slides from the IDC: ask, plan, fetch, prove again.

::

    out/slides/<file id>/<name>      slides, or the DICOM files of one
        clinical/biotab/...txt       BCR tables
        clinical/lihc_tcga/...       cBioPortal's table of patients
        manifest.tsv                 the slides, as a GDC manifest
        fetched.csv, SOURCE.md
"""

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from jecur.errors import FetchError, SystemRefusedError
from jecur.fetch.cbioportal import TABLE, patient_table, study_facts
from jecur.fetch.crew import AT_ONCE, Watch, fetch_all, proved
from jecur.fetch.idc import series_files
from jecur.fetch.lists import DicomSeries
from jecur.fetch.ready import Ready, asked, failed_row
from jecur.fetch.record import Record, Row
from jecur.fetch.remote import RemoteFile
from jecur.fetch.source import source_page
from jecur.fetch.web import Web
from jecur.runs.files import refused_as_said, write_text

__all__ = ["Fetched", "check", "fetch"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of it."""

    n_whole: int
    failed: tuple[Row, ...]
    """Rows of every file that is not whole."""


def fetch(ready: Ready, web: Web, watch: Watch) -> Fetched:
    """Fetch what is not here whole; what fails is told and recorded, and the rest goes on.

    Raises
    ------
    FetchError
        If the disk is too small, or another fetch writes into the folder.
    SystemRefusedError
        If the disk is full after all, or the folder cannot be written.
    """
    ready.plan.require_room()
    with _locked(ready.out):
        record = Record(ready.out)
        failed = list(ready.failed)
        files, unlisted = _listed(ready, web)
        failed += unlisted
        record.looked_up({file.folder for file in files}, failed)
        origins = dict(ready.origins)
        if ready.portal:
            origins["cbioportal"], row = _fetch_table(ready, web, record)
            failed += [row] if row.state != "whole" else []
            record.put([row])
        for row in failed:
            watch.say(f"{row.folder} {row.name}: {row.reason} [{row.code}]")
        _write_manifest(ready, record)
        _write_source(ready, origins)
        fetch_all(web, files, ready.out, record, watch)
        wanted = {(file.folder, file.name) for file in files}
        rows = [row for row in record.rows if (row.folder, row.name) in wanted]
        failed += [row for row in rows if row.state != "whole"]
        n_whole = sum(row.state == "whole" for row in rows)
        return Fetched(n_whole, tuple(failed))


def _listed(ready: Ready, web: Web) -> tuple[list[RemoteFile], list[Row]]:
    """Every file with its size; DICOM slides that the bucket does not list as rows."""
    files, failed = list(ready.files), []

    def look_up(one: DicomSeries) -> tuple[RemoteFile, ...] | Row:
        try:
            return series_files(web, ready.server, one)
        except FetchError as error:
            row = failed_row(f"slides/{one.id}", "", error)
            return replace(row, id=one.id, patient=one.patient)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for found in pool.map(look_up, ready.series):
            if isinstance(found, Row):
                failed.append(found)
            else:
                files += found
    return files, failed


def _fetch_table(ready: Ready, web: Web, record: Record) -> tuple[tuple[str, str], Row]:
    """Fetch cBioPortal's table, unless it is here as it was written."""
    path = ready.out / TABLE
    folder, _, name = TABLE.rpartition("/")
    for row in record.rows:
        whole = (row.folder, row.name, row.state) == (folder, name, "whole")
        if whole and path.is_file() and proved(path, row.size, row.md5):
            return (ready.portal, row.reason or "release not told"), row
    try:
        text, proof = patient_table(web, ready.portal)
        release = asked(lambda: study_facts(web, ready.portal))
    except FetchError as error:
        return (ready.portal, "not fetched"), failed_row(folder, name, error)
    write_text(path, text)
    data = text.encode("utf-8")
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    row = Row(
        folder=folder,
        name=name,
        id="lihc_tcga",
        size=len(data),
        md5=digest,
        state="whole",
        proved_by=proof,
        reason=release,
    )
    return (ready.portal, release), row


def _write_manifest(ready: Ready, record: Record) -> None:
    """Write the slides as a GDC manifest, which `jecur cohort tcga-lihc --manifest` reads.

    Those that an earlier command fetched into this folder are in it too: they lie here.
    """
    slides = [f for f in ready.files if f.folder.startswith("slides/")]
    if not slides:
        return
    rows = [(f.id, f.name, f.md5, f.size) for f in slides]
    names = {f.name for f in slides}
    rows += [
        (row.id, row.name, row.md5, row.size)
        for row in record.rows
        if (row.folder, row.state) == (f"slides/{row.id}", "whole")
        and row.md5
        and row.name.endswith(".svs")
        and row.name not in names
    ]
    lines = [f"{file_id}\t{name}\t{md5}\t{size}\tlisted" for file_id, name, md5, size in rows]
    write_text(
        ready.out / "manifest.tsv", "\n".join(["id\tfilename\tmd5\tsize\tstate", *lines, ""])
    )


def _write_source(ready: Ready, origins: Mapping[str, tuple[str, str]]) -> None:
    path = ready.out / "SOURCE.md"
    try:
        earlier = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        earlier = ""
    day = datetime.now(UTC).date().isoformat()
    write_text(path, source_page(origins, ready.list_used, day, earlier))


def check(out: Path, watch: Watch) -> Fetched:
    """Prove every file of the record again; what is damaged or gone is fetched anew next time.

    Raises
    ------
    FetchError
        If the folder has no record.
    """
    if not out.is_dir():
        raise FetchError(
            f"expected a folder that was fetched at {out}, found none", code="bad-record"
        )
    with _locked(out):
        record = Record(out)
        if not record.rows:
            raise FetchError(
                f"expected fetched.csv in {out}, found none; fetch first", code="bad-record"
            )
        rows = [_checked(row, out) for row in record.rows]
        for row in rows:
            if row.state in {"damaged", "missing"}:
                watch.say(f"{row.folder}/{row.name}: {row.reason} [{row.code}]")
        try:
            record.put(rows)
            record.save()
        except SystemRefusedError as error:  # an archive that may be read and not written
            watch.say(f"fetched.csv stays as it was ({error.message}) [{error.code}]")
    failed = tuple(row for row in rows if row.state != "whole")
    return Fetched(len(rows) - len(failed), failed)


def _checked(row: Row, out: Path) -> Row:
    path = row.place(out)
    if row.state not in {"whole", "damaged", "missing"}:
        return row
    if not path.is_file():
        return replace(
            row, state="missing", code="missing-file", reason="expected the file, found it gone"
        )
    if not proved(path, row.size, row.md5):
        said = f"expected {row.size} bytes of MD5 {row.md5 or 'unknown'}, found others"
        return replace(row, state="damaged", code="damaged", reason=said)
    return row if row.state == "whole" else replace(row, state="whole", code="", reason="")


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """One fetch at a time in a folder."""
    with refused_as_said(out):
        out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".fetch.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise FetchError(
            f"expected no other fetch into {out}, found one under way; wait until it has ended",
            code="fetch-in-progress",
        ) from error
    except (NotImplementedError, OSError):  # a file system without locks
        yield
        return
    try:
        yield
    finally:
        lock.release()

"""The Genomic Data Commons: what its API says there is.

API: https://docs.gdc.cancer.gov/API/Users_Guide/Search_and_Retrieval/ (files, filters, paging).
"""

import json
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

import msgspec

from jecur.errors import FetchError
from jecur.fetch.remote import RemoteFile, address, patient_of
from jecur.fetch.web import Web

__all__ = ["BIOTAB", "GDC", "clinical_files", "data_release", "differences", "listed_slides"]

GDC = "https://api.gdc.cancer.gov"
BIOTAB = "clinical/biotab"
"""Folder of the tables."""
_PAGE = 2000
"""All of TCGA-LIHC at once: what is one answer cannot change between two."""
_MOST_PAGES = 1000
_FIELDS = "file_id,file_name,md5sum,file_size"


class _Hit(msgspec.Struct):
    file_id: str
    file_name: str
    md5sum: str
    file_size: int


class _Pagination(msgspec.Struct):
    total: int


class _Data(msgspec.Struct):
    hits: list[_Hit]
    pagination: _Pagination


class _Answer(msgspec.Struct):
    data: _Data


class _Status(msgspec.Struct):
    data_release: str = ""


def data_release(web: Web, base: str) -> str:
    """Which release of its data the GDC gives out, as it calls it."""
    status, _ = web.json(address(base, "status"), _Status, "the GDC's status")
    return status.data_release[:200] or "not told"


def listed_slides(web: Web, base: str) -> tuple[RemoteFile, ...]:
    """Diagnostic slides of TCGA-LIHC as the API lists them now."""
    hits = _files(
        web, base, {"data_type": "Slide Image", "experimental_strategy": "Diagnostic Slide"}
    )
    return _remote(base, hits, lambda hit: f"slides/{hit.file_id}")


def clinical_files(web: Web, base: str) -> tuple[RemoteFile, ...]:
    """BCR biotab tables of TCGA-LIHC."""
    files = _remote(base, _files(web, base, {"data_format": "BCR Biotab"}), lambda _: BIOTAB)
    names = [file.name for file in files]
    if len({name.casefold() for name in names}) < len(names) or not names:
        raise FetchError(
            f"expected BCR biotab tables, each once, found {len(names)} files of {len(set(names))} "
            "names",
            code="wrong-answer",
        )
    return files


def _files(web: Web, base: str, wanted: dict[str, str]) -> list[_Hit]:
    """Everything of the project with these properties, page by page."""
    fields = {"cases.project.project_id": "TCGA-LIHC", "access": "open", **wanted}
    content = [
        {"op": "in", "content": {"field": name, "value": [value]}} for name, value in fields.items()
    ]
    filters = json.dumps({"op": "and", "content": content})
    hits: dict[str, _Hit] = {}
    totals = set()
    for page in range(_MOST_PAGES):
        query = {
            "filters": filters,
            "fields": _FIELDS,
            "format": "JSON",
            "sort": "file_id:asc",
            "size": str(_PAGE),
            "from": str(page * _PAGE),
        }
        url = f"{address(base, 'files')}?{urlencode(query)}"
        answer = web.json(url, _Answer, "the GDC's list of files")[0].data
        totals.add(answer.pagination.total)
        if len(totals) > 1 or any(hits.setdefault(hit.file_id, hit) != hit for hit in answer.hits):
            raise _changed_meanwhile()
        if len(hits) >= answer.pagination.total or not answer.hits:
            break
    if len(hits) != answer.pagination.total:
        raise FetchError(
            f"expected {answer.pagination.total} files on the pages of the GDC's list, found {len(hits)}",
            code="wrong-answer",
        )
    return list(hits.values())


def _changed_meanwhile() -> FetchError:
    """Say that pages are not of one list: what stood between two of them would be lost in silence."""
    return FetchError(
        "expected one list of files on all pages of the GDC's answer, found that it changed from one to "
        "the next; run the same command again",
        code="wrong-answer",
    )


def _remote(
    base: str, hits: Sequence[_Hit], folder: Callable[[_Hit], str]
) -> tuple[RemoteFile, ...]:
    faults = [
        text
        for hit in hits
        for text in RemoteFile.faults(hit.file_id, hit.file_name, hit.file_size, hit.md5sum)
    ]
    if faults:
        raise FetchError(f"the GDC's list: {'; '.join(faults[:8])}", code="bad-name")
    return tuple(
        RemoteFile(
            id=hit.file_id,
            name=hit.file_name,
            size=hit.file_size,
            md5=hit.md5sum,
            url=address(base, "data", hit.file_id),
            folder=folder(hit),
            patient=patient_of(hit.file_name),
        )
        for hit in hits
    )


def differences(ours: Sequence[RemoteFile], theirs: Sequence[RemoteFile]) -> list[str]:
    """Say how the list at the server differs from the one followed here; nothing if it does not."""
    mine, other = {f.id: f for f in ours}, {f.id: f for f in theirs}
    told = []
    for file_id in sorted(mine.keys() | other.keys()):
        here, there = mine.get(file_id), other.get(file_id)
        if here is None and there is not None:
            told.append(f"{there.name}: on the server, not on the list; not fetched")
        elif there is None and here is not None:
            told.append(f"{here.name}: on the list, no longer on the server")
        elif here is not None and there is not None:
            pairs = [
                (what, getattr(here, what), getattr(there, what))
                for what in ("name", "size", "md5")
            ]
            changed = [f"{what} {a} in the list, {b} there" for what, a, b in pairs if a != b]
            if changed:
                told.append(f"{here.name}: {', '.join(changed)}")
    return told

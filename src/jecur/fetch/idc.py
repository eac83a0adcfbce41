"""The Imaging Data Commons: slides as DICOM, each a folder of a public bucket, over plain HTTPS.

The bucket answers as Amazon S3 does (ListObjectsV2). An ETag without a dash is the MD5 of its file;
where an upload in parts left none, size alone is proved, and ``fetched.csv`` says so.
"""

import re
import xml.etree.ElementTree as ET
from urllib.parse import urlencode

from jecur.errors import FetchError
from jecur.fetch.lists import DicomSeries
from jecur.fetch.remote import RemoteFile, address, whole_told
from jecur.fetch.web import Web

__all__ = ["IDC", "series_files"]

IDC = "https://idc-open-data.s3.amazonaws.com"
_MOST_PAGES = 100
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)


def series_files(web: Web, base: str, series: DicomSeries) -> tuple[RemoteFile, ...]:
    """Files of one slide, as the bucket lists them.

    Raises
    ------
    FetchError
        If they are not as many as in the list, or a name is none that can be written.
    """
    found: list[RemoteFile] = []
    token = ""
    for _ in range(_MOST_PAGES):
        query = {"list-type": "2", "prefix": f"{series.id}/"}
        if token:
            query["continuation-token"] = token
        text, _headers = web.text(f"{base}/?{urlencode(query)}")
        page = _parsed(text)
        found += [_file(base, series, item) for item in page.iterfind("{*}Contents")]
        token = page.findtext("{*}NextContinuationToken") or ""
        if (page.findtext("{*}IsTruncated") or "").strip() != "true" or not token:
            break
    if len({file.name.casefold() for file in found}) < len(found):
        raise FetchError(
            f"{series.patient} {series.slide}: expected each DICOM file once in the bucket's list, found "
            "names twice",
            code="wrong-answer",
        )
    if len(found) != series.n_files:
        raise FetchError(
            f"{series.patient} {series.slide}: expected {series.n_files} DICOM files as in the list, "
            f"found {len(found)} in the bucket; a newer version of jecur may have a newer list",
            code="not-on-server" if not found else "wrong-length",
        )
    return tuple(found)


def _parsed(text: str) -> ET.Element:
    reason = "a document type"
    if "<!DOCTYPE" not in text and "<!ENTITY" not in text:
        try:
            page = ET.fromstring(text)  # noqa: S314 - no document type, so nothing expands
        except ET.ParseError as error:
            reason = str(error)
        else:
            if page.tag.endswith("ListBucketResult"):
                return page
            reason = page.tag[:60]
    raise FetchError(
        f"expected a list of the bucket's files, found another answer ({reason}); look at what "
        "--base-url names",
        code="wrong-answer",
    )


def _file(base: str, series: DicomSeries, item: ET.Element) -> RemoteFile:
    key = item.findtext("{*}Key") or ""
    size = item.findtext("{*}Size") or ""
    etag = (item.findtext("{*}ETag") or "").strip('"').lower()
    name = key.removeprefix(f"{series.id}/")
    size_bytes = whole_told(size)
    md5 = etag if _MD5.fullmatch(etag) else ""
    faults = RemoteFile.faults(series.id, name, size_bytes, md5)
    if faults or not key.startswith(f"{series.id}/"):
        said = "; ".join(faults) or f"expected a file of folder {series.id}, found {key[:120]!r}"
        raise FetchError(f"{series.patient} {series.slide}: {said}", code="bad-name")
    return RemoteFile(
        id=series.id,
        name=name,
        size=size_bytes,
        md5=md5,
        url=address(base, series.id, name),
        folder=f"slides/{series.id}",
        patient=series.patient,
    )

"""The cBioPortal study ``lihc_tcga``: its table of patients, from the portal's own API.

API: https://www.cbioportal.org/api/swagger-ui/index.html (clinical data of a study). It gives one
value a row; the table is put together from them as cBioPortal's files have it, sorted.
"""

from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlencode

import msgspec

from jecur.errors import FetchError
from jecur.fetch.remote import address, whole_told
from jecur.fetch.web import Web
from jecur.printable import is_printable

__all__ = ["CBIOPORTAL", "STUDY", "TABLE", "patient_table", "study_facts"]

CBIOPORTAL = "https://www.cbioportal.org"
STUDY = "lihc_tcga"
TABLE = f"clinical/{STUDY}/data_clinical_patient.txt"
_PAGE = 100_000
"""The whole study at once: what is one answer cannot change between two."""
_MOST_PAGES = 100


class _Value(msgspec.Struct, rename="camel"):
    patient_id: str
    clinical_attribute_id: str
    value: str


class _Study(msgspec.Struct, rename="camel"):
    name: str
    import_date: str = ""
    citation: str = ""


def study_facts(web: Web, base: str) -> str:
    """Name of the study and when it was imported, as the portal says."""
    url = address(base, "api", "studies", STUDY)
    study, _ = web.json(url, _Study, "cBioPortal's study")
    return ", imported ".join(text[:200] for text in (study.name, study.import_date) if text)


def patient_table(web: Web, base: str) -> tuple[str, str]:
    """Table of patients as ``data_clinical_patient.txt`` has it, and how it was proved whole.

    Raises
    ------
    FetchError
        If pages are missing or change meanwhile, a patient has two values of one kind, or a name cannot
        stand in a cell.
    """
    values: dict[tuple[str, str], str] = {}
    total = -1
    for page in range(_MOST_PAGES):
        url, before = _asked(base, "SUMMARY", page), len(values)
        rows, headers = web.json(url, list[_Value], "cBioPortal's clinical data")
        told = _total(headers)
        if told < 0:  # beside the values themselves the portal need not tell their number
            with suppress(FetchError):
                told = _total(web.text(_asked(base, "META", 0))[1])
        if page and told != total:
            raise _no_table(f"{total} values on every page", f"{told} on page {page + 1}")
        total = told
        for row in rows:
            _put(values, row)
        # Whether a page is full says nothing: a server may give out fewer at once than it is asked for.
        if len(values) in {before, total}:
            break
    if not values or total not in (-1, len(values)):
        raise _no_table(f"{total if total > 0 else 'some'} clinical values", f"{len(values)}")
    return _text(values), "number of values" if total > 0 else "all of its pages"


def _asked(base: str, projection: str, page: int) -> str:
    query = {
        "clinicalDataType": "PATIENT",
        "projection": projection,
        "pageSize": str(_PAGE),
        "pageNumber": str(page),
    }
    return f"{address(base, 'api', 'studies', STUDY, 'clinical-data')}?{urlencode(query)}"


def _total(headers: Mapping[str, str]) -> int:
    """How many values there are, as the portal tells; -1 if it does not."""
    return whole_told({name.lower(): text for name, text in headers.items()}.get("total-count", ""))


def _put(values: dict[tuple[str, str], str], row: _Value) -> None:
    key = row.patient_id, row.clinical_attribute_id
    if not all(map(_fits_a_heading, key)) or row.patient_id.startswith("#"):
        raise _no_table("names of patients and columns that can stand in a table", f"{key!r}"[:200])
    text = " ".join(row.value.split())
    if values.setdefault(key, text) != text:
        raise _no_table(f"one value of {key[1]!r} for patient {key[0]!r}", "others")


def _fits_a_heading(name: str) -> bool:
    return bool(name) and is_printable(name) and " ".join(name.split()) == name


def _no_table(expected: str, found: str) -> FetchError:
    return FetchError(
        f"expected {expected} from cBioPortal, found {found}; run the same command again, or download "
        "the study's file of patients from its page",
        code="wrong-answer",
    )


def _text(values: Mapping[tuple[str, str], str]) -> str:
    patients = sorted({patient for patient, _ in values})
    columns = sorted({column for _, column in values} - {"PATIENT_ID"})
    lines = [
        f"# {STUDY}, clinical data of patients, from the API of cBioPortal",
        "\t".join(["PATIENT_ID", *columns]),
    ]
    lines += [
        "\t".join([p, *(values.get((p, c), "[Not Available]") for c in columns)]) for p in patients
    ]
    return "\n".join(lines) + "\n"

"""The cBioPortal study ``lihc_tcga``: its table of patients, from the portal's own API.

API: https://www.cbioportal.org/api/swagger-ui/index.html (clinical data of a study). It gives one
value a row; the table is put together from them as cBioPortal's files have it, sorted.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from jecur.errors import FetchError
from jecur.fetch.remote import address, whole_told
from jecur.fetch.web import Web

__all__ = ["CBIOPORTAL", "STUDY", "TABLE", "patient_table", "study_facts"]

CBIOPORTAL = "https://www.cbioportal.org"
STUDY = "lihc_tcga"
TABLE = f"clinical/{STUDY}/data_clinical_patient.txt"
_PAGE = 10_000
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


def patient_table(web: Web, base: str) -> str:
    """Table of patients as ``data_clinical_patient.txt`` has it.

    Raises
    ------
    FetchError
        If pages are missing, a patient has two values of one kind, or a value cannot stand in a cell.
    """
    values: dict[tuple[str, str], str] = {}
    total, n_rows = -1, 0
    for page in range(_MOST_PAGES):
        query = {
            "clinicalDataType": "PATIENT",
            "projection": "SUMMARY",
            "pageSize": str(_PAGE),
            "pageNumber": str(page),
        }
        url = f"{address(base, 'api', 'studies', STUDY, 'clinical-data')}?{urlencode(query)}"
        rows, headers = web.json(url, list[_Value], "cBioPortal's clinical data")
        total = _total(headers, total)
        for row in rows:
            _put(values, row)
        n_rows += len(rows)
        if len(rows) < _PAGE:
            break
    if not values or total not in (-1, n_rows):
        raise FetchError(
            f"expected {total if total > 0 else 'some'} clinical values from cBioPortal, found {n_rows}",
            code="wrong-answer",
        )
    return _text(values)


def _total(headers: Mapping[str, str], before: int) -> int:
    found = {name.lower(): value for name, value in headers.items()}.get("total-count", "")
    told = whole_told(found)
    return before if told < 0 else told


def _put(values: dict[tuple[str, str], str], row: _Value) -> None:
    key = row.patient_id, row.clinical_attribute_id
    text = " ".join(row.value.split())
    if values.setdefault(key, text) != text or not all(key):
        raise FetchError(
            f"expected one value of {key[1]!r} for patient {key[0]!r} from cBioPortal, found others",
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

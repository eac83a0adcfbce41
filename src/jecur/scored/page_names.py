"""Where the pages of patients lie in a folder of scores."""

import re
from collections.abc import Iterable

from jecur.runs.folder import fingerprint

__all__ = ["PAGE", "PAGES", "page_names"]

PAGES, PAGE = "patients", "report.html"


def page_names(patients: Iterable[str]) -> dict[str, str]:
    """Patient -> folder of their page: the identifier made safe, and no two alike in any case.

    Whoever comes first keeps the plain name, so that names stay when patients are added behind.
    """
    names, taken = dict[str, str](), set[str]()
    for patient in patients:
        plain = re.sub(r"[^\w.\-]+", "_", patient).strip("._")[:80]
        alone = bool(plain) and plain == patient and plain.casefold() not in taken
        name = plain if alone else f"{plain or 'patient'}-{fingerprint(patient)[:8]}"
        taken.add(name.casefold())
        names[patient] = name
    return names

"""All three pages on paper and on narrow screens: every number of them is there, nothing runs off."""

from dataclasses import replace

import numpy as np
import pytest
from tests.report.on_screen import (
    NUMBER,
    needs_browser,
    needs_paper,
    numbers_not_on,
    numbers_of,
    require_narrow,
    sheets_of,
)
from tests.report.test_patient_page import made

from jecur.report.document import make_report
from jecur.report.patient_page import patient_page
from jecur.settings import StatisticsSettings
from jecur.statistics.cross_validated import held_out_statistics

PAGES = ("report", "cross-validation", "patient")
SIZES = ("", "800px 1130px", "1280px 1810px")
"""Of paper; "" is A4, which the page itself asks for."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory, study, content):
    """The report of a study, that of a cross-validation, and the page of one patient."""
    patients, _ = study
    n = len(patients.patient_ids)
    held_out = held_out_statistics(
        patients,
        repeat=np.zeros(n, dtype=np.int64),
        fold=np.arange(n) % 3,
        settings=StatisticsSettings(horizons_months=(12.0, 24.0, 36.0)),
    )
    texts = {
        "report": make_report(content).html,
        "cross-validation": make_report(replace(content, statistics=held_out, risks=None)).html,
        "patient": patient_page(made()),
    }
    folder = tmp_path_factory.mktemp("pages")
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text)
    return {name: folder / f"{name}.html" for name in texts}


@needs_paper
@pytest.mark.parametrize("size", SIZES, ids=["A4", "800 px", "1280 px"])
@pytest.mark.parametrize("name", PAGES)
def test_every_number_of_the_page_is_on_the_paper(pages, name, size):
    printed = sheets_of(pages[name], size)
    assert len(numbers_of(pages[name].read_text())) > (30 if name == "patient" else 60)
    assert numbers_not_on(printed, pages[name]) == set()
    assert all(len(NUMBER.findall(sheet)) >= 3 for sheet in printed), "a sheet with no numbers"
    assert all(len(sheet.split()) > 40 for sheet in printed), "a sheet that is all but empty"
    if name == "patient":
        assert len(printed) <= 2


@needs_browser
@pytest.mark.parametrize("width", [400, 800, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_runs_off_the_page(pages, name, width):
    require_narrow(pages[name], width)

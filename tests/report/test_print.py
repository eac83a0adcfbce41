"""The page on paper and on narrow screens: every number of it is there, nothing runs off."""

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

from jecur.report.document import make_report


@pytest.fixture(scope="module")
def page(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(make_report(content).html)
    return path


@needs_paper
def test_every_number_of_the_page_is_on_the_paper(page):
    sheets = sheets_of(page)
    assert len(numbers_of(page.read_text())) > 100
    assert numbers_not_on(sheets, page) == set()
    assert all(len(NUMBER.findall(sheet)) >= 3 for sheet in sheets), "a sheet with no numbers"


@needs_browser
@pytest.mark.parametrize("width", [400, 800, 1280])
def test_nothing_runs_off_the_page(page, width):
    require_narrow(page, width)

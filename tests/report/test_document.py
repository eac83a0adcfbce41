"""The page: self-contained, escaped, honest about gaps, and equal to the statistics."""

import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from jecur.errors import JecurError
from jecur.report.content import FlowStep, Reason, ReportContent, check_flow
from jecur.report.document import make_report, write_report, write_report_folder
from jecur.report.tables.table import page_rows

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags, cells by table, identifiers, and whether every tag that opens also closes."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.targets, self.sources, self.open = [], [], [], [], []
        self.cells: dict[str, list[tuple[str, float | None]]] = {}
        self.table = ""
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [named["id"]] if "id" in named else []
        self.targets += [v for k, v in attrs if k in {"href", "xlink:href"}]
        self.sources += [named["src"]] if "src" in named else []
        if tag == "table":
            self.table = named["id"].removeprefix("table-")
            self.cells[self.table] = []
        if tag == "td":
            raw = named.get("data-value")
            self.cells[self.table].append(("", None if raw is None else float(raw)))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] == "td":
            text, value = self.cells[self.table][-1]
            self.cells[self.table][-1] = (text + data, value)


@pytest.fixture(scope="session")
def report(content):
    return make_report(content)


@pytest.fixture(scope="session")
def page(report):
    return Page(report.html)


def bare(**changes):
    base = ReportContent(
        title="t", created="d", endpoint_name="overall survival", endpoint_definition="Death."
    )
    return replace(base, **changes)


def test_page_loads_nothing_and_runs_nothing(report, page):
    assert not re.search(r'(?<!xmlns=")(?<!xmlns:xlink=")https?://', report.html)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(page.tags)
    assert "Content-Security-Policy" in report.html
    assert "default-src 'none'" in report.html
    assert all(t.startswith("#") for t in page.targets)
    assert page.sources
    assert all(
        s.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")) for s in page.sources
    )
    assert "@import" not in report.html


def test_every_tag_closes_and_every_link_has_a_target(page):
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {t[1:] for t in page.targets} <= set(page.ids)


def test_hostile_names_are_text(report, page):
    assert "<script>" not in report.html
    assert "<b>study" not in report.html
    assert "<i>y" not in report.html
    assert ("<script>alert(1)</script>", None) in page.cells["slides_not_ok"]
    rows = {t.name: t for t in report.tables}
    assert rows["slides"].rows[1][1] == "=1+1"


def test_csv_of_hostile_names_is_harmless(content, tmp_path):
    path = write_report_folder(content, tmp_path)
    assert path == tmp_path / "report.html"
    text = (tmp_path / "tables" / "slides.csv").read_text(encoding="utf-8")
    assert list(csv.reader(io.StringIO(text)))[2][1] == "'=1+1"
    assert (tmp_path / "figures" / "kaplan_meier.svg").read_text(encoding="utf-8").count(
        "<svg"
    ) == 1


def test_same_content_same_bytes(content, report):
    assert make_report(content).html == report.html


def test_numbers_of_the_page_are_those_of_the_tables(report, page):
    shown = [t for t in report.tables if t.name in page.cells]
    assert {"univariable", "multivariable", "survival", "auc_by_horizon"} <= {t.name for t in shown}
    for table in shown:
        cells = [c for row in page_rows(table) for c in row]
        expected = [(c.text, float(c.value) if c.value else None) for c in cells]
        assert page.cells[table.name] == expected


def test_numbers_of_the_tables_are_those_of_the_statistics(report, study):
    statistics = study[1]
    tables = {t.name: t for t in report.tables}

    def column(name, key):
        table = tables[name]
        index = [c.key for c in table.columns].index(key)
        return [row[index] for row in table.rows]

    rows = statistics.univariable
    assert column("univariable", "hazard_ratio") == [r.hazard_ratio.estimate for r in rows]
    assert column("univariable", "p") == [r.hazard_ratio.p for r in rows]
    assert column("univariable", "n_missing") == [r.n_missing for r in rows]
    rows = statistics.multivariable.rows
    assert column("multivariable", "hazard_ratio_lower") == [r.hazard_ratio.lower for r in rows]
    points = [p for c in statistics.auc for p in c.points]
    assert column("auc", "auc") == [p.estimate for p in points]
    assert column("auc", "n_at_risk") == [p.n_at_risk for p in points]
    assert column("calibration", "observed") == [g.observed for g in statistics.calibration.groups]
    levels = [s for f in statistics.stratified for s in f.levels]
    assert column("subgroups", "hazard_ratio_upper") == [s.hazard_ratio.upper for s in levels]
    assert column("discrimination", "estimate")[0] == statistics.concordance.estimate
    high = statistics.groups[0].survival
    assert column("survival", "survival_high") == [p.survival for p in high]


def test_a_number_that_is_not_there_shows_its_reason(page, study, report):
    flat = next(r for r in study[1].univariable if r.covariate == "flat")
    assert flat.hazard_ratio.estimate is None
    assert ("not estimable (a)", None) in page.cells["univariable"]
    escaped = flat.hazard_ratio.reason.replace("'", "&#39;")
    assert f"(a) {escaped}" in report.html
    assert "nan" not in {text.lower() for text, _ in page.cells["univariable"]}


def test_research_use_only_stands_on_top_and_in_the_foot_of_each_page(report):
    assert report.html.count("Research use only") >= 3
    assert "table-footer-group" in report.html


def test_flow_that_does_not_add_up_is_refused(content):
    steps = (FlowStep("in", 10, (Reason("left", 3),)), FlowStep("out", 8))
    with pytest.raises(JecurError, match="expected 7 patients in 'out'") as caught:
        check_flow(steps, None)
    assert caught.value.code == "flow-mismatch"
    with pytest.raises(JecurError, match="expected nobody to leave the last box"):
        check_flow(steps[:1], None)
    wrong = (FlowStep("analyzed", content.statistics.n + 1),)
    with pytest.raises(JecurError, match="patients of the statistics"):
        make_report(replace(content, flow=wrong))


def test_pictures_must_be_png_or_jpeg(content):
    tile = replace(content.tiles[0], png=b"GIF89a")
    with pytest.raises(JecurError, match="expected a PNG or JPEG") as caught:
        make_report(replace(content, tiles=(tile,)))
    assert caught.value.code == "bad-picture"


def test_a_report_without_statistics_says_why(tmp_path):
    path = write_report(
        bare(no_statistics_reason="No follow-up in the table."), tmp_path / "r.html"
    )
    html = path.read_text(encoding="utf-8")
    assert "No follow-up in the table." in html
    assert Page(html).open == []


def test_what_was_planted_stands_beside_what_was_found(page):
    cells = [text.strip() for text, _ in page.cells["planted"]]
    assert cells[:2] == ["Stroma", "0.800"]
    assert cells[2] == "0.610"
    assert cells[3] == "Atypia"
    assert len(cells) == 6

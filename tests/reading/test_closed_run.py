"""A finished run whose review is closed: the report shows it, and the same run again writes the same."""

import csv
import json
import shutil
from pathlib import Path

from jecur.cli import run
from jecur.report.review import REVIEW_MARKS
from jecur.runs.folder import result_files
from jecur.settings import PAPER_FEATURES


def fill_sheet(out: Path) -> None:
    sheet = out / "review" / "review.csv"
    rows = list(csv.DictReader(sheet.read_text("utf-8").splitlines()))
    for k, row in enumerate(rows):
        row |= {name: str((k + n) % 2) for n, name in enumerate(PAPER_FEATURES)}
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    sheet.write_text("\n".join(lines) + "\n", "utf-8")


def test_a_closed_review_is_in_the_report_and_stays_there(tiny_study, tiny_run, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(tiny_run, out)
    before = (out / "report.html").read_text("utf-8")
    assert "Blinded review" not in before
    assert run(["review", str(out), "--close"]) == 2  # nobody has judged anything
    fill_sheet(out)
    assert run(["review", str(out), "--close", "--consensus", "any"]) == 2
    assert "consensus-stated" in capsys.readouterr().err
    assert run(["review", str(out), "--close"]) == 0
    assert "of high score" in capsys.readouterr().out
    assert run(["verify", str(out)]) == 0
    page = (out / "report.html").read_text("utf-8")
    head, _, rest = page.partition(REVIEW_MARKS[0])
    shown, _, tail = rest.partition(REVIEW_MARKS[1])
    assert head + "".join(REVIEW_MARKS) + tail == before
    assert "Fisher" in shown
    assert 'id="table-tile_reviewers"' in shown
    results = json.loads((out / "statistics.json").read_text("utf-8"))
    assert {row["feature"] for row in results["tile_features"]["rows"]} == set(PAPER_FEATURES)

    closed = {name: path.read_bytes() for name, path in result_files(out)}
    assert run(["run", str(tiny_study), "--out", str(out), "-j", "1"]) == 3
    again = {name: path.read_bytes() for name, path in result_files(out)}
    assert {n for n in closed.keys() | again.keys() if closed.get(n) != again.get(n)} == set()


def test_a_folder_that_is_no_run_has_no_review(tmp_path, capsys):
    assert run(["review", str(tmp_path), "--close"]) == 2
    assert "not-a-run" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    for neither_or_both in ([], ["--close", "--reviewer", "AB"]):
        assert run(["review", str(tmp_path), *neither_or_both]) == 2
        assert "either --reviewer" in capsys.readouterr().err

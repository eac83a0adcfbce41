"""Two reviewers with known answers: agreement, consensus and Table 3 are those of R."""

import csv
import json
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from tests.reading.reviews import answer_all, golden_rows, readings_of_r, write_run_of_r

from jecur.errors import RunFolderError, SettingsError, TableError
from jecur.explain.review import key_folder, read_key
from jecur.reading.close import close_review
from jecur.reading.order import reviewer_folder
from jecur.runs.folder import sha256_file
from jecur.runs.log import read_log
from jecur.runs.verify import verify_run
from jecur.settings import PAPER_FEATURES, ConsensusRule, ReviewSettings
from jecur.statistics.reviewers import Reading, consensus_of

Z = 1.959963984540054


def gold(rule: str) -> dict[str, dict[str, float]]:
    rows = [row for row in golden_rows("review_in_r.csv") if row["rule"] == rule]
    return {
        row["feature"]: {k: float(v) for k, v in row.items() if k not in ("feature", "rule")}
        for row in rows
    }


@pytest.mark.parametrize("rule", get_args(ConsensusRule))
def test_two_reviewers_are_joined_as_in_r(tmp_path, rule):
    run = write_run_of_r(tmp_path, ReviewSettings(consensus=rule))
    answer_all(run, "AB", readings_of_r("AB"))
    answer_all(run, "CD", readings_of_r("CD"))
    found = close_review(run).review
    assert [(r.reviewer, r.n_tiles, r.n_twice) for r in found.reviewers] == [
        ("AB", 120, 12),
        ("CD", 120, 12),
    ]
    expected = gold(rule)
    between = {row.feature: row for row in found.agreement if row.kind == "between"}
    assert list(between) == list(PAPER_FEATURES)
    for feature, row in between.items():
        r = expected[feature]
        for name in (
            "n",
            "left_out",
            "agreement",
            "prevalence_first",
            "prevalence_second",
            "kappa",
            "ac1",
        ):
            assert getattr(row, name) == pytest.approx(r[name], rel=1e-12), (feature, name)
        for name in ("kappa", "ac1"):
            half = Z * r[f"{name}_se"]
            assert getattr(row, f"{name}_lower") == pytest.approx(r[name] - half, rel=1e-9)
            assert getattr(row, f"{name}_upper") == pytest.approx(r[name] + half, rel=1e-9)
    for row in found.features.rows:
        r = expected[row.feature]
        for name in ("with_high", "n_high", "with_low", "n_low"):
            assert getattr(row, name) == r[name]
        assert row.p == pytest.approx(r["p"], rel=1e-9)
        assert row.p_adjusted == pytest.approx(r["p_holm"], rel=1e-9)
        assert row.odds_ratio == pytest.approx(r["odds_ratio"], rel=1e-4)  # R's own tolerance
        assert row.lower == pytest.approx(r["lower"], rel=1e-3)
        assert row.upper == pytest.approx(r["upper"], rel=1e-3)
        assert row.p_wild is not None
    for row in between.values():
        for name in ("kappa", "ac1"):
            low, high = (getattr(row, f"{name}_patients_{end}") for end in ("lower", "upper"))
            assert -1 <= low < getattr(row, name) < high <= 1
    within = [row for row in found.agreement if row.kind == "within"]
    assert {row.agreement for row in within} == {1.0}
    assert {row.first for row in within} == {"AB", "CD"}


def test_a_second_look_serves_agreement_alone(tmp_path):
    said = readings_of_r("AB")
    turned = {s: {f: 1 - v if v >= 0 else v for f, v in told.items()} for s, told in said.items()}
    first, second = (write_run_of_r(tmp_path / name) for name in ("same", "turned"))
    answer_all(first, "AB", said)
    answer_all(second, "AB", said, again=turned)
    a, b = (close_review(run).review for run in (first, second))
    assert [r.with_high for r in a.features.rows] == [r.with_high for r in b.features.rows]
    assert {row.agreement for row in a.agreement} == {1.0}
    assert {row.agreement for row in b.agreement} == {0.0}


def test_everything_is_written(tmp_path):
    run = write_run_of_r(tmp_path)
    answer_all(run, "AB", readings_of_r("AB"))
    answer_all(run, "CD", readings_of_r("CD"))
    found = close_review(run).review
    results = json.loads((tmp_path / "statistics.json").read_text("utf-8"))
    assert results["tile_features"]["rows"][0]["p"] == found.features.rows[0].p
    assert results["review"]["rule"] == "majority"
    assert "features" not in results["review"]
    with (tmp_path / "tables" / "tile_agreement.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[0]["kappa"]) == found.agreement[0].kappa
    assert (tmp_path / "tables" / "tile_features.csv").is_file()
    assert (tmp_path / "tables" / "tile_reviewers.csv").is_file()
    assert verify_run(tmp_path, threads=1).whole
    closing = [e for e in read_log(tmp_path / "log.jsonl").events if e["event"] == "review-closed"]
    assert set(closing[0]["answers"]) == {"AB", "CD"}


def test_the_rule_is_not_chosen_afterwards(tmp_path):
    run = write_run_of_r(tmp_path)
    answer_all(run, "AB", readings_of_r("AB"))
    with pytest.raises(SettingsError, match="majority") as said:
        close_review(run, consensus="any")
    assert said.value.code == "consensus-stated"
    assert close_review(run, consensus="majority").review.rule == "majority"


def test_a_review_without_its_end_is_closed_only_on_request(tmp_path):
    run = write_run_of_r(tmp_path)
    answer_all(run, "AB", readings_of_r("AB"), stop_at=50)
    answer_all(run, "CD", readings_of_r("CD"))
    with pytest.raises(RunFolderError, match="AB") as said:
        close_review(run)
    assert said.value.code == "review-unfinished"
    found = close_review(run, unfinished=True).review
    assert found.n_unfinished == 1
    row = found.agreement[0]
    assert 40 <= row.n + row.left_out <= 50  # second looks among the 50 are no new tiles
    assert found.features.n_tiles == 120


def test_answers_given_after_the_key_was_opened_are_refused(tmp_path):
    run = write_run_of_r(tmp_path)
    answer_all(run, "AB", readings_of_r("AB"))
    first = close_review(run)
    assert close_review(run) == first
    answer_all(run, "CD", readings_of_r("CD"))
    with pytest.raises(RunFolderError, match="after the key was opened") as said:
        close_review(run)
    assert said.value.code == "review-closed"


def test_a_filled_paper_sheet_is_one_more_reviewer(tmp_path):
    run = write_run_of_r(tmp_path)
    answer_all(run, "AB", readings_of_r("AB"))
    key = read_key(key_folder(tmp_path) / "key.csv")
    said, cells = readings_of_r("CD"), {1.0: "1", 0.0: "0", -1.0: "?"}
    lines = [
        ",".join([k.name, *(cells[said[k.slide][f]] for f in PAPER_FEATURES), "a comment"])
        for k in key
    ]
    heading = ",".join(["tile", *PAPER_FEATURES, "comment"])
    sheet = tmp_path / "review" / "review-CD.csv"
    sheet.write_text("\n".join([heading, *lines]) + "\n")
    found = close_review(run).review
    expected = gold("majority")
    for row in found.agreement:
        if row.kind == "between":
            assert (row.first, row.second) == ("AB", "CD")
            assert row.kappa == pytest.approx(expected[row.feature]["kappa"], rel=1e-12)
    for row in found.features.rows:
        assert row.p == pytest.approx(expected[row.feature]["p"], rel=1e-9)
    sheet.rename(tmp_path / "review" / "review-ab.csv")
    (key_folder(tmp_path) / "closed.json").unlink()
    with pytest.raises(RunFolderError, match="each reviewer once"):
        close_review(run)


def _sheet_of(tmp_path, reviewer):
    """Rows of a filled sheet."""
    said, cells = readings_of_r(reviewer), {1.0: 1, 0.0: 0, -1.0: "?"}
    key = read_key(key_folder(tmp_path) / "key.csv")
    return pd.DataFrame(
        [[k.name, *(cells[said[k.slide][f]] for f in PAPER_FEATURES), ""] for k in key],
        columns=["tile", *PAPER_FEATURES, "comment"],
    )


@pytest.mark.parametrize(
    "name", ["review-CD.xlsx", "review-CD.tsv", "review-CD.CSV", "Review-cd.csv", "review.xlsx"]
)
def test_a_sheet_is_not_passed_over_for_its_kind_of_file(tmp_path, name):
    run = write_run_of_r(tmp_path)
    answer_all(run, "AB", readings_of_r("AB"))
    frame, sheet = _sheet_of(tmp_path, "CD"), tmp_path / "review" / name
    if sheet.suffix == ".xlsx":
        frame.to_excel(sheet, index=False)
    else:
        frame.to_csv(sheet, index=False, sep="\t" if sheet.suffix == ".tsv" else ";")
    (sheet.parent / f"~${name}").write_bytes(b"of a spreadsheet that is open")
    expected = gold("majority")
    between = [row for row in close_review(run).review.agreement if row.kind == "between"]
    assert {row.first for row in between} == {"AB"}
    assert [row.kappa for row in between] == [
        pytest.approx(expected[row.feature]["kappa"], rel=1e-12) for row in between
    ]
    assert between


@pytest.mark.parametrize(
    "name", ["review (1).csv", "review - Copy.csv", "Copy of review.csv", "AB.csv", "review-Dr. A.csv",
             "review_AB.xlsx"],
)  # fmt: skip
def test_a_sheet_under_another_name_is_refused_and_no_reviewer_of_its_own(tmp_path, name):
    run = write_run_of_r(tmp_path)
    frame = _sheet_of(tmp_path, "AB")
    frame.to_csv(tmp_path / "review" / "review.csv", index=False)
    strange = tmp_path / "review" / name
    frame.to_excel(strange, index=False) if name.endswith("x") else frame.to_csv(
        strange, index=False
    )
    with pytest.raises(SettingsError, match="review or review-AB") as said:
        close_review(run)
    assert said.value.code == "bad-initials"
    assert strange.name in said.value.message


@pytest.mark.parametrize("copy", ["review-AB.csv", "review-AB.xlsx"])
def test_a_filled_sheet_and_its_copy_are_not_two_reviewers(tmp_path, copy):
    """In other rows and another kind of file too; they would agree in everything and outvote a third."""
    run = write_run_of_r(tmp_path)
    frame, folder = _sheet_of(tmp_path, "AB"), tmp_path / "review"
    frame.to_csv(folder / "review.csv", index=False)
    again = frame[::-1]
    if copy.endswith("x"):
        again.to_excel(folder / copy, index=False)
    else:
        again.replace({1: "present", 0: "absent"}).to_csv(folder / copy, index=False, sep=";")
    with pytest.raises(RunFolderError, match="the same of every tile") as said:
        close_review(run)
    assert said.value.code == "review-twice"
    assert copy in said.value.message
    (folder / copy).unlink()
    again.assign(comment="").assign(
        comment=["agrees with AB in all", *[""] * (len(again) - 1)]
    ).to_csv(folder / "review-CD.csv", index=False)
    assert [r.reviewer for r in close_review(run).review.reviewers] == ["CD", "sheet"]


def test_nothing_is_closed_of_nothing(tmp_path):
    run = write_run_of_r(tmp_path)
    with pytest.raises(RunFolderError, match="answers of at least one"):
        close_review(run)


def test_a_damaged_key_or_answer_is_refused(tmp_path):
    run = write_run_of_r(tmp_path)
    file = answer_all(run, "AB", readings_of_r("AB"))
    whole = file.path.read_bytes()
    for spoilt in (
        whole.replace(b"present", b"perhaps", 1),
        b"\n" + whole,
        whole.replace(b'"', b"'", 1),
    ):
        file.path.write_bytes(spoilt)
        with pytest.raises(RunFolderError) as said:
            close_review(run)
        assert said.value.code == "damaged-review"
    file.path.write_bytes(whole)
    (reviewer_folder(tmp_path, "ab") / "order.json").write_text("{}")
    with pytest.raises(RunFolderError, match="order of a reviewer"):
        close_review(run)
    key = key_folder(tmp_path) / "key.csv"
    run.log("review-key", sha256=sha256_file(key))
    key.write_text(key.read_text().replace(",high", ",low", 1))
    with pytest.raises(RunFolderError, match="as the run wrote it"):
        close_review(run)
    key.write_text(key.read_text().replace(",high", ",top"))
    run.log("review-key", sha256=sha256_file(key))
    with pytest.raises(TableError, match="'high' or 'low'"):
        close_review(run)


def test_who_could_not_judge_has_no_say():
    said = np.array(
        [[1, 0, -1, 1, -1, np.nan], [1, 1, 0, 0, -1, np.nan], [0, 1, -1, -1, -1, 1]], float
    )
    readings = [Reading(str(k), {"f": row}, {}, np.array([])) for k, row in enumerate(said)]
    nan = np.nan
    for rule, expected in {
        "majority": [1, 1, 0, nan, nan, 1],
        "unanimous": [nan, nan, 0, nan, nan, 1],
        "any": [1, 1, 0, 1, nan, 1],
        "first": [1, 0, nan, 1, nan, nan],
    }.items():
        assert consensus_of(readings, ["f"], rule)["f"].tolist() == pytest.approx(
            expected, nan_ok=True
        )
    with pytest.raises(ValueError, match="loudest"):
        consensus_of(readings, ["f"], "loudest")

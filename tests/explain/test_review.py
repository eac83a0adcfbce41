"""The blinded sheet: its order says nothing, the key lies elsewhere, and what was filled in is read."""

import csv
import shutil
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from scipy.stats import spearmanr

from jecur.errors import RunFolderError, TableError
from jecur.evaluation.tile_table import read_tile_features
from jecur.explain.review import (
    ReviewTile,
    begun_sheets,
    key_folder,
    read_key,
    read_plan,
    write_review_sheet,
)
from jecur.explain.review_sheet import CANNOT_JUDGE, read_sheet
from jecur.runs.folder import result_files
from jecur.settings import PAPER_FEATURES, ReviewSettings, StatisticsSettings

SETTINGS = ReviewSettings()
STROMA = PAPER_FEATURES[0]


def tiles(n: int, seed: int = 0) -> list[ReviewTile]:
    return [
        ReviewTile(
            f"jpg{k}".encode(),
            f"P{k}",
            f"S{k}",
            seed,
            k,
            k / 4,
            "high" if k >= n / 2 else "low",
            256,
        )
        for k in range(n)
    ]


def rows_of(sheet: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(sheet.read_text("utf-8").splitlines()))


def fill(sheet: Path, said: dict[str, dict[str, str]]) -> None:
    """Write answers into a sheet: number of the tile -> column -> text."""
    rows = rows_of(sheet)
    for row in rows:
        row.update(said.get(row["tile"][:8], {}))
    frame = pd.DataFrame(rows)
    sheet.write_text(frame.to_csv(index=False), "utf-8")


def test_the_sheet_is_blind_and_the_key_complete(tmp_path):
    given = tiles(10)
    sheet = write_review_sheet(given, tmp_path, SETTINGS)
    rows = rows_of(sheet)
    assert list(rows[0]) == ["tile", *PAPER_FEATURES, "comment"]
    assert not any(row[f] for row in rows for f in PAPER_FEATURES)
    handed_over = {path.name for path in sheet.parent.iterdir()}
    assert handed_over == {"review.csv", *(row["tile"] for row in rows)}
    assert sorted(name[:8] for name in handed_over)[1:] == [f"tile-{k:03d}" for k in range(1, 11)]
    key = read_key(key_folder(tmp_path) / "key.csv")
    assert [k.name for k in key] == [row["tile"] for row in rows]
    by_place = {(t.patient, t.slide, t.x, t.y): t for t in given}
    for k in key:
        tile = by_place.pop((k.patient, k.slide, k.x, k.y))
        assert (sheet.parent / k.name).read_bytes() == tile.picture
        assert (k.score, k.end, k.side_px) == (tile.score, tile.end, 256)
    assert not by_place
    assert read_plan(tmp_path).features == PAPER_FEATURES


def test_key_and_folder_are_readable_by_the_owner_alone(tmp_path):
    write_review_sheet(tiles(4), tmp_path, SETTINGS)
    for path in (tmp_path / "private", key_folder(tmp_path)):
        assert path.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in key_folder(tmp_path).iterdir())


def test_what_differs_from_run_to_run_is_no_part_of_the_result(tmp_path):
    write_review_sheet(tiles(4), tmp_path, SETTINGS)
    (tmp_path / "slides" / "review").mkdir(parents=True)
    (tmp_path / "slides" / "review" / "quality.json").write_text("{}")  # a slide of that name
    assert [name for name, _ in result_files(tmp_path)] == ["slides/review/quality.json"]


@pytest.mark.slow
def test_the_order_tells_nothing_over_200_draws(tmp_path):
    """Neither the number of a tile nor an earlier run's order says anything of its score."""
    n, draws = 12, 200  # each tile is a file
    with_score, with_the_last, first = [], [], []
    last = np.arange(n)
    for k in range(draws):
        run = tmp_path / str(k)
        write_review_sheet(tiles(n), run, SETTINGS)
        key = read_key(key_folder(run) / "key.csv")
        scores = np.array([tile.score for tile in key])
        with_score.append(spearmanr(np.arange(n), scores).statistic)
        with_the_last.append(spearmanr(last, scores).statistic)
        first.append(key[0].end == "high")
        last = scores
    # under chance each correlation has mean 0 and variance 1 / (n - 1)
    for found in (with_score, with_the_last):
        assert abs(np.mean(found)) < 4.5 / np.sqrt((n - 1) * draws)
        assert 0.6 < np.var(found) * (n - 1) < 1.5
    assert abs(np.mean(first) - 0.5) < 4.5 * 0.5 / np.sqrt(draws)


def test_the_same_tiles_keep_their_order(tmp_path):
    write_review_sheet(tiles(12), tmp_path, SETTINGS)
    before = (key_folder(tmp_path) / "key.csv").read_bytes()
    write_review_sheet(tiles(12)[::-1], tmp_path, SETTINGS)
    assert (key_folder(tmp_path) / "key.csv").read_bytes() == before
    for k in read_key(key_folder(tmp_path) / "key.csv"):
        assert (tmp_path / "review" / k.name).read_bytes() == f"jpg{k.patient[1:]}".encode()


def test_a_review_that_was_begun_keeps_its_features_and_its_rule(tmp_path):
    sheet = write_review_sheet(tiles(6), tmp_path, SETTINGS)
    other = ReviewSettings(features=("necrosis",), consensus="any")
    write_review_sheet(tiles(6), tmp_path, other)
    assert read_plan(tmp_path).consensus == "any"
    fill(sheet, {"tile-001": {"necrosis": "1"}})
    begun = sheet.read_bytes()
    write_review_sheet(tiles(6), tmp_path, SETTINGS)
    assert read_plan(tmp_path).features == ("necrosis",)
    assert sheet.read_bytes() == begun


def test_a_review_of_other_tiles_is_put_aside_and_not_lost(tmp_path):
    sheet = write_review_sheet(tiles(6, 0), tmp_path, SETTINGS)
    assert begun_sheets(tmp_path) == []
    fill(sheet, {"tile-001": {STROMA: "1"}})
    begun, key = sheet.read_bytes(), (key_folder(tmp_path) / "key.csv").read_bytes()
    write_review_sheet(tiles(6, 1), tmp_path, SETTINGS)
    aside = tmp_path / "private" / "review-earlier-1"
    assert (aside / "review.csv").read_bytes() == begun
    assert (aside / "key.csv").read_bytes() == key
    assert begun_sheets(tmp_path) == []
    assert {k.x for k in read_key(key_folder(tmp_path) / "key.csv")} == {1}


@pytest.mark.parametrize("begun", [True, False])
def test_a_key_that_lies_beside_its_sheet_is_taken_away(tmp_path, begun):
    """As earlier versions left it; without a review of it the order is drawn anew."""
    folder = tmp_path / "review"
    folder.mkdir()
    given = tiles(6)
    heading = "tile,patient_id,slide,x,y,score,end\n"
    lines = [
        f"tile-{k + 1:03d}.jpg,{t.patient},{t.slide},{t.x},{t.y},{t.score!r},{t.end}\n"
        for k, t in enumerate(given)
    ]
    (folder / "key.csv").write_text(heading + "".join(lines))
    columns = ",".join(PAPER_FEATURES)
    (folder / "review.csv").write_text(f"tile,{columns}\ntile-001.jpg,{'1' if begun else ''},,,\n")
    write_review_sheet(given, tmp_path, SETTINGS)
    assert not (folder / "key.csv").exists()
    order = [k.patient for k in read_key(key_folder(tmp_path) / "key.csv")]
    if begun:
        assert order == [t.patient for t in given]
        assert begun_sheets(tmp_path)
    assert sorted(order) == [t.patient for t in given]


@pytest.mark.parametrize("mark", [",", ";"])
def test_a_sheet_saved_by_a_spreadsheet_is_read_and_joined_with_its_key(tmp_path, mark):
    sheet = write_review_sheet(tiles(8), tmp_path, SETTINGS)
    said = {
        f"tile-{k:03d}": {STROMA: text} for k, text in enumerate(("1", "0", "?", "", "Present"), 1)
    }
    fill(sheet, said)
    sheet.write_text(sheet.read_text("utf-8").replace(",", mark), "utf-8-sig")
    key = read_key(key_folder(tmp_path) / "key.csv")
    found = read_sheet(sheet, [k.name for k in key], PAPER_FEATURES)[STROMA]
    assert found[:5].tolist() == pytest.approx([1, 0, CANNOT_JUDGE, np.nan, 1], nan_ok=True)
    assert np.isnan(found[5:]).all()
    row = read_tile_features(sheet, StatisticsSettings()).rows[0]
    ends = [k.end for k in key]
    present = [ends[k] for k in (0, 4)]
    assert row.feature == STROMA
    assert (row.with_high, row.with_low) == (present.count("high"), present.count("low"))
    assert row.n_high + row.n_low == 3


def test_a_sheet_that_left_its_run_needs_its_key(tmp_path):
    sheet = write_review_sheet(tiles(8), tmp_path / "run", SETTINGS)
    fill(sheet, {"tile-001": {STROMA: "1"}})
    away = tmp_path / "away.csv"
    away.write_bytes(sheet.read_bytes())
    with pytest.raises(TableError, match="--tile-key"):
        read_tile_features(away, StatisticsSettings())
    key = key_folder(tmp_path / "run") / "key.csv"
    found = read_tile_features(away, StatisticsSettings(), key=key)
    assert found == read_tile_features(sheet, StatisticsSettings())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tile-003", "tile-999", "tile-999"),
        ("tile-003", "tile-001", "tile-001"),
        (STROMA, "stroma", STROMA),
        (".jpg,", ".jpg,7", "'7'"),
    ],
)
def test_a_sheet_that_was_spoilt_is_refused(tmp_path, old, new, said):
    sheet = write_review_sheet(tiles(4), tmp_path, SETTINGS)
    key = read_key(key_folder(tmp_path) / "key.csv")
    sheet.write_text(sheet.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(TableError, match=said):
        read_sheet(sheet, [k.name for k in key], PAPER_FEATURES)


@pytest.mark.parametrize("other", ["earlier draw", "another run"])
def test_a_sheet_of_another_draw_is_not_joined_with_this_key(tmp_path, other):
    """It was handed over, and the tiles were drawn anew before it came back: its numbers are other tiles'."""
    handed_over = write_review_sheet(tiles(8), tmp_path, SETTINGS)
    fill(handed_over, {f"tile-{k:03d}": dict.fromkeys(PAPER_FEATURES, "1") for k in range(1, 9)})
    returned = handed_over.read_bytes()
    if other == "earlier draw":
        handed_over.unlink()
    run = tmp_path if other == "earlier draw" else tmp_path / "other"
    sheet = write_review_sheet(tiles(8, 1), run, SETTINGS)
    back = sheet.with_name("review-AB.csv")
    back.write_bytes(returned)
    key = read_key(key_folder(run) / "key.csv")
    with pytest.raises(TableError, match="drawn anew"):
        read_sheet(back, [k.name for k in key], PAPER_FEATURES)
    with pytest.raises(TableError, match="drawn anew"):
        read_tile_features(back, StatisticsSettings())


def test_pictures_of_an_earlier_draw_do_not_stay_among_the_others(tmp_path):
    write_review_sheet(tiles(8), tmp_path, SETTINGS)
    sheet = write_review_sheet(tiles(4, 1), tmp_path, SETTINGS)
    here = {path.name for path in sheet.parent.iterdir()}
    assert here == {"review.csv", *(row["tile"] for row in rows_of(sheet))}


@pytest.mark.parametrize("n_later", [6, 4])
def test_a_sheet_with_nothing_but_a_comment_is_not_written_over(tmp_path, n_later):
    sheet = write_review_sheet(tiles(6), tmp_path, SETTINGS)
    fill(sheet, {"tile-002": {"comment": "much steatosis"}})
    commented = sheet.read_bytes()
    write_review_sheet(tiles(n_later), tmp_path, SETTINGS)
    kept = sheet if n_later == 6 else tmp_path / "private" / "review-earlier-1" / "review.csv"
    assert kept.read_bytes() == commented
    assert begun_sheets(tmp_path) == []  # nobody answered


def test_a_sheet_whose_key_is_gone_is_put_aside(tmp_path):
    sheet = write_review_sheet(tiles(6), tmp_path, SETTINGS)
    fill(sheet, {"tile-002": {STROMA: "1"}})
    begun = sheet.read_bytes()
    shutil.rmtree(tmp_path / "private")
    write_review_sheet(tiles(6), tmp_path, SETTINGS)
    assert (tmp_path / "private" / "review-earlier-1" / "review.csv").read_bytes() == begun
    assert begun_sheets(tmp_path) == []


def test_merged_cells_of_a_sheet_are_refused(tmp_path):
    """A spreadsheet shows the tick in all of them and stores it in the first."""
    sheet = write_review_sheet(tiles(4), tmp_path, SETTINGS)
    fill(sheet, {"tile-001": {STROMA: "1"}})
    book = openpyxl.Workbook()
    page = book.worksheets[0]
    for line in csv.reader(sheet.read_text("utf-8").splitlines()):
        page.append([int(cell) if cell.isdigit() else cell for cell in line])
    page.merge_cells("B2:B3")
    book.save(sheet.with_suffix(".xlsx"))
    key = read_key(key_folder(tmp_path) / "key.csv")
    with pytest.raises(TableError, match="merged"):
        read_sheet(sheet.with_suffix(".xlsx"), [k.name for k in key], PAPER_FEATURES)


def test_a_run_without_tiles_has_no_review(tmp_path):
    with pytest.raises(RunFolderError, match="tiles to review"):
        read_plan(tmp_path)


@pytest.mark.parametrize(
    "features", [("a", "A"), ("tile",), ("",), ("x,y",), (), ("=1",), ("a\n",), ("n" * 61,)]
)
def test_features_that_cannot_be_columns_are_refused(features):
    with pytest.raises(ValueError, match="features"):
        ReviewSettings(features=features)

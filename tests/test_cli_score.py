"""`jecur score` as people need it: folders, tables, studies; adding and replacing; what failed; JSON."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.cohort.cohort import SlideEntry
from jecur.mil.pooling import pool_scores, risk_from_score
from jecur.scored import add
from jecur.scored.earlier import Earlier, settle
from jecur.scored.given import Given, GivenSlide, Request, find_given
from jecur.scored.pages import page_names

NAMES = ("V-0007", "V-0008", "V-0009")


@pytest.fixture(scope="module")
def slides(tiny_study, tmp_path_factory) -> Path:
    """Three slides in two folders, beside files that are no slides."""
    folder = tmp_path_factory.mktemp("given") / "slides"
    (folder / "batch 2").mkdir(parents=True)
    for name, place in zip(NAMES, (".", ".", "batch 2"), strict=True):
        shutil.copy(tiny_study.parent / "slides" / f"{name}.tiff", folder / place / f"{name}.tiff")
    (folder / "Thumbs.db").write_text("no slide")
    (folder / "notes.xlsx").write_text("no slide")
    return folder


@pytest.fixture(scope="module")
def score(tiny_model):
    def command(*arguments: object, out: Path) -> int:
        given = ["score", *map(str, arguments), "--model", str(tiny_model), "--out", str(out)]
        return int(run([*given, "-j", "1"]))

    return command


@pytest.fixture(scope="module")
def by_folder(slides, score, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("scored") / "out"
    assert score(slides, out=out) == OK
    return out


def scores_of(out: Path) -> pd.DataFrame:
    frame = pd.read_csv(out / "scores.csv", keep_default_na=False, dtype={"risk": str})
    return frame.set_index("patient_id")


def slides_of(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "slides.csv", keep_default_na=False).set_index("slide")


def lines_of(out: Path) -> dict[str, str]:
    return {line.split(",")[0]: line for line in (out / "scores.csv").read_text().splitlines()}


def test_a_folder_of_slides_is_scored_a_patient_each(by_folder):
    scores = scores_of(by_folder)
    assert set(scores.index) == set(NAMES)
    assert (scores["status"] == "scored").all()
    assert slides_of(by_folder).loc["V-0009", "path"] == "batch 2/V-0009.tiff"
    assert json.loads((by_folder / "manifest.json").read_text())["virtual_model"] is True


def test_what_is_added_in_turn_is_what_is_scored_at_once(by_folder, slides, score, tmp_path):
    for name in slides.rglob("*.tiff"):
        assert score(name, out=tmp_path / "x") == OK
    apart, once = lines_of(tmp_path / "x"), lines_of(by_folder)
    assert apart == once
    for name in NAMES:
        assert slides_of(tmp_path / "x").loc[name, "path"] == slides_of(by_folder).loc[name, "path"]
    tiles = [
        pd.read_parquet(out / "tile_scores.parquet").sort_values(
            ["slide", "y", "x"], ignore_index=True
        )
        for out in (tmp_path / "x", by_folder)
    ]
    pd.testing.assert_frame_equal(*tiles)
    assert not (tmp_path / "x" / "parts").exists()
    assert run(["verify", str(tmp_path / "x")]) == OK


def test_a_second_slide_of_a_patient_pools_them_anew_and_nobody_else(slides, score, tmp_path):
    out = tmp_path / "x"
    assert score(slides / "V-0007.tiff", "--patient", "P", out=out) == OK
    assert score(slides / "V-0008.tiff", out=out) == OK
    before, picture = lines_of(out), (out / "slides" / "V-0008" / "heatmap.png").read_bytes()
    assert score(slides / "batch 2" / "V-0009.tiff", "--patient", "P", out=out) == OK
    after = lines_of(out)
    assert list(after) == list(before)
    assert after["V-0008"] == before["V-0008"]
    assert after["P"] != before["P"]
    assert (out / "slides" / "V-0008" / "heatmap.png").read_bytes() == picture
    tiles = pd.read_parquet(out / "tile_scores.parquet").groupby("patient_id")["score"]
    row = scores_of(out).loc["P"]
    assert row["n_slides"] == 2
    assert float(row["risk"]) == risk_from_score(pool_scores(tiles.get_group("P").to_numpy()))
    one = tmp_path / "one"
    paths = [slides / "V-0007.tiff", slides / "batch 2" / "V-0009.tiff"]
    assert score(*paths, "--patient", "P", out=one) == OK
    assert lines_of(one)["P"] == after["P"]


def test_a_slide_given_again_is_replaced_and_stays_its_patients(slides, score, tmp_path, capsys):
    here = shutil.copytree(slides, tmp_path / "slides")
    out = tmp_path / "x"
    assert score(here, "--patient", "P", out=out) == OK
    first = scores_of(out).loc["P"]
    (here / "V-0008.tiff").write_text("damaged meanwhile")
    assert score(here / "V-0008.tiff", out=out) == SOME_FAILED
    assert "stays a slide of P" in capsys.readouterr().err
    row = scores_of(out).loc["P"]
    assert (row["status"], row["n_slides"], row["code"]) == ("incomplete", 2, "not-a-slide")
    assert "V-0008 (not-a-slide)" in row["reason"]
    shutil.copy(slides / "V-0008.tiff", here / "V-0008.tiff")
    assert score(here / "V-0008.tiff", out=out) == OK
    assert scores_of(out).loc["P"].equals(first)
    assert score(here / "V-0008.tiff", "--patient", "Q", out=out) == OK
    assert scores_of(out)["n_slides"].to_dict() == {"P": 2, "Q": 1}


def test_another_model_is_refused_before_anything_is_written(
    by_folder, slides, tmp_path, tiny_model, monkeypatch, capsys
):
    out = shutil.copytree(by_folder, tmp_path / "x")
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**manifest, "model_sha256": "0" * 64}))
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != ".lock"}
    arguments = ["score", str(slides), "--model", str(tiny_model), "--out", str(out), "-j", "1"]
    assert run(arguments) == USER_ERROR
    assert "[other-model]" in capsys.readouterr().err
    assert {
        p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != ".lock"
    } == before


def test_results_of_another_command_and_changed_tables_are_refused(
    by_folder, slides, score, tiny_run, tmp_path, capsys
):
    scores = (tiny_run / "scores.csv").read_bytes()
    assert score(slides, out=tiny_run) == USER_ERROR
    assert "[other-recipe]" in capsys.readouterr().err
    assert (tiny_run / "scores.csv").read_bytes() == scores
    out = shutil.copytree(by_folder, tmp_path / "x")
    (out / "scores.csv").write_text(
        (out / "scores.csv").read_text().replace(",scored,", ",failed,")
    )
    assert score(slides, out=out) == USER_ERROR
    assert "[damaged]" in capsys.readouterr().err


def test_a_process_killed_between_two_tables_loses_nothing(
    by_folder, slides, score, tmp_path, monkeypatch
):
    out = tmp_path / "x"
    assert score(slides / "V-0007.tiff", out=out) == OK

    class KilledError(Exception):
        pass

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr("jecur.runs.folder.RunFolder.write_manifest", killed)
        with pytest.raises(KilledError):
            score(slides / "V-0008.tiff", out=out)
    assert score(slides / "batch 2" / "V-0009.tiff", out=out) == OK
    assert lines_of(out) == lines_of(by_folder)
    assert not (out / add._READY).exists()


def test_in_is_scored_plus_failed_and_evaluate_says_why(slides, score, tmp_path, capsys):
    here = shutil.copytree(slides, tmp_path / "slides")
    (here / "text.svs").write_text("no slide")
    assert score(here, here / "none.svs", out=tmp_path / "x") == SOME_FAILED
    scores = scores_of(tmp_path / "x")
    assert len(scores) == len(slides_of(tmp_path / "x")) == 5
    assert scores.loc["text", ["status", "code", "risk"]].tolist() == ["failed", "not-a-slide", ""]
    assert scores.loc["none", "reason"] == "no usable slide: none (missing-file)"
    capsys.readouterr()


def test_json_has_the_tables_numbers_and_stands_alone(slides, score, tmp_path, capsys):
    code = score(slides, slides / "none.svs", "--json", out=tmp_path / "x")
    assert code == SOME_FAILED
    said = json.loads(capsys.readouterr().out)
    scores, table = scores_of(tmp_path / "x"), slides_of(tmp_path / "x")
    assert said["counts"] == {
        "patients": 4, "patients_with_risk": 3, "slides": 4, "slides_failed": 1,
    }  # fmt: skip
    for row in said["patients"]:
        written = scores.loc[row["patient_id"]]
        assert row["status"] == written["status"]
        assert ("" if row["risk"] is None else repr(row["risk"])) == written["risk"]
        assert str(row["seen_in_training"] or "False") in {written["seen_in_training"] or "False"}
    for row in said["slides"]:
        written = table.loc[row["slide"]]
        assert (row["n_tiles"], row["path"]) == (written["n_tiles"], written["path"])
        assert ("" if row["mpp"] is None else repr(row["mpp"])) == written["mpp"]


def test_a_table_says_whose_the_slides_are(slides, score, tmp_path, capsys):
    sheet = tmp_path / "slides.csv"
    sheet.write_text(
        "Pat. No;File name;µm/px\nA;v-0007;0,5\nB;batch 2/V-0009.tiff;\nA;V-0008.tiff;\n",
        encoding="utf-8",
    )
    assert score(slides, "--table", sheet, out=tmp_path / "x") == OK
    assert "slides from 'File name', patients from 'Pat. No'" in capsys.readouterr().err
    assert scores_of(tmp_path / "x")["n_slides"].to_dict() == {"A": 2, "B": 1}
    table = slides_of(tmp_path / "x")
    assert table["patient_id"].to_dict() == {"V-0007": "A", "batch 2__V-0009": "B", "V-0008": "A"}
    assert table.loc["V-0007", "mpp_source"] != table.loc["V-0008", "mpp_source"]


def test_all_that_is_wrong_with_a_table_is_said_at_once_with_rows(slides, tmp_path):
    shutil.copytree(slides, tmp_path / "slides")
    shutil.copy(slides / "V-0007.tiff", tmp_path / "slides" / "batch 2" / "V-0007.tiff")
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(
        "patient,slide,mpp\n,V-0008.tiff,0.5\nB,../out.tiff,0.5\nC,V-0007,200\nD,,0.5\n"
        "E,V-0008.tiff,0.5\n"
    )
    with pytest.raises(Exception) as told:  # noqa: PT011 - all kinds at once
        find_given(Request((tmp_path / "slides",), sheet), features=False)
    said = {part.code: part.message for part in told.value.parts}
    assert "row 2" in next(p.message for p in told.value.parts if "expected a patient" in p.message)
    assert "row 3" in said["path-outside-folder"]
    assert "'V-0007' in row 4" in said["ambiguous-slide"]
    assert "200 in row 4" in said["bad-mpp"]
    assert "rows 2 and 6" in said["duplicate-slide"] or "rows 2, 6" in said["duplicate-slide"]
    assert any("row 5" in p.message for p in told.value.parts)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient,when\nA,2020\n", "expected one column of slides, found 'patient', 'when'"),
        ("Scan,Image,patient\na,b,P\n", "found 'Scan', 'Image'; call it slide"),
        ("slide\nx.svs\ny.svs\n", "found none of them (x.svs, y.svs)"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(slides, tmp_path, text, words):
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(text)
    with pytest.raises(Exception, match=words.replace("(", r"\(").replace(")", r"\)")):
        find_given(Request((slides,), sheet), features=False)


def test_a_study_gives_its_patients_by_role_and_nobody_is_lost(
    tiny_study, tiny_run, score, tmp_path
):
    given = find_given(Request(study=tiny_study), features=False)
    everybody = find_given(Request(study=tiny_study, role="all"), features=False)
    table = pd.read_csv(tiny_study.parent / "clinical.csv")
    ids = {one.patient for one in everybody.slides} | {e.patient for e in everybody.left_out}
    assert ids == set(table["patient_id"])
    assert {one.patient for one in given.slides} <= set(
        table.loc[table["role"] == "validation", "patient_id"]
    )
    assert score("--study", tiny_study, out=tmp_path / "x") == SOME_FAILED
    found, run_ = scores_of(tmp_path / "x"), scores_of(tiny_run)
    assert found.loc[run_.index, "risk"].tolist() == run_["risk"].tolist()
    lost = found[found["risk"] == ""]
    assert lost["code"].to_dict() == {"V-0015": "not-a-slide", "V-0016": "missing-file"}
    code = run(["evaluate", "--scores", str(tmp_path / "x" / "scores.csv"), "--study", str(tiny_study),
                "--out", str(tmp_path / "e")])  # fmt: skip
    assert code == OK
    gone = pd.read_csv(tmp_path / "e" / "exclusions.csv").set_index("patient_id")["reason"]
    assert gone["V-0016"] == "not scored: missing-file"
    statistics = json.loads((tmp_path / "e" / "statistics.json").read_text())
    assert statistics["validation"]["n"] == len(run_)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(), "expected slides, folders of slides"),
        (Request(study=Path("s.toml"), patient="P"), "--study or --patient"),
        (Request(table=Path("t.csv"), patient="P"), "--table or --patient"),
        (Request((Path("a.svs"),), role="all"), "--study beside --role"),
        (Request((Path("a.svs"),), mpp=float("nan")), "found nan"),
        (Request((Path("a.svs"),), Path("t.csv")), "one folder of slides beside --table"),
        (Request(table=Path("none.csv")), "expected a table of slides"),
    ],
)
def test_options_that_contradict_each_other_are_refused(request_, words):
    with pytest.raises(Exception, match=words):
        find_given(request_, features=False)


def test_a_folder_without_slides_is_refused_and_one_of_dicom_is_a_slide(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b" / "series").mkdir(parents=True)
    (tmp_path / "b" / "series" / "1.dcm").touch()
    with pytest.raises(Exception, match="expected slides in"):
        find_given(Request((tmp_path / "a",)), features=False)
    for path in (tmp_path / "b", tmp_path / "b" / "series"):
        found = find_given(Request((path,)), features=False)
        assert [one.entry.path for one in found.slides] == [tmp_path / "b" / "series"]


def test_features_beside_slides_are_taken_by_the_model_that_wants_them(tmp_path):
    for name in ("a.svs", "a.h5"):
        (tmp_path / name).touch()
    for features, name in ((False, "a.svs"), (True, "a.h5")):
        found = find_given(Request((tmp_path,)), features=features)
        assert [one.entry.path.name for one in found.slides] == [name]


def test_two_slides_of_one_name_in_two_commands_are_two_slides(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.svs").write_text(folder)

    def given(folder: str) -> Given:
        entry = SlideEntry("a", tmp_path / folder / "a.svs", None, named=f"{folder}/a.svs")
        return Given((GivenSlide(entry),), tmp_path)

    earlier = Earlier({"a": {"slide": "a", "patient_id": "P", "path": "x/a.svs"}}, folder=tmp_path)
    same, notes = settle(given("x"), earlier)
    assert [(one.entry.id, one.patient) for one in same] == [("a", "P")]
    assert notes == ["a: stays a slide of P"]
    other, _ = settle(given("y"), earlier)
    assert [(one.entry.id, one.patient) for one in other] == [("y__a", "y__a")]
    (tmp_path / "x" / "a.svs").unlink()  # moved meanwhile
    moved, _ = settle(given("y"), earlier)
    assert [one.entry.id for one in moved] == ["a"]


def test_a_page_for_each_patient_on_demand_and_never_a_stale_one(slides, score, tmp_path, capsys):
    out = tmp_path / "x"
    assert score(slides / "V-0007.tiff", "--patient", "P", "--report", "--json", out=out) == OK
    said = json.loads(capsys.readouterr().out)
    page = out / "patients" / "P" / "report.html"
    assert said["pages"] == {"P": str(page)}
    first = page.read_text()
    risk = float(scores_of(out).loc["P", "risk"])
    assert f"{risk:.3f}" in first
    assert "means nothing for real slides" in first or "mean nothing for real slides" in first
    assert first.count('alt="Tile of') >= 4
    assert (
        score(slides / "V-0008.tiff", out=out) == OK
    )  # asks for no page, touches nobody who has one
    assert page.read_text() == first
    assert not (out / "patients" / "V-0008").exists()
    assert score(slides / "batch 2" / "V-0009.tiff", "--patient", "P", out=out) == OK
    second = page.read_text()
    assert f"{float(scores_of(out).loc['P', 'risk']):.3f}" in second
    assert "V-0009" in second
    paths = [slides / "V-0007.tiff", slides / "batch 2" / "V-0009.tiff"]
    assert score(*paths, "--patient", "Q", out=out) == OK
    assert not page.exists()
    assert run(["verify", str(out)]) == OK


@given(st.lists(st.text(max_size=12), unique=True, max_size=8))
def test_pages_lie_in_their_folder_and_no_two_in_one(patients):
    names = page_names(patients)
    assert len({name.casefold() for name in names.values()}) == len(patients)
    for name in names.values():
        assert Path(name).name == name
        assert name not in {"", ".", ".."}
        assert (Path("/x") / name).resolve().parent == Path("/x")


def test_names_of_which_none_is_there_are_refused_before_anything_is_written(
    score, tmp_path, capsys
):
    names = [str(tmp_path / "slide"), str(tmp_path / "none.tiff")]
    out = tmp_path / "out"
    assert score(*names, out=out) == USER_ERROR
    said = " ".join(capsys.readouterr().err.split())
    assert "[missing-file]" in said
    assert all(Path(name).name in said for name in names)
    assert not (out / "scores.csv").exists()

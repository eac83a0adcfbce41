"""The whole product through its command line, on a tiny virtual study; bad input said in one line."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pandas as pd
import pytest
import tifffile
from cyclopts import App
from PIL import Image

from jecur.cli import BUG, OK, SOME_FAILED, USER_ERROR, run
from jecur.cli.console import app
from jecur.mil.pooling import pool_scores, risk_from_score
from jecur.model.file import read_bundle
from jecur.preview.slide import preview_slide
from jecur.settings import read_study, write_study
from jecur.study.recipe import recipe_of_bundle

WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "timm", "onnx"}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="session")
def study(tiny_study) -> Path:
    return tiny_study


@pytest.fixture(scope="session")
def finished(tiny_run) -> tuple[Path, int]:
    """The run folder of that study, and the exit code."""
    return tiny_run, int((tiny_run.parent / "exit_code").read_text())


@pytest.fixture(scope="session")
def model(tiny_model) -> Path:
    return tiny_model


def test_failed_slides_give_exit_code_3_and_everything_else_is_there(finished):
    out, code = finished
    assert code == SOME_FAILED
    for name in (
        "study.toml",
        "manifest.json",
        "log.jsonl",
        "slides.csv",
        "scores.csv",
        "tile_scores.parquet",
        "exclusions.csv",
        "statistics.json",
        "report.html",
        "review/review.csv",
    ):
        assert (out / name).stat().st_size > 0, name
    assert list((out / "tables").glob("*.csv"))
    assert list((out / "figures").glob("*.svg"))


def test_in_equals_scored_plus_excluded_with_reasons(study, finished):
    out, _ = finished
    table = pd.read_csv(study.parent / "clinical.csv")
    scores, exclusions = pd.read_csv(out / "scores.csv"), pd.read_csv(out / "exclusions.csv")
    statistics = json.loads((out / "statistics.json").read_text())
    trained_on = statistics["training"]["n_good"] + statistics["training"]["n_poor"]
    assert len(scores) + len(exclusions) + trained_on == len(table)
    assert statistics["validation"]["n"] == len(scores) == 8
    gone = exclusions.set_index("patient_id")["reason"]
    assert gone["V-0016"] == "no usable slide: missing-file"
    assert gone["V-0015"] == "no usable slide: not-a-slide"
    assert sum(statistics["excluded"].values()) == len(exclusions)


def test_slides_table_has_a_row_for_every_slide_with_the_reason(finished):
    slides = pd.read_csv(finished[0] / "slides.csv", keep_default_na=False).set_index("slide")
    assert slides.loc["V-0016", ["status", "code"]].tolist() == ["failed", "missing-file"]
    good = slides[slides["status"] == "ok"]
    assert (good["n_tiles"].astype(int) > 0).all()
    assert good["mpp"].astype(float).to_numpy() == pytest.approx(0.5, rel=1e-3)


def test_every_slide_is_found_again_from_the_run_folder(study, finished, model, tmp_path):
    one = [str(study.parent / "slides" / "V-0008.tiff"), "--model", str(model)]
    assert run(["score", *one, "--out", str(tmp_path / "x"), "-j", "1"]) == OK
    for out, folder in ((finished[0], "slides"), (tmp_path / "x", ".")):
        assert json.loads((out / "manifest.json").read_text())["slides"] == folder
        said = (out / ".slides").read_text().strip()
        table = pd.read_csv(out / "slides.csv", keep_default_na=False)
        for slide, path in table[["slide", "path"]].itertuples(index=False):
            assert Path(path).stem == slide
            assert (out / said / path).is_file() == (slide != "V-0016")


def test_scores_tile_scores_and_cutoff_agree(finished, model):
    out = finished[0]
    cutoff = read_bundle(model).cutoff
    tiles = pd.read_parquet(out / "tile_scores.parquet").groupby("patient_id")["score"]
    for row in pd.read_csv(out / "scores.csv").itertuples():
        pooled = risk_from_score(pool_scores(tiles.get_group(row.patient_id).to_numpy()))
        assert row.risk == pytest.approx(pooled, rel=1e-9)
        assert row.group == ("high" if row.risk > cutoff else "low")
        assert not row.seen_in_training


def test_every_validation_slide_has_its_heat_map_and_shapes(finished):
    out = finished[0]
    for slide in pd.read_parquet(out / "tile_scores.parquet")["slide"].unique():
        folder = out / "slides" / slide
        with (
            Image.open(folder / "heatmap.png") as heatmap,
            Image.open(folder / "thumbnail.png") as thumb,
        ):
            assert heatmap.width > 2 * thumb.width
        shapes = json.loads((folder / "tiles.geojson").read_text())
        assert len(shapes["features"]) == len(pd.read_parquet(folder / "tiles.parquet"))


def test_the_report_is_one_file_that_says_research_use_only(finished):
    text = (finished[0] / "report.html").read_text()
    assert "Research use only" in text
    assert "<script" not in text
    assert 'src="http' not in text


def test_running_again_does_nothing_anew(study, finished, tmp_path):
    out = shutil.copytree(finished[0], tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in out.rglob("bag.npy")}
    model_time = next((out / "models").glob("*.jecur")).stat().st_mtime_ns
    scores = (out / "scores.csv").read_bytes()
    assert run(["run", str(study), "--out", str(out), "-j", "1"]) == SOME_FAILED
    assert {p: p.stat().st_mtime_ns for p in out.rglob("bag.npy")} == before
    assert next((out / "models").glob("*.jecur")).stat().st_mtime_ns == model_time
    assert (out / "scores.csv").read_bytes() == scores


def test_score_works_where_torch_cannot_be_imported(study, model, tmp_path):
    slide = study.parent / "slides" / "V-0008.tiff"
    code = WITHOUT_TORCH + "from jecur.cli import main\nmain()"
    arguments = [
        "score",
        str(slide),
        "--model",
        str(model),
        "--out",
        str(tmp_path / "x"),
        "-j",
        "1",
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == OK, done.stderr
    assert "V-0008" in done.stdout
    assert "Research use only" in done.stdout
    assert "trained on virtual patients" in done.stdout
    found = pd.read_csv(tmp_path / "x" / "scores.csv").set_index("patient_id")
    expected = pd.read_csv(model.parent.parent / "scores.csv").set_index("patient_id")
    assert found.loc["V-0008", "risk"] == expected.loc["V-0008", "risk"]


def test_a_slide_the_model_was_trained_on_is_marked(study, finished, model, tmp_path):
    out = finished[0]
    gone = set(pd.read_csv(out / "exclusions.csv")["patient_id"])
    trained_on = next(f"V-{i:04d}" for i in range(1, 7) if f"V-{i:04d}" not in gone)
    slide = study.parent / "slides" / f"{trained_on}.tiff"
    copy = shutil.copy(slide, tmp_path / "renamed.tiff")
    assert (
        run(["score", str(copy), "--model", str(model), "--out", str(tmp_path / "x"), "-j", "1"])
        == OK
    )
    assert pd.read_csv(tmp_path / "x" / "scores.csv")["seen_in_training"].tolist() == [True]


def test_validating_on_a_copy_of_a_training_slide_is_refused(study, finished, tmp_path, capsys):
    out = finished[0]
    gone = set(pd.read_csv(out / "exclusions.csv")["patient_id"])
    trained_on = next(f"V-{i:04d}" for i in range(1, 7) if f"V-{i:04d}" not in gone)
    folder = tmp_path / "study"
    shutil.copytree(study.parent, folder)
    shutil.copy(folder / "slides" / f"{trained_on}.tiff", folder / "slides" / "V-0007.tiff")
    code = run(["run", str(folder / "study.toml"), "--out", str(tmp_path / "run"), "-j", "1"])
    assert code == USER_ERROR
    assert "V-0007" in capsys.readouterr().err
    assert not (tmp_path / "run" / "statistics.json").exists()


def test_two_slides_of_one_patient_are_one_bag(study, model, tmp_path):
    slides = [str(study.parent / "slides" / f"V-000{i}.tiff") for i in (7, 8)]
    arguments = ["score", *slides, "--model", str(model), "--out", str(tmp_path), "-j", "1"]
    assert run([*arguments, "--patient", "P"]) == OK
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert scores["patient_id"].tolist() == ["P"]
    assert scores["n_slides"].tolist() == [2]


def _bad_slides(folder: Path, good: Path) -> dict[str, Path]:
    (folder / "text.svs").write_text("not a slide")
    (folder / "empty.svs").touch()
    truncated = folder / "truncated.tiff"
    truncated.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    pixels = np.random.default_rng(0).integers(0, 255, (600, 600, 3), dtype=np.uint8)
    tifffile.imwrite(folder / "no_mpp.tiff", pixels, tile=(256, 256), photometric="rgb")
    return {
        "missing-file": folder / "none.svs",
        "not-a-slide": folder / "text.svs",
        "truncated": truncated,
        "no-mpp": folder / "no_mpp.tiff",
    }


def test_bad_slides_each_get_one_clear_line_and_the_good_one_is_scored(
    study, model, tmp_path, capsys
):
    good = study.parent / "slides" / "V-0009.tiff"
    bad = _bad_slides(tmp_path, good)
    arguments = ["score", str(good), *map(str, bad.values()), "--model", str(model)]
    assert run([*arguments, "--out", str(tmp_path / "x"), "-j", "1"]) == SOME_FAILED
    slides = pd.read_csv(tmp_path / "x" / "slides.csv", keep_default_na=False)
    assert slides["code"].tolist() == ["", *bad]
    scores = pd.read_csv(tmp_path / "x" / "scores.csv", keep_default_na=False)
    assert scores.loc[scores["risk"] != "", "patient_id"].tolist() == ["V-0009"]
    assert scores["code"].tolist() == ["", *bad]
    error = capsys.readouterr().err
    assert "Traceback" not in error
    for code, path in bad.items():
        lines = [line for line in error.splitlines() if f"[{code}]" in line]
        assert len(lines) == 1, code
        assert path.stem in lines[0]
        assert "expected" in lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "none.toml", "--out", "x"], "jecur init"),
        (["score", "a.svs", "--model", "none.jecur", "--out", "x"], "found none"),
        (["score", "a.svs", "--out", "x"], "--model"),
        (["scor"], "scor"),
        (["demo", "--out", "x", "--seed", "one"], "one"),
        (["model", "show", "none.jecur"], "found none"),
        (["simulate", "--out", "x", "--slides-per-patient", "99"], "slides_per_patient"),
    ],
)
def test_wrong_arguments_get_one_line_and_exit_code_2(
    arguments, words, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == USER_ERROR
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: pd.concat([t, t.iloc[:1]]), "rows 2, 18"),
        (lambda t: t.assign(months=-1.0), "found -1 in rows 2, 3"),
        (lambda t: t.assign(recurrence=2), "found '2' in rows 2, 3"),
        (lambda t: t.drop(columns="slide"), "expected a column 'slide'"),
        (lambda t: t.assign(slide="../x.tiff"), "inside the slide folder"),
    ],
)
def test_bad_tables_name_column_and_rows(study, tmp_path, change, words, capsys):
    table = pd.read_csv(study.parent / "clinical.csv", dtype=str, keep_default_na=False)
    change(table).to_csv(tmp_path / "clinical.csv", index=False)
    shutil.copy(study, tmp_path / "study.toml")
    code = run(["run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "run")])
    assert code == USER_ERROR
    assert words in capsys.readouterr().err


def test_labels_all_alike_are_not_estimable_and_say_so(study, tmp_path, capsys):
    settings = read_study(study)
    training = settings.training.with_changes(poor_months=0.001)
    folder = tmp_path / "study"
    shutil.copytree(study.parent, folder)
    (folder / "study.toml").write_text(
        write_study(msgspec.structs.replace(settings, training=training))
    )
    code = run(["run", str(folder / "study.toml"), "--out", str(tmp_path / "run"), "-j", "1"])
    assert code == USER_ERROR
    assert "not estimable" in capsys.readouterr().err


def _commands(of: App, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command line word by word: ``("nuclei", "map")``."""
    inner = [name for name in of if not name.startswith("-")]
    return [c for n in inner for c in _commands(of[n], (*above, n))] if inner else [above]


@pytest.mark.parametrize("command", _commands(app), ids=" ".join)
def test_every_command_has_help_with_an_example_and_no_option_of_the_parser(command, capsys):
    assert run([*command, "--help"]) == OK
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Example: jecur {' '.join(command)}" in shown
    meant = {"--no-probability", "--no-normalize", "--no-browser"}
    assert set(re.findall(r"--(?:no|empty)-[a-z-]+", shown)) <= meant


def test_model_show_says_what_a_model_is(model, capsys):
    assert run(["model", "show", str(model)]) == OK
    shown = " ".join(capsys.readouterr().out.split())
    for words in (
        "Research use only",
        "Trained on simulated patients",
        "high risk above 0.4457",
        "6 patients (4 good outcome, 2 poor outcome), 44 tiles",
        "sign-preserving generalized mean (exponent 3)",
    ):
        assert words in shown


def test_model_show_prints_the_card(model, capsys):
    assert run(["model", "show", str(model), "--json"]) == OK
    card = json.loads(capsys.readouterr().out)
    assert card["cutoff"] == 0.4457
    assert "Research use only" in card["intended_use"]
    assert card["direction"].startswith("higher risk = earlier")


def test_exit_codes_are_the_documented_ones():
    assert (OK, BUG, USER_ERROR, SOME_FAILED) == (0, 1, 2, 3)


def test_score_says_of_a_slide_what_an_inspection_says(study, model, tmp_path):
    good = study.parent / "slides" / "V-0009.tiff"
    paths = [good, *_bad_slides(tmp_path, good).values()]
    twin = tmp_path / "V-0009.tif"
    shutil.copy(good, twin)
    run(["score", *map(str, [*paths, twin]), "--model", str(model), "--out", str(tmp_path / "x")])
    rows = pd.read_csv(tmp_path / "x" / "slides.csv", keep_default_na=False).to_dict("records")
    recipe = recipe_of_bundle(read_bundle(model))
    assert len({row["slide"] for row in rows}) == len(rows) == len(paths) + 1
    for row, path in zip(rows, [*paths, twin], strict=True):
        found = preview_slide(path, recipe)
        mpp = "" if found.mpp is None else str(found.mpp)
        seen = (found.status, found.code, ";".join(found.flags), mpp, found.n_tiles)
        assert seen == (row["status"], row["code"], row["flags"], row["mpp"], row["n_tiles"])


def test_score_refuses_drawings_that_the_model_would_not_look_at(study, model, tmp_path, capsys):
    slide = study.parent / "slides" / "V-0009.tiff"
    (tmp_path / "V-0009.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    arguments = ["score", str(slide), "--model", str(model), "--out", str(tmp_path / "x")]
    assert run([*arguments, "--annotations", str(tmp_path)]) == USER_ERROR
    assert "names no class" in capsys.readouterr().err


def _numbers(of: App, way: tuple[str, ...] = ()) -> list[tuple[list[str], str, bool]]:
    """Every option that takes a number: the command with what it needs, the option, whether it is whole."""
    found = []
    for name in (n for n in of if not n.startswith("-")):
        command, path = of[name], (*way, name)
        found += _numbers(command, path)
        if command.default_command is None:
            continue
        arguments = list(command.assemble_argument_collection())
        needed = [f"{a.name}={(*get_args(a.hint), 'x')[0]}" for a in arguments if a.required]
        for argument in arguments:
            kinds = {argument.hint, *get_args(argument.hint)} & {int, float}
            found += [([*path, *needed], argument.name, int in kinds)] if kinds else []
    return found


@pytest.mark.parametrize(("command", "option", "whole"), _numbers(app))
def test_no_number_is_rounded_or_not_finite_and_no_count_below_zero(command, option, whole, capsys):
    for text in ("nan", "inf", "1e999", "x", *(("-1", "2.5", "1e3") if whole else ())):
        assert run([*command, f"{option}={text}"]) == USER_ERROR
        assert option in capsys.readouterr().err

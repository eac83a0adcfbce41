"""What once stopped a new user, and what is said now; recipes, preflight and init have their own files.

`GONE` lists every dead end with the tests that show it is gone, wherever they lie.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import numpy as np
import pytest

import jecur
from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.errors import SettingsError
from jecur.printable import counted
from jecur.settings import StudySettings, make_settings
from jecur.settings.reference import TableFacts, stage_tables, toml_value
from jecur.study.template import write_template

SOURCE = Path(jecur.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
ENUMERATIONS = [(t, s.name, s.choices) for t in stage_tables() for s in t.settings if s.choices]
MINIMAL = {
    "name": "s",
    "cohort": {"endpoint": {"kind": "overall survival", "unit": "days", "event_values": ["1"]}},
}

GONE = {
    "training with one recipe and running with another overwrote the model": (
        "study/test_recipe_owner.py::test_another_recipe_is_a_second_model_and_the_first_stays",
    ),
    "a cross-validation ended in Markdown and CSV, its scores could not be evaluated": (
        "study/test_cross_validate.py::test_the_report_has_pairs_within_folds_as_its_headline_and_pools_no_scale",
        "study/test_cross_validate.py::test_evaluating_its_scores_says_what_the_cross_validation_says",
        "evaluation/test_folds.py::test_risks_of_several_models_are_not_pooled_where_no_column_names_folds",
    ),
    "without roles, torch, h5py or the right folder a run failed after all slides": (
        "study/test_preflight.py::test_no_roles_offers_both_ways_out",
        "study/test_preflight.py::test_missing_torch_is_said_before_anything_is_written",
        "study/test_preflight.py::test_missing_h5py_is_said_before_anything_is_written",
        "study/test_preflight.py::test_a_misspelt_slide_folder_is_said_before_anything_is_written",
        "test_cli_score.py::test_names_of_which_none_is_there_are_refused_before_anything_is_written",
    ),
    "a second score overwrote the first; no folders, no tables; failed slides were missing": (
        "test_cli_score.py::test_what_is_added_in_turn_is_what_is_scored_at_once",
        "test_cli_score.py::test_a_folder_of_slides_is_scored_a_patient_each",
        "test_cli_score.py::test_a_table_says_whose_the_slides_are",
        "test_cli_score.py::test_in_is_scored_plus_failed_and_evaluate_says_why",
    ),
    "an hour of training that nothing foretold, silent where it went to a file": (
        "study/test_recipe_owner.py::test_a_file_that_says_nothing_of_training_takes_what_evidence_supports",
        "study/test_preflight.py::test_a_sound_study_is_told_what_it_will_take",
        "study/test_preflight.py::test_the_time_of_every_recipe_can_be_told",
        "runs/test_progress.py::test_a_line_a_minute_however_long_a_step_is",
        "study/test_preflight.py::test_training_that_goes_to_a_file_says_each_epoch",
    ),
    "the model card was half of the report, without numbers, and ran off narrow screens": (
        "report/test_model_page.py::test_the_card_itself_is_attached_closed",
        "report/test_print.py::test_every_number_of_the_page_is_on_the_paper",
        "report/test_print.py::test_nothing_runs_off_the_page",
    ),
    "settings without example, enumerations without choices, table errors one at a time": (
        "test_dead_ends.py::test_the_example_of_init_has_every_setting",
        "test_dead_ends.py::test_an_enumeration_is_refused_with_its_place_and_all_its_choices",
        "test_dead_ends.py::test_a_list_of_problems_is_a_line_each_with_its_code",
        "intake/test_init.py::test_every_setting_and_its_choices_are_in_the_file",
    ),
    "doctor and inspect called features unreadable": (
        "test_dead_ends.py::test_doctor_and_inspect_read_features",
    ),
    "an example of the docs failed; the README did not say how far its figures move": (
        "docs/test_code_blocks.py::test_what_a_page_shows_runs_as_it_stands",
        "test_dead_ends.py::test_the_readme_says_that_figures_move_and_whose_the_weights_are",
    ),
}


def with_setting(table: TableFacts, name: str, value: str) -> dict:
    """The smallest study with one setting put in its place."""
    study = msgspec.json.decode(msgspec.json.encode(MINIMAL))
    inner = study
    for part in filter(None, table.name.split(".")):
        if table.several and part == table.name.rsplit(".", 1)[-1]:
            inner[part] = [{"column": "x"}]
            inner = inner[part][0]
        else:
            inner = inner.setdefault(part, {})
    inner[name] = value
    return study


@pytest.mark.parametrize("dead_end", GONE)
def test_a_dead_end_that_is_gone_has_its_test(dead_end):
    for place in GONE[dead_end]:
        file, name = place.split("::")
        text = (Path(__file__).parent / file).read_text(encoding="utf-8")
        assert f"def {name}(" in text, place


@pytest.mark.parametrize(("table", "name", "choices"), ENUMERATIONS)
def test_an_enumeration_is_refused_with_its_place_and_all_its_choices(table, name, choices):
    with pytest.raises(SettingsError) as told:
        make_settings(with_setting(table, name, "zzz"), StudySettings)
    said = told.value.message
    assert name in said
    assert "zzz" in said
    for choice in choices:
        assert choice.strip('"') in said.replace("\\\\", "\\"), choice


@pytest.mark.parametrize("command", ["run", "train", "crossval"])
def test_every_command_that_trains_takes_a_preset_and_names_the_choices(command, tmp_path, capsys):
    study = write_template(tmp_path)
    out = str(tmp_path / "out")
    assert run([command, str(study), "--out", out, "--preset", "papper"]) == USER_ERROR
    said = capsys.readouterr().err
    assert "paper" in said
    assert "jecur" in said


def test_the_example_of_init_has_every_setting(tmp_path):
    text = write_template(tmp_path).read_text()
    place, found = "", {}
    for line in text.splitlines():
        if heading := re.match(r"#?\s*\[+([\w.]+)\]+", line):
            place = heading[1]
        elif setting := re.match(r"#?\s*(\w+) =", line):
            found.setdefault(place, set()).add(setting[1])
    for table in stage_tables():
        missing = {s.name for s in table.settings} - found.get(table.name, set())
        assert not missing, f"[{table.name}] {sorted(missing)}"


def test_one_is_no_plural_anywhere():
    assert [counted(n, "slide") for n in (0, 1, 2, 1200)] == [
        "0 slides",
        "1 slide",
        "2 slides",
        "1,200 slides",
    ]
    plain = re.compile(
        r"""f["']\{(?!counted)[^{}]*\} (?:slides|patients|files|tiles)\b(?! of)"""
        r"""|\b(?:slide|repeat|patient)\(s\)"""
    )
    told = {
        (path.name, found[0])
        for path in SOURCE.rglob("*.py")
        for found in plain.finditer(path.read_text())
    }
    assert {place for place, _ in told} <= {"methods.py", "cohort.py"}, told  # more than one there


def test_doctor_and_inspect_read_features(tmp_path, capsys):
    h5py = pytest.importorskip("h5py", reason="needs the extra: features")
    (tmp_path / "slides").mkdir()
    rows = ["patient_id,time,event,role,slide"]
    rng = np.random.default_rng(0)
    for k in range(12):
        with h5py.File(tmp_path / "slides" / f"s{k}.h5", "w") as stored:
            stored["features"] = rng.normal(size=(4, 8)).astype(np.float32)
            stored["coords"] = np.arange(8).reshape(4, 2)
        rows.append(f"p{k},{k + 5},{k % 2},{'validation' if k % 3 == 0 else 'training'},s{k}.h5")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    slides = tmp_path / "slides"
    assert run(["inspect", str(slides / "s0.h5")]) == OK
    assert "unreadable" not in capsys.readouterr().out
    code = run(["doctor", str(slides), "--table", str(tmp_path / "t.csv")])
    assert code in {OK, SOME_FAILED}
    assert "12 slides, 0 unreadable" in capsys.readouterr().out


def test_init_without_a_table_says_what_to_give(capsys, tmp_path):
    assert run(["init"]) == USER_ERROR
    assert "--table" in capsys.readouterr().err
    assert run(["init", str(tmp_path), "--slides", str(tmp_path)]) == USER_ERROR
    assert "--table and --slides together" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_list_of_problems_is_a_line_each_with_its_code(tmp_path):
    study = write_template(tmp_path)
    (tmp_path / "clinical.csv").write_text(
        "patient_id,slide,role,center,rfs_months,rfs_event,age,sex,afp,stage\n"
        "a,a.svs,trainng,A,x,1,61,male,1,III\nb,b.svs,training,A,3,2,61,mal,1,III\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "jecur", "run", str(study), "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == USER_ERROR
    assert len(lines) == 4
    for words in ("'trainng' in row 2", "'x' in row 2", "'2' in row 3", "'mal' in row 3"):
        assert any(words in line for line in lines), words
    assert all(re.search(r"\[[a-z-]+\]$", line) for line in lines)


def test_values_of_toml_are_written_as_they_are_read():
    for value in ('a"b\\c', ["x", "ü"], 0.5, True, 10**15):
        assert make_toml(toml_value(value)) == value


def make_toml(text: str) -> object:
    return tomllib.loads(f"x = {text}")["x"]


def test_the_readme_says_that_figures_move_and_whose_the_weights_are():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert "Your figures will differ" in readme
    assert "two runs agree to the last bit" in readme
    head = readme.split("## Try it")[0]
    assert "non-commercial use" in head
    assert "CC BY-NC-SA 4.0" in head


def test_the_package_names_the_licence_of_the_weights_and_holds_its_promises():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["license"] == "Apache-2.0 AND CC-BY-NC-SA-4.0"
    assert {"LICENSE", "NOTICE"} <= set(project["project"]["license-files"])
    build = project["tool"]["hatch"]["build"]["targets"]
    assert "SECURITY.md" in build["wheel"]["force-include"]
    assert {"LICENSE", "NOTICE", "SECURITY.md"} <= set(build["sdist"]["include"])

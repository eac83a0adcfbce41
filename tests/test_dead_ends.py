"""What once stopped a new user, and what is said now; recipes, preflight and init have their own files."""

import re
import subprocess
import sys
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
ENUMERATIONS = [(t, s.name, s.choices) for t in stage_tables() for s in t.settings if s.choices]
MINIMAL = {
    "name": "s",
    "cohort": {"endpoint": {"kind": "overall survival", "unit": "days", "event_values": ["1"]}},
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
    plain = re.compile(r"\{(?!counted)[^{}]*\} slides (failed|in:|to prepare)")
    told = [p.name for p in SOURCE.rglob("*.py") if plain.search(p.read_text())]
    assert not told


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
    import tomllib  # noqa: PLC0415

    return tomllib.loads(f"x = {text}")["x"]

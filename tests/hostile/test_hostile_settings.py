"""Settings that nobody should write: refused in one line, soon, with the place."""

import pytest
from tests.hostile.refusal import refused
from tests.hostile.settings_inputs import BYTES, SETTINGS

from jecur.cli import USER_ERROR, run
from jecur.settings import read_study

ALL = {name: text.encode() for name, text in SETTINGS.items()} | BYTES


@pytest.mark.parametrize("name", ALL)
def test_a_hostile_study_file_is_refused_in_one_line(tmp_path, name):
    path = tmp_path / "study.toml"
    path.write_bytes(ALL[name])
    assert "study.toml" in refused(read_study, path).message


def test_the_case_of_deep_nesting_ends_the_command_with_one_line(cases, tmp_path, capfd):
    study = cases / "hostile" / "settings" / "deep.toml"
    assert run(["run", str(study), "--out", str(tmp_path / "out")]) == USER_ERROR
    assert len(capfd.readouterr().err.strip().splitlines()) == 1


def test_a_folder_or_nothing_in_place_of_a_study_file(tmp_path):
    assert refused(read_study, tmp_path).code == "no-study-file"
    assert "name the file in it" in refused(read_study, tmp_path).message
    assert refused(read_study, tmp_path / "none.toml").code == "no-study-file"


def test_the_file_in_a_folder_is_named_and_a_giant_is_told_as_one(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text("#" * 2**21, encoding="utf-8")
    assert str(file) in refused(read_study, tmp_path).message
    assert "below 1 MiB, found 2.0 MiB" in refused(read_study, file).message
    assert refused(read_study, tmp_path / ("x" * 300)).code == "no-study-file"

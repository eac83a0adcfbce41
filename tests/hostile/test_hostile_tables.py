"""Tables that nobody should write: refused in one line, soon; their clean twins are read."""

import shutil

import pytest
from tests.hostile.refusal import refused
from tests.hostile.tables_inputs import GOOD, TABLES, repacked, workbook

from jecur.cli import USER_ERROR, run
from jecur.cohort.cohort import read_clinical
from jecur.cohort.table import read_table
from jecur.errors import TableError
from jecur.settings import CohortSettings, ColumnSettings, Covariate, EndpointSettings, TableFormat

ENDPOINT = EndpointSettings(
    kind="recurrence-free survival", unit="months", event_values=("1",), censored_values=("0",)
)
COLUMNS = ColumnSettings(role="", slide="")
COVARIATES = (Covariate(column="age"), Covariate(column="stage", kind="categorical"))


def _settings(name, **form):
    return CohortSettings(
        endpoint=ENDPOINT,
        columns=COLUMNS,
        covariates=COVARIATES,
        table=name,
        format=TableFormat(**form),
    )


@pytest.mark.parametrize("name", TABLES)
def test_a_hostile_table_is_refused_in_one_line(tmp_path, name):
    suffix, content = TABLES[name]
    table = tmp_path / f"clinical{suffix}"
    table.write_bytes(content() if callable(content) else content)
    error = refused(read_clinical, _settings(table.name), tmp_path)
    assert isinstance(error, TableError)
    assert "clinical" in error.message


@pytest.mark.parametrize("content", [workbook(), repacked({})], ids=["as written", "packed again"])
def test_the_clean_twin_is_read(tmp_path, content):
    (tmp_path / "clinical.xlsx").write_bytes(content)
    (tmp_path / "clinical.csv").write_text(GOOD)
    cohorts = [read_clinical(_settings(n), tmp_path) for n in ("clinical.xlsx", "clinical.csv")]
    assert cohorts[0].patients == cohorts[1].patients
    assert len(cohorts[0].patients) == 2


@pytest.mark.parametrize(
    "encoding",
    ["punycode", "idna", "unicode_escape", "utf-7-x", "zip", "hex", "rot13", "undefined"],
)
def test_a_codec_that_is_no_encoding_of_files_is_refused(tmp_path, encoding):
    (tmp_path / "clinical.csv").write_text(GOOD)
    error = refused(read_clinical, _settings("clinical.csv", encoding=encoding), tmp_path)
    assert "encoding" in error.message


@pytest.mark.parametrize("name", ["bomb.xlsx", "laughs.xlsx", "nosheet.xlsx", "wide.csv"])
def test_the_cases_end_the_command_with_one_line(cases, tmp_path, capfd, name):
    shutil.copyfile(cases / "hostile" / "tables" / name, tmp_path / name)
    (tmp_path / "slides").mkdir()  # the table is all that is wrong
    study = tmp_path / "study.toml"
    study.write_text(
        f'name = "x"\n[cohort]\ntable = "{name}"\n[cohort.endpoint]\nkind = "overall survival"\n'
        'unit = "days"\nevent_values = ["1"]\n'
    )
    assert run(["run", str(study), "--out", str(tmp_path / "out")]) == USER_ERROR
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith("error:")
    assert "expected" in line


def test_a_sheet_whose_stated_size_is_wrong_is_read_whole(tmp_path):
    import zipfile  # noqa: PLC0415 - this test alone

    (tmp_path / "t.xlsx").write_bytes(workbook())
    with zipfile.ZipFile(tmp_path / "t.xlsx") as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    assert b'<dimension ref="A1:E3"' in sheet
    lie = sheet.replace(b'ref="A1:E3"', b'ref="A1"')
    (tmp_path / "t.xlsx").write_bytes(repacked({"xl/worksheets/sheet1.xml": lie}))
    assert read_table(tmp_path / "t.xlsx").frame.shape == (2, 5)


def test_names_and_sheets_that_act_reach_no_terminal(tmp_path, capfd):
    name = "\x1b[31mred\u202egpj.csv"
    (tmp_path / name).write_text("a\n1\n")
    study = tmp_path / "study.toml"
    study.write_text(
        'name = "x"\n[cohort.endpoint]\nkind = "overall survival"\nunit = "days"\nevent_values = ["1"]\n'
    )
    command = ["evaluate", "--scores", str(tmp_path / name), "--study", str(study)]
    assert run([*command, "--out", str(tmp_path / "out")]) == USER_ERROR
    shown = capfd.readouterr().err
    assert "\x1b[31m" not in shown
    assert "\u202e" not in shown
    assert "\\u202e" in shown

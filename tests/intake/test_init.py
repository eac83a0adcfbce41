"""init: from tables as people have them to a study file that reads them, each guess with its reason."""

import shlex
import tomllib
from datetime import date, timedelta
from pathlib import Path

import openpyxl
import pytest

from jecur.cli import OK, USER_ERROR, run
from jecur.cli import init as init_command
from jecur.cohort.cohort import read_cohort
from jecur.intake.check import check_proposal
from jecur.intake.columns import Column
from jecur.intake.propose import Sources, propose
from jecur.intake.slide_match import match_slides
from jecur.settings import read_study
from jecur.settings.reference import settings_page, stage_tables

ROOT = Path(__file__).resolve().parents[2]
N = 12
HEADINGS = (
    "Pat.-Nr.", "Geschlecht", "Age [years]", "Zentrum", "AFP (ng/ml)", "Cirrhosis", "OP-Datum",
    "Recurrence", "Date of recurrence", "Date of death", "Letzter Kontakt",
)  # fmt: skip
ANSWERS = ["-a", "endpoint=recurrence-free survival", "-a", "split=fraction"]


def rows() -> list[list[object]]:
    made = []
    for k in range(N):
        start, again = date(2010, 1, 5) + timedelta(50 * k), k % 2 == 0
        end = start + timedelta(300 + 40 * k)
        made.append(
            [
                f"L{k + 1:03d}", "mw"[k % 2], 50 + k, "AB"[k % 2], ("<2", "n.d.", 30.5 + k)[min(k, 2)],
                ("Yes", "No")[k % 2], start, "Yes" if again else "No",
                end.strftime("%d.%m.%Y") if again else None, None, end + timedelta(60),
            ]
        )  # fmt: skip
    return made


def sheet(path: Path, body: list[list[object]], above=(), below=(), headings=HEADINGS) -> Path:
    book = openpyxl.Workbook()
    for row in (*above, headings, *body, *below):
        book.active.append(list(row))
    book.save(path)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Slides as empty files under messy names; the sheet is each test's own."""
    for k in range(1, N + 1):
        name = (f"L{k:03d}.svs", f"scan_l-{k}_HE.svs", f"old/L{k}.ndpi")[k % 3]
        (tmp_path / "slides" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "slides" / name).touch()
    return tmp_path


def init(folder: Path, *answers: str) -> int:
    table, slides = str(folder / "clinic.xlsx"), str(folder / "slides")
    return run(["init", str(folder / "study"), "--table", table, "--slides", slides, *answers])


def made(folder: Path):
    study = read_study(folder / "study" / "study.toml")
    return study, read_cohort(study.cohort, folder / "study")


def test_a_messy_sheet_becomes_a_study_that_reads_it(folder):
    legend = (["Legend: n.d. = not determined"],)
    sheet(folder / "clinic.xlsx", rows(), above=(["Resections 2010"], []), below=([], *legend))
    assert init(folder, *ANSWERS) == OK
    study, cohort = made(folder)
    assert len(cohort.patients) == N
    assert sum(p.event for p in cohort.patients) == N // 2
    first = next(p for p in cohort.patients if p.id == "L001")
    assert first.months == pytest.approx(300 / (365.25 / 12))
    assert first.covariates == {
        "Geschlecht": "m",
        "Age [years]": 50,
        "AFP (ng/ml)": 2,
        "Cirrhosis": "Yes",
    }
    second = next(p for p in cohort.patients if p.id == "L002")
    assert second.covariates["AFP (ng/ml)"] is None
    assert [slide.path.name for slide in second.slides] == ["L2.ndpi"]
    factors = {c.column: c for c in study.cohort.covariates}
    assert factors["Cirrhosis"].levels == ("No", "Yes")
    assert factors["AFP (ng/ml)"].unit == "ng/ml"
    assert study.cohort.columns.site == "Zentrum"
    assert any("row" in note and "'<2'" in note for note in cohort.notes)
    assert study.training.preset == "jecur"


def test_every_guess_stands_in_the_file_with_its_reason(folder):
    sheet(folder / "clinic.xlsx", rows())
    assert init(folder, *ANSWERS) == OK
    text = (folder / "study" / "study.toml").read_text()
    lines = text.splitlines()
    for setting in ("patient", "site", "surgery", "last_contact", "recurrence", "format", "preset"):
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{setting} = "))
        above = "\n".join(lines[at - 4 : at])
        assert "Proposed:" in above, setting
    assert "# Answered" in text


def test_every_setting_and_its_choices_are_in_the_file(folder):
    sheet(folder / "clinic.xlsx", rows())
    assert init(folder, *ANSWERS) == OK
    text = (folder / "study" / "study.toml").read_text()
    for table in stage_tables():
        assert f"[{table.name}]" in text or not table.settings or not table.name
        for setting in table.settings:
            assert f"{setting.name} =" in text or f"  {setting.name}" in text, setting.name
            assert not setting.choices or all(c in text for c in setting.choices)


def test_without_a_terminal_what_is_open_is_listed_with_its_choices_and_nothing_is_written(
    folder, capsys
):
    sheet(folder / "clinic.xlsx", rows())
    assert init(folder) == USER_ERROR
    said = capsys.readouterr().err
    assert "open-questions" in said
    assert "endpoint:" in said
    assert "'time to recurrence'" in said
    assert "split:" in said
    assert not (folder / "study" / "study.toml").exists()


def test_on_a_terminal_it_asks_and_takes_numbers(folder, monkeypatch):
    sheet(folder / "clinic.xlsx", rows())
    asked = []
    said = iter(["1", "fraction", "name", "Our study", ""])

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return next(said)

    monkeypatch.setattr(init_command.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(init_command.console, "input", answer)
    assert init(folder) == OK
    assert len(asked) == 5
    assert made(folder)[0].name == "Our study"


def test_a_wrong_answer_is_refused_with_the_choices_all_at_once(folder, capsys):
    sheet(folder / "clinic.xlsx", rows())
    code = init(folder, "-a", "endpoint=survival", "-a", "site=Hospital", "-a", "colour=red")
    said = capsys.readouterr().err
    assert code == USER_ERROR
    assert said.count("bad-answer") == 3
    assert "'overall survival'" in said
    assert "'Zentrum'" in said
    assert "colour" in said


def test_yes_without_a_date_is_told(folder, capsys):
    body = rows()
    body[2][8] = None
    sheet(folder / "clinic.xlsx", body)
    assert init(folder, *ANSWERS) == OK
    assert "'Recurrence' says yes without a date in 'Date of recurrence' in row 4" in " ".join(
        capsys.readouterr().out.split()
    )


def test_time_and_coded_event(folder):
    body = [[f"L{k + 1:03d}", 5.0 + k, k % 2, "III"[: k % 3 + 1]] for k in range(N)]
    sheet(folder / "clinic.xlsx", body, headings=("ID", "RFS (months)", "RFS status", "Stage"))
    assert init(folder) == USER_ERROR  # 0 and 1 are asked for
    answers = ["-a", "event_values=1", "-a", "censored_values=0", "-a", "split=none"]
    assert init(folder, *answers, "-a", "cache=shared") == OK  # the last thing asked is one, too
    study, cohort = made(folder)
    assert study.run.cache == "shared"
    assert study.cohort.endpoint.kind == "recurrence-free survival"
    assert study.cohort.endpoint.unit == "months"
    assert [p.months for p in cohort.patients] == [5.0 + k for k in range(N)]
    assert study.cohort.covariates[0].levels == ("I", "II", "III")


def test_one_end_date_and_an_event(folder):
    body = [
        [k + 1, date(2010, 1, 1), date(2011 + k % 5, 1, 1), ("Yes", "No")[k % 2]] for k in range(N)
    ]
    sheet(folder / "clinic.xlsx", body, headings=("Patient", "Surgery", "Follow-up end", "Relapse"))
    assert init(folder, "-a", "endpoint=time to recurrence", "-a", "split=none") == OK
    _, cohort = made(folder)
    assert [p.event for p in cohort.patients] == [k % 2 == 0 for k in range(N)]
    assert cohort.patients[0].months == pytest.approx(365 / (365.25 / 12))


def test_a_row_a_slide_is_joined(folder):
    body = [row for row in rows() for _ in range(2)]
    for k, row in enumerate(body):
        body[k] = [*row, f"slide{k}.svs"]
        (folder / "slides" / f"slide{k}.svs").touch()
    sheet(folder / "clinic.xlsx", body, headings=(*HEADINGS, "File"))
    assert init(folder, *ANSWERS) == OK
    study, cohort = made(folder)
    assert study.cohort.repeated_patients == "join"
    assert {s.path.name for s in cohort.patients[0].slides} >= {"slide0.svs", "slide1.svs"}


def test_rows_of_a_patient_that_contradict_each_other_are_all_named(folder, capsys):
    body = rows()
    body.append([body[0][0], *body[0][1:2], 99, "Z", *body[0][4:]])
    sheet(folder / "clinic.xlsx", body)
    assert init(folder, *ANSWERS) == USER_ERROR
    said = " ".join(capsys.readouterr().err.split())
    assert "'Age [years]'" in said
    assert "'Zentrum'" in said
    assert "rows 2, 14" in said


def test_nothing_is_overwritten(folder, capsys):
    sheet(folder / "clinic.xlsx", rows())
    assert init(folder, *ANSWERS) == OK
    before = (folder / "study" / "study.toml").read_text()
    assert init(folder, *ANSWERS) == USER_ERROR
    assert "study-exists" in capsys.readouterr().err
    assert (folder / "study" / "study.toml").read_text() == before


def test_misspelt_paths_are_both_said_with_what_is_near(folder, capsys):
    sheet(folder / "clinic.xlsx", rows())
    code = run(["init", "--table", str(folder / "clinik.xlsx"), "--slides", str(folder / "slide")])
    said = capsys.readouterr().err
    assert code == USER_ERROR
    assert "clinic.xlsx" in said
    assert "(there are: slides)" in said.replace("\n", " ")


def owner(files: list[str], ids: list[str], named: dict[int, str] | None = None) -> dict[str, str]:
    matches = match_slides(dict(enumerate(ids)), files, named or {})
    return {m.slide: "?" if m.candidates else m.patient for m in matches}


@pytest.mark.parametrize(
    ("ids", "files", "expected"),
    [
        (["P1", "P10"], ["P1.svs", "P10.svs", "p001_b.svs"], ["P1", "P10", "P1"]),
        (["1", "2", "7"], ["P7_1.svs", "P7_2.svs", "P2_1.svs"], ["7", "7", "2"]),
        (["TCGA-DD-A1EB"], ["TCGA-DD-A1EB-01Z-00-DX1.6F.svs"], ["TCGA-DD-A1EB"]),
        (["12-345", "12-346"], ["B12_345 HE.ndpi", "12.346.svs"], ["12-345", "12-346"]),
        (["A1", "A2"], ["A1/slide.svs", "A2/slide.svs"], ["A1", "A2"]),
        (["K1", "K2"], ["K1 and K2.svs", "other.svs", "K1_CK7.svs"], ["?", "", ""]),
        (["GS-01"], ["GS-01.svs", "GS-01 GS.svs"], ["GS-01", "GS-01"]),
    ],
)
def test_files_find_their_patients(ids, files, expected):
    assert list(owner(files, ids).values()) == expected


def test_a_column_of_names_goes_before_identifiers_and_missing_files_are_kept():
    found = owner(["x1.svs", "L2.svs"], ["L1", "L2"], {0: "X1; gone.svs", 1: ""})
    assert found == {"x1.svs": "L1", "L2.svs": "L2", "gone.svs": "L1"}


@pytest.mark.parametrize(
    ("cells", "forms"),
    [
        (["01.02.2010", "13.02.2010"], ("%d.%m.%Y",)),
        (["01/02/2010", "02/03/2010"], ("%d/%m/%Y", "%m/%d/%Y")),
        (["01/02/2010", "02/13/2010"], ("%m/%d/%Y",)),
        (["3", "4"], ()),
    ],
)
def test_formats_of_dates_that_fit_are_found(cells, forms):
    assert Column("x", dict(enumerate(cells)), frozenset()).date_forms == forms


def proposed(folder: Path, text: str, **answers: str):
    (folder / "t.csv").write_text(text)
    return propose(Sources(folder / "t.csv", folder / "slides", folder / "study"), answers)


def test_a_german_file_with_semicolons_and_decimal_commas(folder):
    body = "Fallnr;Alter;AFP (ng/ml);Klinik;OP-Datum;Rezidivdatum;Todesdatum;Letzte Nachsorge\n"
    for k in range(N):
        again = "-" if k % 2 else f"{10 + k}.11.2012"
        afp = "n.b." if k == 3 else f"{k + 2},5"
        body += f"L{k + 1};{50 + k};{afp};{'NS'[k % 2]};{k + 1:02d}.01.2010;{again};;01.02.2016\n"
    found = proposed(
        folder,
        body,
        endpoint="time to recurrence",
        split="site",
        validation_sites="S",
        never_values="-",
    )
    assert not found.open
    cohort = found.study["cohort"]
    assert cohort["columns"]["patient"] == "Fallnr"
    assert cohort["endpoint"]["dates"]["never_values"] == ["", "-"]
    factors = {c["column"]: c for c in cohort["covariates"]}
    assert factors["Alter"].get("scale", "linear") == "linear"
    assert factors["AFP (ng/ml)"]["missing_values"] == ["", "n.b."]
    assert check_proposal(found, folder / "study")[-1].startswith("6 training patients")


def test_the_event_goes_with_the_time_that_is_asked_for(folder):
    heading = "PATIENT_ID,OS_MONTHS,OS_STATUS,DFS_MONTHS,DFS_STATUS"
    rows = [
        f"L{k + 1},{10 + k},{('0:LIVING', '1:DECEASED')[k % 2]},{5 + k},"
        f"{('0:DiseaseFree', '1:Recurred/Progressed')[k % 3 == 0]}"
        for k in range(N)
    ]
    text = "\n".join([heading, *rows])
    assert {q.key for q in proposed(folder, text).open} >= {"time", "endpoint", "split"}
    for short, kind in (("OS", "overall survival"), ("DFS", "recurrence-free survival")):
        found = proposed(folder, text, time=f"{short}_MONTHS", split="none")
        assert not found.open
        assert found.study["cohort"]["endpoint"]["kind"] == kind
        assert found.study["cohort"]["endpoint"]["unit"] == "months"
        assert found.study["cohort"]["columns"]["event"] == f"{short}_STATUS"


@pytest.mark.parametrize("time", ["RFS months", "Time to recurrence (months)", "DFS"])
def test_a_time_is_not_proposed_as_its_own_event_however_few_patients_there_are(folder, time):
    rows = [f"L{k + 1},{12 + k % 6},{k % 2}" for k in range(N)]
    found = proposed(
        folder, "\n".join([f"Patient ID,{time},Recurrence", *rows]), time=time, unit="months"
    )
    assert found.study["cohort"]["columns"]["time"] == time
    assert found.study["cohort"]["columns"]["event"] == "Recurrence"
    assert "event" not in {question.key for question in found.open}


def test_the_page_of_settings_is_that_of_the_code():
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page(), (
        "run: python docs/write_settings.py"
    )


def test_comments_of_the_file_are_comments(folder):
    sheet(folder / "clinic.xlsx", rows())
    assert init(folder, *ANSWERS) == OK
    parsed = tomllib.loads((folder / "study" / "study.toml").read_text())
    assert set(parsed["cohort"]["columns"]) == {"patient", "time", "event", "role", "slide", "site"}


def event_of(folder: Path, time: str, event: str, texts: tuple[str, str]):
    """What is proposed of a table of one time and one event."""
    rows = [f"L{k + 1},{5 + 2 * k},{texts[k % 2]}" for k in range(N)]
    found = proposed(folder, "\n".join([f"Patient ID,{time},{event}", *rows]), split="none")
    return found, {question.key for question in found.open}


@pytest.mark.parametrize("texts", [("yes", "no"), ("nein", "ja"), ("TRUE", "FALSE"), ("1", "0")])
@pytest.mark.parametrize(
    "heading",
    ["Censored", "Zensiert", "Recurrence-free", "event free", "No relapse", "rezidivfrei_status"],
)
def test_yes_below_a_heading_that_may_deny_the_event_is_asked_about(folder, heading, texts):
    found, asked = event_of(folder, "RFS months", heading, texts)
    if found.study["cohort"]["columns"]["event"]:
        assert "event_values" in asked
        assert found.study["cohort"]["endpoint"]["event_values"] == []
    else:
        assert "event" in asked


@pytest.mark.parametrize(
    ("time", "heading", "texts", "fits"),
    [
        ("OS months", "Recurrence", ("yes", "no"), False),
        ("RFS months", "Vital status", ("dead", "alive"), False),
        ("TTR months", "Status", ("verstorben", "lebt"), False),
        ("DSS months", "Death", ("dead", "alive"), False),
        ("OS months", "Vital status", ("dead", "alive"), True),
        ("OS_MONTHS", "OS_STATUS", ("1:DECEASED", "0:LIVING"), True),
        ("RFS months", "RFS event", ("yes", "no"), True),
        ("RFS months", "Status", ("event", "censored"), True),
        ("RFS months", "Recurrence or death", ("yes", "no"), True),
        ("TTR months", "Recurrence", ("yes", "no"), True),
    ],
)
def test_a_column_of_another_event_than_the_endpoint_is_asked_about(
    folder, time, heading, texts, fits
):
    found, asked = event_of(folder, time, heading, texts)
    assert found.study["cohort"]["columns"]["event"] == heading
    assert ("event" not in asked) == fits
    assert "event_values" not in asked
    assert not found.remarks


def test_recurrence_free_survival_of_a_column_of_recurrence_is_told(folder):
    found, asked = event_of(folder, "RFS months", "Recurrence", ("yes", "no"))
    assert not asked
    assert "counts death too" in found.remarks[0]


DATED = "Patient ID,Date of surgery,Date of recurrence,Date of death,Date of last contact"


def dated(
    folder: Path,
    heading: str = DATED,
    cells: dict[tuple[int, int], str] | None = None,
    **answers: str,
):
    """What is proposed of a table of four columns of dates, some of its cells others."""
    lines = [
        [
            f"L{k + 1}",
            f"{k + 1:02d}.01.2010",
            f"{k + 1:02d}.11.2012" if k % 2 else "",
            "",
            "01.02.2016",
        ]
        for k in range(N)
    ]
    for (row, column), text in (cells or {}).items():
        lines[row][column] = text
    said = {"endpoint": "time to recurrence", "split": "none"} | answers
    found = proposed(folder, "\n".join([heading, *map(",".join, lines)]), **said)
    return found, {question.key for question in found.open}


@pytest.mark.parametrize("column", [1, 2, 4])
@pytest.mark.parametrize("text", ["31.02.2012", "2015-13-45", "in 2012?"])
def test_a_text_that_is_no_date_and_does_not_mean_unknown_is_asked_about(folder, column, text):
    found, asked = dated(folder, cells={(3, column): text})
    assert asked == {"missing_values"}
    assert f"{text!r}: no dates" in next(q.reason for q in found.open)
    found, asked = dated(folder, cells={(3, column): text}, missing_values=text)
    assert not asked
    assert text in found.study["cohort"]["missing_values"]
    found, asked = dated(folder, cells={(3, column): text}, missing_values="")
    assert not asked
    assert text not in found.study["cohort"].get("missing_values", ())


@pytest.mark.parametrize("text", ["unknown", "n.d.", "-"])
def test_a_text_that_means_unknown_is_taken_for_it_without_a_question(folder, text):
    found, asked = dated(folder, cells={(3, 4): text})
    assert not asked
    assert text in found.study["cohort"]["missing_values"]


@pytest.mark.parametrize("text", ["24 months", "lost"])
def test_a_text_in_a_column_of_times_is_asked_about_unless_it_means_unknown(folder, text):
    lines = [f"L{k + 1},{text if k == 3 else 5 + 2 * k},{('yes', 'no')[k % 2]}" for k in range(N)]
    table = "\n".join(["Patient ID,TTR months,Recurrence", *lines])
    assert {q.key for q in proposed(folder, table, split="none").open} == {"missing_values"}
    known = proposed(folder, table.replace(text, "unknown"), split="none")
    assert not known.open


@pytest.mark.parametrize(
    ("heading", "asked"),
    [
        (DATED, set()),
        (DATED.replace("Date of death", "Date of first surgery"), {"surgery"}),
        (DATED.replace("Date of death", "Date last seen"), {"last_contact"}),
        (DATED.replace("Date of death", "Second recurrence date"), {"recurrence"}),
    ],
)
def test_the_first_of_several_likely_columns_of_dates_is_asked_about(folder, heading, asked):
    cells = {(k, 3): "05.05.2014" for k in range(N)} if asked else {}
    assert dated(folder, heading, cells)[1] == asked


@pytest.mark.parametrize(
    "heading", ["Tumor site", "Site of recurrence", "Primary site", "Biopsy site"]
)
def test_a_site_of_the_body_is_no_hospital(folder, heading):
    lines = [
        f"L{k + 1},{5 + 2 * k},{k % 2},{('left', 'right')[k % 2]},{'AB'[k % 3 > 0]}"
        for k in range(N)
    ]
    for more, expected in (("Ward", None), ("Center", "Center")):
        table = "\n".join([f"Patient ID,TTR months,Recurrence,{heading},{more}", *lines])
        columns = proposed(folder, table, split="none").study["cohort"]["columns"]
        assert columns.get("site") in ((expected,) if expected else (None, ""))


def test_days_in_hospital_beside_a_follow_up_are_asked_about(folder):
    lines = [f"L{k + 1},{5 + k},{50 + 20 * k},{k % 2}" for k in range(N)]
    table = "\n".join(["Patient ID,Hospital stay (days),FU,Recurrence", *lines])
    assert "time" in {q.key for q in proposed(folder, table, split="none").open}


def test_the_command_to_go_on_with_can_be_pasted_where_a_folder_has_a_space(tmp_path, capsys):
    assert run(["init", str(tmp_path / "my study")]) == OK
    told = capsys.readouterr().out.split("then: ")[1].splitlines()[0]
    assert shlex.split(told)[2] == str(tmp_path / "my study" / "study.toml")

"""Names of patients, sites and levels: what looks like another, is nobody's, or is a spreadsheet's own."""

import numpy as np
import openpyxl
import pandas as pd
import pytest

from jecur.cohort.cohort import read_clinical, read_cohort
from jecur.cohort.plausible.names import days_among, names_nobody
from jecur.cohort.plausible.words import means_unknown, one_id, one_level
from jecur.cohort.table import read_table
from jecur.errors import TableError
from jecur.settings import (
    CohortSettings,
    ColumnSettings,
    Covariate,
    EndpointSettings,
    SplitSettings,
)

ENDPOINT = EndpointSettings(
    kind="recurrence-free survival", unit="months", event_values=("1",), censored_values=("0",)
)
N = 24
LOOK_ALIKE = {  # Latin -> what looks the same: Cyrillic, then Greek
    "A": "\u0410\u0391", "B": "\u0412\u0392", "E": "\u0415\u0395", "H": "\u041d\u0397", "K": "\u041a\u039a",
    "M": "\u041c", "O": "\u041e\u039f", "P": "\u0420\u03a1", "C": "\u0421", "T": "\u0422\u03a4",
    "X": "\u0425\u03a7", "I": "\u0406\u0399", "a": "\u0430", "e": "\u0435", "o": "\u043e\u03bf",
    "p": "\u0440",
    "c": "\u0441", "x": "\u0445", "y": "\u0443", "i": "\u0456",
}  # fmt: skip


def _frame():
    return pd.DataFrame(
        {
            "patient_id": [f"P{k:03}" for k in range(N)],
            "time": np.arange(N) + 20.5,
            "event": np.arange(N) % 2,
            "stage": np.resize(["T1", "T2"], N),
            "site": np.resize(["Mainz", "Ulm", "Bern"], N),
        }
    )


def _settings(**changes):
    return CohortSettings(
        endpoint=ENDPOINT,
        columns=ColumnSettings(role="", slide="", site="site"),
        covariates=(Covariate(column="stage", kind="categorical"),),
        **changes,
    )


def _read(folder, frame, **changes):
    frame.to_csv(folder / "clinical.csv", index=False)
    return read_clinical(_settings(**changes), folder)


@pytest.mark.parametrize("latin", LOOK_ALIKE)
def test_a_letter_of_another_alphabet_makes_no_other_name(tmp_path, latin):
    for letter in LOOK_ALIKE[latin]:
        for text in (f"{latin}1", f"Q-{latin}b 7", f"0{latin}"):
            other = text.replace(latin, letter)
            assert other != text
            assert one_level(other) == one_level(text)
            assert one_id(other) == one_id(text)
        frame = _frame()
        frame.loc[:, "stage"] = np.resize([f"{latin}1", "Z"], N)
        frame.loc[4, "stage"] = f"{letter}1"
        with pytest.raises(TableError, match=r"each level in one spelling.* in row 6"):
            _read(tmp_path, frame)
        frame = _frame()
        frame.loc[[4, 9], "patient_id"] = [f"{latin}9", f"{letter}9"]
        (told,) = _read(tmp_path, frame).doubts
        assert told.code == "names-alike"
        assert "LETTER" in told.message
        assert told.message.endswith("spell them alike")


def test_words_of_another_alphabet_stay_words():
    words = [
        "нет",
        "НЕТ",
        "да",
        "неизвестно",
        "рак",
        "сор",
        "Αρνητικό",
        "ΘΕΤΙΚΟ",
        "μg",
        "mg",
        "是",
        "无",
        "あり",
        "cop",
    ]
    folded = [one_level(word) for word in words]
    assert folded[0] == folded[1]
    assert (
        len(set(folded)) == len(words) - 2
    )  # a Russian word of nothing but such letters looks Latin
    assert one_level("сор") == one_level("cop")
    assert means_unknown("неизвестно")
    assert means_unknown("N\u0410")
    assert not means_unknown("нет")


NOBODY = ["nan", "NaN", "None", "TRUE", "<NA>", "NaT", "unknown", "?", "-", "n.a.", "missing"]
SPOILT = ["#N/A", "#DIV/0!", "#NV", "#REF!", "1.23E+11", "1,23E+11", "1E+05"]
DAYS = [
    "Mar-01",
    "1-Mar",
    "01. Mrz",
    "01.03.2024",
    "2024-03-01",
    "2024-03-01 00:00:00",
    "3/1/2024",
    "Sep 07",
]


@pytest.mark.parametrize("text", [*NOBODY, *SPOILT, *DAYS])
def test_an_identifier_that_is_none_is_refused_with_its_row(tmp_path, text):
    frame = _frame()
    frame.loc[5, "patient_id"] = text
    with pytest.raises(TableError, match=r"column 'patient_id'.* in row 7") as caught:
        _read(tmp_path, frame)
    assert repr(text) in caught.value.message


@pytest.mark.parametrize(
    "ids",
    [
        [f"MAR-{k:02}" for k in range(12)] + [f"KOE-{k:02}" for k in range(12)],
        ["ND", "NA", "NK", "MO", *[chr(65 + k) + chr(66 + k) for k in range(20)]],
        [f"{k}E{k:02}" for k in range(N)],
        [f"{10**17 + 7 * k}" for k in range(N)],
        ["NA:7", "ND:3", *[f"LIV:{k}" for k in range(22)]],
        [f"{k:02}.03.2024" for k in range(1, N + 1)],
    ],
)
def test_odd_names_among_their_like_are_names(tmp_path, ids):
    frame = _frame()
    frame["patient_id"] = ids
    found = _read(tmp_path, frame, missing_values=("",))
    assert [p.id for p in found.patients] == ids
    assert not found.doubts


def test_identifiers_that_a_spreadsheet_rounded_are_refused(tmp_path):
    frame = _frame()
    frame["patient_id"] = [f"{123456789012345 + k}00" for k in range(N)]
    with pytest.raises(TableError, match="ids with all their digits"):
        _read(tmp_path, frame)


@pytest.mark.parametrize("text", ["unknown", "n.a.", "-", "#N/A", "k. A.", "?"])
def test_an_unknown_site_is_no_hospital(tmp_path, text):
    frame = _frame()
    frame.loc[[2, 11], "site"] = text
    with pytest.raises(
        TableError, match=r"column 'site': expected sites.* in rows 4, 13.*missing_values"
    ):
        _read(tmp_path, frame)
    found = _read(tmp_path, frame, missing_values=("", "NA", text))
    assert [p.site for p in found.patients if p.id in {"P002", "P011"}] == ["", ""]
    split = SplitSettings(by="site", validation_sites=("Ulm",))
    cohort = read_cohort(_settings(missing_values=("", text), split=split), tmp_path)
    assert {e.patient: e.reason for e in cohort.excluded} == dict.fromkeys(
        ("P002", "P011"), "site unknown"
    )


def test_codes_of_hospitals_are_no_unknowns():
    assert names_nobody(["NK", "ND", "AB", "CD", "EF", "GH"]) == ()
    assert names_nobody(["NK", "Mainz", "Bern"]) == ("NK",)


def test_a_note_below_the_table_is_told(tmp_path):
    frame = _frame().astype(object)
    frame.loc[N] = ["AFP in ng per ml", "", "", "", ""]
    (told,) = _read(tmp_path, frame).doubts
    assert told.code == "empty-row"
    assert "row 26" in told.message


@pytest.mark.parametrize("made", ["02-Mar", "2. Mrz", "02.03.2024"])
def test_a_level_that_became_a_day_in_a_text_file_is_told(tmp_path, made):
    frame = _frame()
    frame["stage"] = np.resize(["1", "2-3", ">5"], N)
    assert not _read(tmp_path, frame).doubts
    frame.loc[4, "stage"] = made
    assert [d.code for d in _read(tmp_path, frame).doubts] == ["date-as-level"]
    assert days_among(["1-2", "2-3", "T1", made]) == (made,)


@pytest.mark.parametrize("value", ["#N/A", "#DIV/0!"])
def test_error_cells_are_no_patients(tmp_path, value):
    book = openpyxl.Workbook()
    for row in [("patient_id", "time"), ("A", 1), (value, 2), ("B", 3)]:
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(TableError, match=r"column 'patient_id'.* in row 3"):
        read_table(tmp_path / "t.xlsx").identifiers("patient_id", "patient")


@pytest.mark.parametrize("mark", ["*", "?", ".", " *", "\u2020", "**"])
def test_a_mark_behind_a_level_or_a_patient_is_told(tmp_path, mark):
    frame = _frame()
    frame.loc[4, "stage"] = f"T1{mark}"
    (told,) = _read(tmp_path, frame).doubts
    assert (told.code, told.column) == ("levels-alike", "stage")
    assert "row 6" in told.message
    frame = _frame()
    frame.loc[4, "patient_id"] = f"P009{mark}"
    (told,) = _read(tmp_path, frame).doubts
    assert (told.code, told.column) == ("names-alike", "patient_id")


def test_signs_are_no_marks(tmp_path):
    frame = _frame()
    frame["stage"] = np.resize(["+", "++", "-", "T1+", "T1", "T1-", "?+"], N)
    assert not _read(tmp_path, frame).doubts


@pytest.mark.parametrize("letter", ["\u00fc", "\u00c4", "\u00e9", "\u00f1", "\u00df", "\u2019"])
@pytest.mark.parametrize("column", ["patient_id", "site", "stage"])
def test_letters_lost_on_the_way_are_told_and_letters_are_not(tmp_path, letter, column):
    name = f"M{letter}ller"
    lost = name.encode("ascii", "replace").decode().replace("?", "\ufffd")
    changed = name.encode("utf-8").decode("cp1252", "replace").replace("\ufffd", "")
    for text, told in ((name, False), (lost, True), (changed, True)):
        frame = _frame()
        frame.loc[4, column] = text
        doubts = [d for d in _read(tmp_path, frame).doubts if d.code == "lost-letters"]
        assert [d.column for d in doubts] == ([column] if told else [])
        assert all("row 6" in d.message for d in doubts)


@pytest.mark.parametrize(
    ("one", "other"), [("P007", "P7"), ("P1", "p1"), ("B2", "\u04122"), ("P1", "P1*")]
)
@pytest.mark.parametrize("by", ["role", "site"])
def test_one_patient_in_two_spellings_does_not_train_and_validate(tmp_path, one, other, by):
    frame = _frame()
    frame["patient_id"] = [f"Q{k:03}" for k in range(N)]
    frame["role"] = np.resize(["training", "validation"], N)
    frame.loc[[4, 9], "patient_id"] = [one, other]
    frame.loc[[4, 9], "site"] = ["Ulm", "Bern"]
    frame.to_csv(tmp_path / "clinical.csv", index=False)

    def read(**changes):
        role = "role" if by == "role" else ""
        split = None if by == "role" else SplitSettings(by="site", validation_sites=("Ulm",))
        columns = ColumnSettings(role=role, slide="", site="site")
        settings = CohortSettings(endpoint=ENDPOINT, columns=columns, split=split, **changes)
        return read_cohort(settings, tmp_path)

    with pytest.raises(TableError, match=r"each patient in one role.* in rows 6, 11"):
        read()
    assert len(read(implausible="warn").patients) == N
    frame.loc[[4, 9], "role"], frame.loc[[4, 9], "site"] = "training", "Bern"
    frame.to_csv(tmp_path / "clinical.csv", index=False)
    assert [d.code for d in read().doubts] == ["names-alike"]

"""Seeded generator of clinical tables as they should not be, each with what must come of it.

A case is a clean table whose meaning is known, one fault put in, and a way of writing it down
(container, encoding, separator, decimal mark, codes, unit, column names). What must come of it is
either a refusal that names a column and rows, or patients whose values are the known ones and
exclusions with their reasons. The generator shares no code with the reader.
"""

import csv
import datetime
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import openpyxl

from jecur.settings import (
    CohortSettings,
    ColumnSettings,
    Covariate,
    DateSettings,
    EndpointSettings,
    TableFormat,
)

FACTORS = {"days": 12 / 365.25, "weeks": 7 * 12 / 365.25, "months": 1.0, "years": 12.0}
CODINGS = (
    ("1", "0"),
    ("2", "1"),
    ("0", "1"),  # 1 means censored
    ("DECEASED", "LIVING"),
    ("1:Recurred/Progressed", "0:DiseaseFree"),
    ("ja", "nein"),
)
LAYOUTS = (  # suffix, encoding, declared encoding, separator, decimal mark
    (".csv", "utf-8", "", ",", "."),
    (".csv", "utf-8-sig", "", ";", ","),
    (".csv", "utf-16", "", ",", "."),
    (".csv", "cp1252", "", ";", ","),
    (".tsv", "latin-1", "latin-1", "\t", "."),
    (".csv", "utf-16-le", "utf-16-le", ";", ","),
    (".csv", "utf-8", "", ";", "."),
    (".xlsx", "", "", "", "."),
    (".csv", "utf-8", "", "|", "."),
    (".tsv", "utf-8-sig", "", "\t", ","),
)
NAMES = (
    ("patient_id", "time", "event", "age", "stage", "note"),
    ("Pat.-Nr.", "RFS (Monate)", "Rezidiv", "Alter", "Stadium", "Ort"),
    ("ID", "t", "status", "AGE", "AJCC", "memo"),
)


@dataclass
class Case:
    """One table and what must come of it; `files` writes it, the rest is expectation."""

    kind: str
    rng: np.random.Generator
    layout: tuple[str, str, str, str, str]
    names: tuple[str, ...]
    coding: tuple[str, str]
    unit: str
    rows: list[dict[str, object]]
    truth: dict[str, dict[str, object]]
    missing: tuple[str, ...] = ("", "NA")
    excluded: dict[str, str] = field(default_factory=dict)
    refused: tuple[str, list[int]] | None = None
    dates: DateSettings | None = None
    zero: str = "exclude"
    raw: bytes | None = None
    drop_column: str = ""
    number_format: str = ""
    note_expected: bool = False
    groups: str = "two"
    not_estimable: tuple[str, ...] = ()

    @property
    def column(self) -> dict[str, str]:
        return dict(zip(("id", "time", "event", "age", "stage", "note"), self.names, strict=True))

    def refuse(self, column: str, picked) -> None:
        self.refused = (self.column.get(column, column), sorted(int(i) + 2 for i in picked))

    def leave_out(self, i: int, reason: str) -> None:
        patient = str(self.rows[i]["id"])
        self.excluded[patient] = reason
        del self.truth[patient]

    def settings(self) -> CohortSettings:
        event, censored = self.coding
        column = self.column
        declared = self.layout[4] if self.layout[:4] == (".tsv", "utf-8-sig", "", "\t") else ""
        return CohortSettings(
            implausible="warn",  # times are in any unit here, whatever the column is named
            table=f"clinical{self.layout[0]}",
            endpoint=EndpointSettings(
                kind="recurrence-free survival",
                unit=self.unit,
                event_values=(event,),
                censored_values=(censored,),
                dates=self.dates,
                time_zero=self.zero,
            ),
            columns=ColumnSettings(
                patient=column["id"], time=column["time"], event=column["event"], role="", slide=""
            ),
            format=TableFormat(encoding=self.layout[2], decimal=declared),
            missing_values=self.missing,
            covariates=(
                Covariate(column=column["age"], missing_values=self.missing),
                Covariate(
                    column=column["stage"],
                    kind="categorical",
                    levels=("I", "II", "III"),
                    missing_values=self.missing,
                ),
            ),
        )

    def write(self, folder: Path) -> None:
        path = folder / f"clinical{self.layout[0]}"
        keys = [k for k in self.rows[0] if k != self.drop_column]
        heading = [self.column.get(k, k) for k in keys]
        if self.raw is not None:
            path.write_bytes(self.raw)
        elif path.suffix == ".xlsx":
            self._write_excel(path, keys, heading)
        else:
            path.write_bytes(self.text(keys, heading).encode(self.layout[1]))

    def text(self, keys: list[str], heading: list[str]) -> str:
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter=self.layout[3], lineterminator="\r\n")
        writer.writerow(heading)
        for row in self.rows:
            writer.writerow([self._cell(row[k]) for k in keys])
        return stream.getvalue()

    def _cell(self, value: object) -> str:
        if isinstance(value, float):
            return f"{value:.2f}".replace(".", self.layout[4])
        return str(value)

    def _write_excel(self, path: Path, keys: list[str], heading: list[str]) -> None:
        book = openpyxl.Workbook()
        sheet = book.active
        sheet.append(heading)
        for i, row in enumerate(self.rows, 2):
            for j, key in enumerate(keys, 1):
                value = row[key]
                cell = sheet.cell(i, j)
                cell.value = int(value) if key == "event" and str(value).isdigit() else value
                if isinstance(value, str) and value.startswith("=") and value != "=1/0*2":
                    cell.data_type = "s"
                if key == "id" and self.number_format:
                    cell.number_format = self.number_format
        book.save(path)


def _clean(kind: str, seed: int, layout: int) -> Case:
    rng = np.random.default_rng([seed, layout])
    n = int(rng.integers(18, 30))
    coding = CODINGS[rng.integers(len(CODINGS))]
    unit = str(rng.choice(list(FACTORS)))
    rows, truth = [], {}
    for i in range(n):
        patient = f"{i:03d}" if seed % 2 else f"P-{i}"
        time = float(np.round(rng.uniform(1, 60), 2))
        event = bool(rng.random() < 0.5)
        age = int(rng.integers(30, 85))
        stage = str(rng.choice(["I", "II", "III"]))
        rows.append(
            {
                "id": patient,
                "time": time,
                "event": coding[0] if event else coding[1],
                "age": age,
                "stage": stage,
                "note": "Zürich; Köln, Straße",
            }
        )
        truth[patient] = {
            "months": float(f"{time:.2f}") * FACTORS[unit],
            "event": event,
            "age": float(age),
            "stage": stage,
        }
    names = NAMES[seed % len(NAMES)]
    return Case(kind, rng, LAYOUTS[layout % len(LAYOUTS)], names, coding, unit, rows, truth)


def _some(case: Case, most: int = 4) -> np.ndarray:
    size = int(case.rng.integers(1, most + 1))
    return np.sort(case.rng.choice(len(case.rows), size, replace=False))


def _put(case: Case, column: str, values) -> None:
    """Put a bad text into some rows; the reader must name the column and all of the rows."""
    picked = _some(case)
    for i in picked:
        case.rows[i][column] = str(case.rng.choice(values))
    case.refuse(column, picked)


def clean(case):
    pass


def duplicate_identical(case):
    i = int(case.rng.integers(len(case.rows)))
    case.rows.append(dict(case.rows[i]))
    case.refuse("id", [i, len(case.rows) - 1])


def duplicate_conflicting(case):
    i = int(case.rng.integers(len(case.rows)))
    case.rows.append({**case.rows[i], "age": 99})
    case.refuse("id", [i, len(case.rows) - 1])


def negative_time(case):
    picked = _some(case)
    for i in picked:
        case.rows[i]["time"] = -float(case.rows[i]["time"])
    case.refuse("time", picked)


def zero_time(case):
    case.zero = str(case.rng.choice(["exclude", "keep"]))
    for i in _some(case):
        case.rows[i]["time"] = 0.0
        if case.zero == "exclude":
            case.leave_out(i, "no follow-up: time 0")
        else:
            case.truth[str(case.rows[i]["id"])]["months"] = 0.0


def text_time(case):
    _put(case, "time", ["twelve", "?", "n.a.", "12..5", "1 2", "0x10", "1_000", "١٢"])


def mixed_units(case):
    _put(case, "time", ["3 years", "14 mo", "400d", "2y", "12 Monate"])


def event_two(case):
    _put(case, "event", ["3", "9", "1.0", "Yes", "deceased", "1:Living"])


def not_a_number(case):
    _put(case, "time", ["NaN", "nan", "inf", "-inf", "1e999", "#N/A", "NULL"])


def declared_missing(case):
    case.missing = ("", "NA", "NaN", "-9")
    for i in _some(case):
        column = str(case.rng.choice(["time", "event", "age", "stage"]))
        case.rows[i][column] = str(case.rng.choice(["NaN", "-9", "", "NA"]))
        if column in {"time", "event"}:
            case.leave_out(i, f"{column} unknown")
        else:
            case.truth[str(case.rows[i]["id"])][column] = None


def missing_event(case):
    for i in _some(case):
        case.rows[i]["event"] = ""
        case.leave_out(i, "event unknown")


def date_for_time(case):
    _put(case, "time", ["2019-03-01", "01.03.2019", "3/1/2019", "März 2019"])


def date_cell_for_time(case):
    case.layout = LAYOUTS[7]
    picked = _some(case)
    for i in picked:
        case.rows[i]["time"] = datetime.datetime(2019, 3, int(i) + 1)
    case.refuse("time", picked)


def _rename(case, texts):
    for i, text in enumerate(texts):
        old = str(case.rows[i]["id"])
        case.rows[i]["id"] = text
        case.truth[text] = case.truth.pop(old)


def formula_like_id(case):
    _rename(case, ["=1+1", "+49", "-12b", "@home", "=cmd|' /C calc'!A0", "'quoted"])


def path_like_id(case):
    _rename(case, ["../../etc/passwd", "/root", "C:\\Temp", "a/b", "~", "con", "%00", "..", "a\\b"])


def unknown_level(case):
    _put(case, "stage", ["IV", "i", "1", "Stage I", "II ?"])


def text_covariate(case):
    _put(case, "age", ["old", "60 y", "sixty", "1968-01-01", "5O"])


def mixed_decimals(case):
    case.layout = LAYOUTS[1]
    for row in case.rows:
        row["time"] = str(row["time"] if row["time"] % 1 else row["time"] + 0.5).replace(".", ",")
    picked = _some(case)
    for i in picked:
        case.rows[i]["time"] = str(case.rows[i]["time"]).replace(",", ".")
    case.refuse("time", picked)


def ambiguous_thousands(case):
    case.layout = LAYOUTS[case.rng.choice([1, 3, 6])]
    picked = _some(case)
    for i, row in enumerate(case.rows):
        row["time"] = "1,234" if i in picked else "17"
    case.refuse("time", picked)


def thousands_in_a_comma_table(case):
    case.layout = LAYOUTS[case.rng.choice([0, 2])]
    _put(case, "time", ["1,234", "2,500"])


def _as_text(case, edit):
    keys = list(case.rows[0])
    lines = case.text(keys, [case.column[k] for k in keys]).split("\r\n")
    case.raw = "\r\n".join(edit(lines)).encode(case.layout[1])


def _text_layout(case):
    if case.layout[0] == ".xlsx":
        case.layout = LAYOUTS[0]


def short_row(case):
    _text_layout(case)
    i = int(case.rng.integers(len(case.rows)))
    separator = case.layout[3]

    def cut(lines):
        lines[i + 1] = separator.join(lines[i + 1].split(separator)[:3])
        return lines

    _as_text(case, cut)
    case.refuse("", [i])


def long_row(case):
    _text_layout(case)
    i = int(case.rng.integers(len(case.rows)))

    def add(lines):
        lines[i + 1] += case.layout[3] + "more"
        return lines

    _as_text(case, add)
    case.refuse("", [i])


def open_quote(case):
    _text_layout(case)
    i = int(case.rng.integers(len(case.rows)))

    def break_off(lines):
        lines[i + 1] = '"' + lines[i + 1].replace('"', "")
        return [line if k <= i + 1 else line.replace('"', "") for k, line in enumerate(lines)]

    _as_text(case, break_off)
    case.refuse("", [i])


def mixed_encodings(case):
    case.layout = LAYOUTS[0]
    i = int(case.rng.integers(1, len(case.rows)))
    _as_text(case, lambda lines: lines)
    lines = (case.raw or b"").split(b"\r\n")
    lines[i + 1] = lines[i + 1].decode("utf-8").encode("cp1252")
    case.raw = b"\r\n".join(lines)
    case.refuse("", [i])


def no_id(case):
    picked = _some(case)
    for i in picked:
        case.rows[i]["id"] = str(case.rng.choice(["", "  ", "NA"]))
    case.refuse("id", picked)


def unseen_letter_in_id(case):
    case.layout = LAYOUTS[case.rng.choice([0, 1, 2, 5, 7])]
    picked = _some(case)
    for i in picked:
        case.rows[i]["id"] = f"{case.rows[i]['id'][:2]}\u200b{i}"
    case.refuse("id", picked)


def column_twice(case):
    case.names = (*case.names[:5], case.names[3])
    case.refuse("age", [])


def column_absent(case):
    case.drop_column = str(case.rng.choice(["id", "time", "event", "age", "stage"]))
    case.refuse(case.drop_column, [])


def numeric_ids(case):
    """Excel keeps 7 and shows 007 by its number format: what is shown is the id."""
    case.layout = LAYOUTS[7]
    padded = bool(case.rng.random() < 0.5)
    case.number_format = "00000" if padded else "General"
    case.note_expected = not padded
    for i, row in enumerate(case.rows):
        meaning = case.truth.pop(str(row["id"]))
        row["id"] = i + 7
        case.truth[f"{i + 7:05d}" if padded else str(i + 7)] = meaning


def spoilt_ids(case):
    case.layout = LAYOUTS[7]
    picked = _some(case)
    for i in picked:
        spoilt = [datetime.datetime(2020, 1, int(i) + 1), 12.5 + i, 12345678901234567890 + int(i)]
        case.rows[i]["id"] = spoilt[case.rng.integers(3)]
    case.refuse("id", picked)


def formula_without_value(case):
    case.layout = LAYOUTS[7]
    i = int(case.rng.integers(len(case.rows)))
    case.rows[i]["time"] = "=1/0*2"
    case.refuse("", [i])


def _with_dates(case):
    case.dates = DateSettings(
        surgery="surgery",
        last_contact="contact",
        recurrence="back",
        death="dead",
        format="%d.%m.%Y",
    )
    for row in case.rows:
        start = datetime.date(2015, 1, 1) + datetime.timedelta(int(case.rng.integers(0, 900)))
        days = int(case.rng.integers(30, 1500))
        stop = start + datetime.timedelta(days)
        how = str(case.rng.choice(["back", "dead", "both", "none"]))
        later = stop + datetime.timedelta(40)
        row["surgery"] = f"{start:%d.%m.%Y}"
        row["back"] = f"{stop:%d.%m.%Y}" if how in {"back", "both"} else ""
        row["dead"] = {"dead": f"{stop:%d.%m.%Y}", "both": f"{later:%d.%m.%Y}"}.get(how, "")
        row["contact"] = f"{later if how == 'back' else stop:%d.%m.%Y}"
        truth = case.truth[str(row["id"])]
        truth["months"], truth["event"] = days * FACTORS["days"], how != "none"


def endpoint_from_dates(case):
    _with_dates(case)
    i, j, k = (int(x) for x in case.rng.choice(len(case.rows), 3, replace=False))
    case.rows[i]["surgery"] = "NA"
    case.leave_out(i, "surgery unknown")
    case.rows[j].update(back="NA")
    case.leave_out(j, "back unknown")
    case.rows[k].update(back="", dead="", contact="")
    case.leave_out(k, "contact unknown, and no event")


def dates_that_contradict(case):
    _with_dates(case)
    picked = _some(case)
    for i in picked:
        case.rows[i].update(surgery="01.01.2014", back="01.02.2016", dead="01.01.2016", contact="")
    case.refuse("back", picked)


def dates_of_another_format(case):
    _with_dates(case)
    column = str(case.rng.choice(["surgery", "back", "dead", "contact"]))
    _put(case, column, ["2016-02-01", "02/13/2016", "31.02.2016", "1.2.16", "42370"])


def all_censored(case):
    for row in case.rows:
        row["event"] = case.coding[1]
        case.truth[str(row["id"])]["event"] = False
    case.not_estimable = ("hazard_ratio", "concordance", "logrank", "univariable:age")


def one_event(case):
    all_censored(case)
    i = int(np.argmin([row["time"] for row in case.rows]))
    case.rows[i]["event"] = case.coding[0]
    case.truth[str(case.rows[i]["id"])]["event"] = True
    case.not_estimable = ("median", "hazard_ratio")


def one_group_empty(case):
    case.groups = "one"
    case.not_estimable = ("hazard_ratio", "logrank", "group:high")


def constant_covariate(case):
    for row in case.rows:
        row["age"], row["stage"] = 60, "II"
        case.truth[str(row["id"])].update(age=60.0, stage="II")
    case.not_estimable = ("univariable:age", "univariable:stage")


def collinear_covariates(case):
    for row in case.rows:
        row["age"] = {"I": 40, "II": 50, "III": 60}[str(row["stage"])]
        case.truth[str(row["id"])]["age"] = float(row["age"])
    case.not_estimable = ("multivariable",)


KINDS = (
    clean,
    duplicate_identical,
    duplicate_conflicting,
    negative_time,
    zero_time,
    text_time,
    mixed_units,
    event_two,
    not_a_number,
    declared_missing,
    missing_event,
    date_for_time,
    date_cell_for_time,
    formula_like_id,
    path_like_id,
    unknown_level,
    text_covariate,
    mixed_decimals,
    ambiguous_thousands,
    thousands_in_a_comma_table,
    short_row,
    long_row,
    open_quote,
    mixed_encodings,
    no_id,
    unseen_letter_in_id,
    column_twice,
    column_absent,
    numeric_ids,
    spoilt_ids,
    formula_without_value,
    endpoint_from_dates,
    dates_that_contradict,
    dates_of_another_format,
    all_censored,
    one_event,
    one_group_empty,
    constant_covariate,
    collinear_covariates,
)


def cases(n: int, seed: int) -> list[Case]:
    """Make n tables: every kind of fault in turn, over every way of writing a table."""
    made = []
    for k in range(n):
        case = _clean(KINDS[k % len(KINDS)].__name__, seed + k, k + k // len(KINDS))
        KINDS[k % len(KINDS)](case)
        made.append(case)
    return made

"""init: what the texts of an event mean for an endpoint, which rows are patients, which days are ends."""

from datetime import date, timedelta
from itertools import permutations

import pandas as pd
import pytest

from jecur.intake.event import yes_and_no
from jecur.intake.propose import Sources, propose

N = 24
RFS, TTR, OS, DSS = (
    "recurrence-free survival",
    "time to recurrence",
    "overall survival",
    "disease-specific survival",
)
SAID = {  # text -> whether the event of RFS, TTR, OS and DSS happened; None: it does not tell
    "recurrence": (True, True, None, None),
    "Rezidiv": (True, True, None, None),
    "Recurred/Progressed": (True, True, None, None),
    "no recurrence": (False, False, None, None),
    "recurrence-free": (False, False, None, None),
    "Rezidivfrei": (False, False, None, None),
    "kein Rezidiv": (False, False, None, None),
    "sans r\u00e9cidive": (False, False, None, None),
    "sin recidiva": (False, False, None, None),
    "DiseaseFree": (False, False, None, None),
    "no evidence of disease": (False, False, None, None),
    "died of other cause": (True, None, True, None),
    "died without recurrence": (True, None, True, None),
    "dead of disease": (True, None, True, True),
    "dead of recurrence": (True, True, True, True),
    "verstorben": (True, None, True, None),
    "alive with disease": (None, None, False, False),
    "alive without disease": (False, False, False, False),
    "alive with recurrence": (True, True, False, False),
    "lebt": (False, False, False, False),
    "alive or dead tumor free": (None, None, None, None),
    "no follow-up": (None, None, None, None),
    "no slide": (None, None, None, None),
    "lost to follow-up": (None, None, None, None),
    "transplanted": (None, None, None, None),
    "censored": (False, False, False, False),
    "event": (True, True, None, None),
    "no event": (False, False, None, None),
}


@pytest.mark.parametrize("text", SAID)
@pytest.mark.parametrize("code", ["", "0:", "1:", "1: ", "2:", "0 = "])
def test_a_text_is_the_event_of_the_endpoint_that_it_tells_or_of_none(text, code):
    for kind, meant in zip((RFS, TTR, OS, DSS), SAID[text], strict=True):
        coded = {"0": False, "1": True}.get(code[:1])
        plain = True if text == "event" else False if text == "censored" else meant
        expected = coded if plain is None else plain if coded in (None, plain) else None
        yes, no = yes_and_no([code + text, "something else"], kind)
        assert (bool(yes), bool(no)) == (expected is True, expected is False), kind


BARE = [
    ("yes", "no"), ("Ja", "Nein"), ("oui", "non"), ("s\u00ed", "no"), ("s\u00ec", "no"), ("Sim", "N\u00e3o"),
    ("\u662f", "\u5426"), ("\u6709", "\u65e0"), ("\u3042\u308a", "\u306a\u3057"), ("TRUE", "FALSE"),
    ("wahr", "falsch"), ("Y", "N"), ("tak", "nie"), ("\u0434\u0430", "\u043d\u0435\u0442"),
]  # fmt: skip


@pytest.mark.parametrize(("yes", "no"), BARE)
def test_yes_and_no_are_known_in_many_languages(yes, no):
    for kind in (RFS, TTR, OS, DSS):
        for levels in permutations((yes, no)):
            assert yes_and_no(levels, kind) == ([yes], [no])


@pytest.mark.parametrize(("one", "other"), [("Alive", "Dead"), ("0:LIVING", "1:DECEASED")])
def test_life_and_death_alone_are_the_event_and_its_absence(one, other):
    for kind in (RFS, OS):
        assert yes_and_no((one, other), kind) == ([other], [one])


def _proposed(folder, columns, answers, below=""):
    (folder / "slides").mkdir(exist_ok=True)
    frame = pd.DataFrame(columns)
    (folder / "clinic.csv").write_text(frame.to_csv(index=False) + below)
    return propose(Sources(folder / "clinic.csv", folder / "slides", folder / "study"), answers)


def _columns(ids, **more):
    time = [k + 1.5 for k in range(N)]
    return {"Patient": ids, "TTR_months": time, "Recurrence": ["yes", "no"] * (N // 2), **more}


@pytest.mark.parametrize(
    "levels",
    [
        ("recurrence", "no recurrence", "died of other cause"), ("1:Censored", "0:Event"),
        ("recurrence", "no follow-up"), ("alive with disease", "no recurrence", "recurrence"),
    ],
)  # fmt: skip
def test_a_coding_that_does_not_tell_the_endpoint_throughout_is_asked_about(tmp_path, levels):
    columns = _columns([f"P{k}" for k in range(N)])
    columns["Recurrence"] = [levels[k % len(levels)] for k in range(N)]
    answers = {"time": "TTR_months", "endpoint": TTR}
    assert "event_values" in {q.key for q in _proposed(tmp_path, columns, answers).open}


NAMED = {
    "names": (["Meier", "Huber", "Sommer", "Note", "Summer", "Mean"], "Summerer"),
    "numbers apart by a colon": ([f"LIV:{k}" for k in range(6)], "LIV:7"),
    "numbers apart by an equals sign": ([f"n={k}" for k in range(6)], "n=9"),
    "numbers": ([f"P{k:03}" for k in range(6)], "P999"),
}


@pytest.mark.parametrize("ids", NAMED)
@pytest.mark.parametrize("second", [False, True])
def test_a_nearly_empty_row_named_as_the_others_are_is_asked_about(tmp_path, ids, second):
    names, last = NAMED[ids]
    letters = "abcdefghijklmnopqr"  # a name more than once gets a letter or a number behind it
    names = [
        name + ("" if k < 6 else letters[k - 6] if name.isalpha() else str(k))
        for k, name in enumerate(names * 4)
    ]
    more = {f"x{k}": range(N) for k in range(5)}
    columns = _columns(names, **more)
    below = f"{last}{',' * (len(columns) - 1)}\n"
    if second:
        columns = {"Comment": ["seen"] + [""] * (N - 1), **columns}
        below = "," + below
    assert "ignored_rows" in {q.key for q in _proposed(tmp_path, columns, {}, below).open}


@pytest.mark.parametrize(
    "note",
    ["Legend: n.d. = not determined", "Total", "* AFP at surgery", "n = 24", "Source: registry"],
)
def test_a_note_below_the_table_is_no_patient(tmp_path, note):
    columns = _columns([f"P{k}" for k in range(N)], a=range(N), b=range(N))
    found = _proposed(tmp_path, columns, {}, f"{note}{',' * (len(columns) - 1)}\n")
    assert "ignored_rows" not in {q.key for q in found.open}
    assert found.study["cohort"]["format"]["ignored_rows"] == (N + 2,)


def _dated(share, death):
    start = [date(2010, 1, 1) + timedelta(30 * k) for k in range(N)]
    end = [day + timedelta(900 + k) for k, day in enumerate(start)]
    return {
        "Patient": [f"P{k}" for k in range(N)],
        "Date of surgery": start,
        death: [day if k < share * N else None for k, day in enumerate(end)],
        "Last contact": end,
    }


@pytest.mark.parametrize("share", [0.25, 0.5, 0.95, 1.0])
@pytest.mark.parametrize(
    "heading", ["Date of death", "Vital status date", "Todestag", "Date of death or last follow-up"]
)
def test_a_day_of_death_in_nearly_every_row_may_be_the_end_of_follow_up(tmp_path, heading, share):
    found = _proposed(tmp_path, _dated(share, heading), {"last_contact": "Last contact"})
    asked = {q.key for q in found.open}
    assert ("death" in asked) == (share > 0.9 or "follow-up" in heading)


@pytest.mark.parametrize("odd", ["12 ng/ml", "1'200", "approx 5"])
def test_a_text_among_the_numbers_of_a_factor_is_not_unknown_unless_it_says_so(tmp_path, odd):
    afp = [10.5 + k for k in range(N)]
    columns = _columns([f"P{k}" for k in range(N)], AFP=[odd, "n.d.", *afp[2:]])
    key = "missing_values:AFP"
    found = _proposed(tmp_path, columns, {"kind:AFP": "numeric"})
    assert key in {q.key for q in found.open}
    for answer, missing in (("", ["", "n.d."]), (odd, ["", "n.d.", odd])):
        found = _proposed(tmp_path, columns, {"kind:AFP": "numeric", key: answer})
        assert key not in {q.key for q in found.open}
        (factor,) = found.study["cohort"]["covariates"]
        assert factor["missing_values"] == missing


@pytest.mark.parametrize(
    ("heading", "asked"),
    [
        ("Last contact", False), ("Date last seen", False), ("Letzter Kontakt", False),
        ("Last AFP date", True),
        ("Last CT", True), ("Date of last chemotherapy", True), ("Last treatment", True),
    ],
)  # fmt: skip
def test_the_last_day_of_something_may_not_be_the_last_contact(tmp_path, heading, asked):
    columns = _dated(0.5, "Date of death")
    columns[heading] = columns.pop("Last contact")
    found = _proposed(tmp_path, columns, {"follow_up": "dates", "surgery": "Date of surgery"})
    assert ("last_contact" in {q.key for q in found.open}) == asked


@pytest.mark.parametrize(
    ("second", "cells", "asked"),
    [
        ("Study code", [f"LIV-{k * 7 % 97:03}" for k in range(N)], True),
        ("Pseudonym of the biobank", [f"{1000 + 37 * k % 911}" for k in range(N)], True),
        ("AFP", [f"{k}.5" for k in range(N)], False),
        ("Comment", [f"seen by {'abcdefgh'[k % 8] * (k + 1)}" for k in range(N)], False),
        ("Sex", ["m", "f"] * (N // 2), False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("running", [True, False])
def test_a_running_number_beside_names_is_not_surely_the_patient(
    tmp_path, second, cells, asked, running
):
    ids = [k + 1 for k in range(N)] if running else [3 * k + 1 for k in range(N)]
    columns = {"Nr": ids, second: cells, "TTR_months": [k + 1.5 for k in range(N)]}
    found = _proposed(tmp_path, columns, {})
    said = "pseudonym" in second.casefold()  # its heading alone makes two that could be
    assert ("patient" in {q.key for q in found.open}) == ((asked and running) or said)

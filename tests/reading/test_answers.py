"""The file of answers: it only grows, a torn line was never an answer, and nothing else is taken."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jecur.errors import RunFolderError, SettingsError
from jecur.reading.answers import Answer, AnswerFile, checked_answer
from jecur.reading.order import Look, ReviewOrder

LOOKS = tuple(Look(f"{k:016x}", f"t{k % 8}", again=k >= 8) for k in range(9))
ORDER = ReviewOrder(reviewer="AB", begun="2026-01-01T00:00:00+00:00", looks=LOOKS)
FEATURES = ("stroma", "atypia")
YES = Answer({"stroma": "present", "atypia": "cannot judge"}, "ä = ?", 1.25)


def test_answers_are_read_back_and_undone(tmp_path):
    path = tmp_path / "answers.jsonl"
    file = AnswerFile(path, ORDER, FEATURES)
    assert file.next_look == 0
    for k in range(3):
        file.say(LOOKS[k].id, YES)
    file.take_back(LOOKS[2].id)
    again = AnswerFile(path, ORDER, FEATURES)
    assert again.answers == {LOOKS[0].id: YES, LOOKS[1].id: YES}
    assert again.next_look == 2
    assert len(path.read_bytes().splitlines()) == 4  # that it was given stays
    assert path.stat().st_mode & 0o077 == 0


def test_every_cut_of_the_file_is_a_review_up_to_there(tmp_path):
    """Wherever a killed process stopped writing, whole lines count and the rest is written over."""
    path = tmp_path / "answers.jsonl"
    file = AnswerFile(path, ORDER, FEATURES)
    for look in LOOKS[:3]:
        file.say(look.id, YES)
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        found = AnswerFile(path, ORDER, FEATURES)
        n = whole[:cut].count(b"\n")
        assert found.next_look == n
        found.say(LOOKS[n].id, YES)
        assert AnswerFile(path, ORDER, FEATURES).next_look == n + 1
        assert [json.loads(line)["look"] for line in path.read_bytes().splitlines()] == [
            look.id for look in LOOKS[: n + 1]
        ]


@pytest.mark.parametrize(
    "line",
    [b"{}", b"[]", b"null", b'{"look": "x"}', b'{"undo": "x"}', b"\xff", b'{"look": ["x"]}'],
)
def test_a_line_that_is_no_answer_is_refused(tmp_path, line):
    path = tmp_path / "answers.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(RunFolderError, match="line 1") as said:
        AnswerFile(path, ORDER, FEATURES)
    assert said.value.code == "damaged-review"


GOOD = {"stroma": "present", "atypia": "absent"}


@pytest.mark.parametrize(
    ("judged", "comment", "seconds"),
    [
        ({"stroma": "present"}, "", 1),
        (GOOD | {"necrosis": "absent"}, "", 1),
        (GOOD | {"atypia": "high"}, "", 1),
        (GOOD | {"atypia": None}, "", 1),
        (GOOD | {"atypia": ["absent"]}, "", 1),
        (None, "", 1),
        ("present", "", 1),
        (GOOD, None, 1),
        (GOOD, "x" * 2_001, 1),
        (GOOD, "", -1),
        (GOOD, "", float("nan")),
        (GOOD, "", float("inf")),
        (GOOD, "", True),
        (GOOD, "", "1"),
        (GOOD, "", None),
    ],
)
def test_what_is_no_answer_is_refused(judged, comment, seconds):
    with pytest.raises(SettingsError, match="expected"):
        checked_answer(judged, comment, seconds, FEATURES)


def test_an_answer_is_taken():
    assert checked_answer(GOOD, "x", 0, FEATURES) == Answer(GOOD, "x", 0.0)


@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_every_comment_can_be_written_and_whole_ones_stay(comment):
    kept = checked_answer(GOOD, comment, 0, FEATURES).comment
    kept.encode("utf-8")
    if not any("\ud800" <= letter <= "\udfff" for letter in comment):
        assert kept == comment


@pytest.mark.parametrize(
    "seconds", [10**400, -(10**400), float("nan"), float("inf"), -1, True, "1"]
)
def test_seconds_that_no_look_takes_are_refused(seconds):
    with pytest.raises(SettingsError, match="seconds of a look"):
        checked_answer({"a": "present"}, "", seconds, ["a"])

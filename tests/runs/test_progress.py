"""What long work says: a line a minute with done, all, rate and time left; every note; the log alike."""

import json

import pytest

from jecur.runs.folder import RunFolder
from jecur.runs.progress import LineProgress, LoggedProgress, SilentProgress


class _Time:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def _work(progress, time, steps, seconds_a_step, title="Preparing slides"):
    with progress.task(title, steps) as advance:
        for _ in range(steps):
            time.s += seconds_a_step
            advance()


@pytest.mark.parametrize(("step_s", "said"), [(1.0, 10), (7.0, 66), (90.0, 600), (0.01, 0)])
def test_a_line_a_minute_however_long_a_step_is(step_s, said):
    time, lines = _Time(), []
    _work(LineProgress(lines.append, now=time), time, 600, step_s)
    assert lines[0] == "Preparing slides: 600 to do"
    assert lines[-1].startswith("Preparing slides: 600 of 600 in ")
    assert len(lines) == said + 2


def test_a_line_says_stage_done_all_rate_and_time_left():
    time, lines = _Time(), []
    _work(LineProgress(lines.append, now=time), time, 90, 2.0)
    assert lines == [
        "Preparing slides: 90 to do",
        "Preparing slides: 30 of 90, 30 a minute, about 2 min left",
        "Preparing slides: 60 of 90, 30 a minute, about 60 s left",
        "Preparing slides: 90 of 90, 30 a minute, about 0 s left",
        "Preparing slides: 90 of 90 in 3 min",
    ]


def test_every_note_is_a_line_and_nothing_to_do_says_nothing():
    time, lines = _Time(), []
    progress = LineProgress(lines.append, now=time)
    _work(progress, time, 0, 1.0)
    assert lines == []
    with progress.task("Training", 2) as advance:
        for epoch in (1, 2):
            time.s += 3.0
            advance()
            progress.note(f"epoch {epoch}")
    assert lines == [
        "Training: 2 to do",
        "Training: epoch 1, about 3 s left",
        "Training: epoch 2, about 0 s left",
        "Training: 2 of 2 in 6 s",
    ]


def test_the_log_holds_the_same_and_its_chain_is_whole(tmp_path):
    run, time = RunFolder.open(tmp_path / "run"), _Time()
    progress = LoggedProgress(SilentProgress(), run.log, now=time)
    _work(progress, time, 90, 2.0)
    _work(progress, time, 0, 2.0, "Scoring patients")
    with progress.task("Training", 1) as advance:
        progress.note("epoch 1, loss 0.5")
        time.s += 4.0
        advance()
    events = [json.loads(line) for line in (run.root / "log.jsonl").read_text().splitlines()]
    told = [(e["stage"], e.get("done", e.get("text"))) for e in events if "stage" in e]
    assert told == [
        *[("Preparing slides", n) for n in (30, 60, 90, 90)],
        ("Training", "epoch 1, loss 0.5"),
        ("Training", 1),
    ]
    assert events[0]["of"] == 90
    assert events[0]["per_minute"] == 30
    assert events[0]["left_s"] == 120


def test_an_error_passes_through_and_nothing_is_said_to_be_done():
    time, lines = _Time(), []
    progress = LineProgress(lines.append, now=time)
    with pytest.raises(ValueError, match="stop"), progress.task("Training", 3):
        raise ValueError("stop")
    assert lines == ["Training: 3 to do"]
    progress.note("nobody's")
    assert lines == ["Training: 3 to do"]

"""How far a run is: from its log and lock alone, at any moment."""

import pytest

from jecur.cli import OK, USER_ERROR, run
from jecur.errors import RunFolderError
from jecur.runs.folder import RunFolder
from jecur.runs.progress import LoggedProgress, SilentProgress
from jecur.runs.shared_results import SlideResult
from jecur.runs.status import _slides, read_status


def _begin(folder):
    made = RunFolder.open(folder)
    made.log("study", name="s")
    made.log("slide", slide="a", status="failed")
    made.log("slide", slide="b", status="ok")
    return made


def test_a_run_in_progress_tells_what_is_done_and_left(tmp_path):
    time = [0.0]
    made = _begin(tmp_path / "run")
    progress = LoggedProgress(SilentProgress(), made.log, now=lambda: time[0])
    with progress.task("Preparing slides", 10) as advance:
        for _ in range(4):
            time[0] += 30.0
            advance()
        found = read_status(made.root)
        assert found.running
        assert not found.ended
        assert found.slides == {"failed": 1, "ok": 1}
        assert found.failed == ("a",)
        (stage,) = found.stages
        assert (stage.stage, stage.done, stage.of) == ("Preparing slides", 4, 10)
        assert stage.left_s == pytest.approx(180)


def test_a_slide_counts_as_it_ended_last_and_an_ended_run_says_so(tmp_path):
    made = _begin(tmp_path / "run")
    made.log("slide", slide="a", status="ok")
    made.write_manifest({"command": "run"})
    root = made.root
    found = read_status(root)
    assert found.slides == {"ok": 2}
    assert found.ended
    made.log("study", name="s")  # the same command again
    assert not read_status(root).ended


def test_nothing_is_written_and_another_folder_is_no_run(tmp_path, capsys):
    root = _begin(tmp_path / "run").root
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    assert run(["status", str(root)]) == OK
    assert "stopped" in capsys.readouterr().out
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before
    with pytest.raises(RunFolderError):
        read_status(tmp_path)
    assert run(["status", str(tmp_path)]) == USER_ERROR


def test_a_finished_study_is_said_to_have_ended(tiny_run, capsys):
    assert run(["status", str(tiny_run)]) == OK
    shown = capsys.readouterr().out
    assert "ended" in shown
    assert "Preparing slides: 6 of 6" in shown
    assert "Scoring slides: 10 of 10" in shown
    assert "failed: V-0016" in shown


@pytest.mark.parametrize(
    ("logged", "status"),
    [("10:00:00", "ok"), ("10:00:01", "ok"), ("09:59:59", "failed")],
    ids=["same second", "later", "earlier"],
)
def test_a_slide_tried_again_within_the_second_has_ended_as_the_log_says(logged, status):
    events = ({"event": "slide", "slide": "a", "at": f"2026-01-01T{logged}+00:00", "status": "ok"},)
    result = SlideResult("a", "m", "failed", 1.0, "h", 1, {}, at="2026-01-01T10:00:00.512+00:00")
    assert _slides(events, {"a": result}) == {"a": status}

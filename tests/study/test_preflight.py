"""Everything that a study lacks is said before the first slide, all at once, and nothing is written."""

import re
from pathlib import Path

import msgspec
import pytest

from jecur.cli import OK, SOME_FAILED, USER_ERROR, run
from jecur.errors import JecurError
from jecur.runs.progress import LineProgress, SilentProgress
from jecur.settings import CrossvalSettings, read_study
from jecur.study import expected, needs
from jecur.study.preflight import Plan, look_over, require_ready


@pytest.fixture
def study(tiny_study, tmp_path) -> Path:
    """The tiny study under a folder of the test's own; its slides stay where they are."""
    text = tiny_study.read_text()
    slides, table = tiny_study.parent / "slides", tiny_study.parent / "clinical.csv"
    text = text.replace('slide_folder = "slides"', f'slide_folder = "{slides}"')
    (tmp_path / "clinical.csv").write_bytes(table.read_bytes())
    (tmp_path / "study.toml").write_text(text)
    return tmp_path / "study.toml"


def plan(study: Path, purpose="run", **changes) -> Plan:
    values = {"out": study.parent / "out", **changes}
    return Plan(read_study(study), study.parent, purpose, **values)


def change(study: Path, *pairs: tuple[str, str], file="study.toml") -> None:
    path = study.parent / file
    text = path.read_text()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)


def codes(study: Path, purpose="run", **changes) -> list[str]:
    found = look_over(plan(study, purpose, **changes), SilentProgress(), trial=False)
    return [f.code for f in found.findings if f.severity == "error"]


def refused(study: Path, capsys, command="run", *more: str) -> str:
    out = study.parent / "out"
    assert run([command, str(study), "--out", str(out), "-j", "1", *more]) == USER_ERROR
    assert not out.exists()
    return " ".join(capsys.readouterr().err.split())


def test_a_sound_study_is_told_what_it_will_take(study, monkeypatch):
    monkeypatch.setattr(expected, "_TRIALS", {})  # as in a process that tried none
    lines: list[str] = []
    found = look_over(plan(study), LineProgress(lines.append))
    assert lines[0] == "Trying slides: 2 to do"
    assert not [f for f in found.findings if f.severity == "error"]
    assert found.outcomes[0].startswith("training: 6 patients")
    assert found.expected is not None
    assert found.expected.tried == 2
    assert 20 < found.expected.n_tiles < 2000
    # of validation patients, 10 of the 16, no tile is kept
    assert found.expected.disk_bytes == pytest.approx(
        found.expected.n_tiles * (6 * 4 * 224**2 + 10 * 100) / 16 + 1e6 * found.expected.n_slides,
        rel=0.05,
    )
    assert found.expected.preparing_s > 0
    assert found.expected.training_s > 0
    assert not (study.parent / "out").exists()


@pytest.mark.parametrize("preset", ["paper", "jecur", "chowder", "coudray", "scnn"])
def test_the_time_of_every_recipe_can_be_told(study, preset):
    training = read_study(study, preset=preset).training
    training = training.with_changes(encoder="mobilenetv2_035", start="random", epochs=5)
    short, long = (
        expected.training_seconds(training.with_changes(epochs=n), 64, 200, 10, None)
        for n in (5, 500)
    )
    assert 0 < short < long


def test_a_misspelt_slide_folder_is_said_before_anything_is_written(study, capsys):
    text = study.read_text()
    (study.parent / "slides").mkdir()
    line = next(line for line in text.splitlines() if line.startswith("slide_folder"))
    change(study, (line, 'slide_folder = "slide"'))
    said = refused(study, capsys)
    assert "[missing-folder]" in said
    assert "(there are: slides)" in said


@pytest.mark.parametrize("command", ["run", "train", "crossval"])
def test_missing_torch_is_said_before_anything_is_written(study, capsys, monkeypatch, command):
    there = needs._is_installed
    monkeypatch.setattr(needs, "_is_installed", lambda name: name != "torch" and there(name))
    assert "[no-torch]" in refused(study, capsys, command)


def test_missing_h5py_is_said_before_anything_is_written(study, capsys, monkeypatch):
    monkeypatch.setattr(needs, "_is_installed", lambda name: name != "h5py")
    change(study, (".tiff", ".h5"), file="clinical.csv")
    said = refused(study, capsys)
    assert "[no-h5py]" in said
    assert "[missing-file]" in said  # all at once


def test_no_roles_offers_both_ways_out(study, capsys):
    change(study, ('role = "role"', 'role = ""'))
    said = refused(study, capsys)
    assert "[no-roles]" in said
    assert "[cohort.split]" in said
    assert "jecur crossval" in said
    assert codes(study, "crossval", division=CrossvalSettings(folds=2)) == []


def test_a_role_column_that_is_not_there_offers_both_ways_out(study, capsys):
    change(study, ('role = "role"', 'role = "cohort"'))
    said = refused(study, capsys)
    assert "[cohort.split]" in said
    assert "jecur crossval" in said


def test_no_validation_patients_are_said_at_once(study, capsys):
    change(study, (",validation,", ",training,"), file="clinical.csv")
    assert "[no-roles]" in refused(study, capsys)
    assert codes(study, "train") == []


def test_roles_drawn_by_the_study_serve_and_stand_in_the_run(study, tmp_path):
    change(study, ('role = "role"', 'role = ""'))
    with study.open("a") as stream:
        stream.write("\n[cohort.split]\nvalidation_fraction = 0.4\n")
    found = look_over(plan(study), SilentProgress(), trial=False)
    assert not [f for f in found.findings if f.severity == "error"]
    assert [line.split(":")[0] for line in found.outcomes] == ["training", "validation"]


def test_outcomes_of_every_fold_are_counted(study):
    found = look_over(
        plan(study, "crossval", division=CrossvalSettings(folds=2)), SilentProgress(), trial=False
    )
    counts = [int(line.split(": ")[1].split()[0]) for line in found.outcomes]
    assert len(counts) == 2
    assert sum(counts) == 6
    assert codes(study, "crossval", division=CrossvalSettings(folds=9)) == ["too-few-patients"]


def test_too_little_disk_is_refused_before_anything_is_written(study, capsys, monkeypatch):
    for module in (needs, expected):
        monkeypatch.setattr(module, "free_bytes", lambda _: 1_000_000)
    said = refused(study, capsys)
    assert "[disk-full]" in said
    assert "0.001 GB" in said


def test_everything_comes_in_one_list(study, capsys, monkeypatch):
    monkeypatch.setattr(needs, "_is_installed", lambda name: name != "timm")
    change(study, ('start = "builtin"', 'start = "gone.safetensors"'))
    change(study, ("validation", "validatoin"), file="clinical.csv")
    with pytest.raises(JecurError) as told:
        require_ready(plan(study), SilentProgress())
    said = {part.code for part in told.value.parts}
    assert said == {"no-torch", "missing-file", "bad-table"}
    assert refused(study, capsys).count("error:") == 3


def test_a_prepared_study_is_not_tried_again(tiny_run, tiny_study):
    found = look_over(
        Plan(read_study(tiny_study), tiny_study.parent, "run", tiny_run), SilentProgress()
    )
    assert found.expected is None or found.expected.n_slides <= 2  # the two faulty slides


def test_a_doctor_takes_a_study_file_and_lists_what_a_run_would_refuse(study, capsys):
    change(study, ('role = "role"', 'role = ""'))
    code = run(["doctor", str(study)])
    out = " ".join(capsys.readouterr().out.split())
    assert code == SOME_FAILED  # a text file as a slide
    assert "[not-a-slide]" in out
    assert "[no-roles]" in out
    assert "jecur crossval takes everybody" in out
    assert "Expected on this machine" in out
    assert "repeat 1, fold 1" in out or "[too-few-patients]" in out


def test_a_doctor_without_anything_wrong_is_content(study, capsys):
    lines = (study.parent / "clinical.csv").read_text().splitlines()
    kept = [line for line in lines if "V-0015" not in line and "V-0016" not in line]
    (study.parent / "clinical.csv").write_text("\n".join(kept) + "\n")
    for named in ([str(study)], ["--study", str(study)]):
        assert run(["doctor", *named]) == OK
        assert "training: 6 patients" in capsys.readouterr().out
    assert run(["doctor"]) == USER_ERROR


def test_results_of_another_recipe_are_said_before_the_first_slide(tiny_run, tiny_study):
    settings = read_study(tiny_study, preset=None)
    other = settings.training.with_changes(epochs=2)
    changed = msgspec.structs.replace(settings, training=other)
    for study, purpose, expected_codes in (
        (settings, "run", set()),
        (changed, "run", {"other-recipe"}),
        (changed, "train", set()),
        (settings, "crossval", {"other-recipe"}),
    ):
        found = look_over(
            Plan(study, tiny_study.parent, purpose, tiny_run), SilentProgress(), trial=False
        )
        said = {f.code for f in found.findings if f.severity == "error"}
        assert said - {"too-few-patients", "labels-all-alike"} == expected_codes, purpose


def test_training_that_goes_to_a_file_says_each_epoch(tiny_study, tmp_path, capsys):
    pytest.importorskip("torch", reason="needs the extra: train")
    code = run(["train", str(tiny_study), "--out", str(tmp_path / "out"), "-j", "1"])
    said = capsys.readouterr().err.splitlines()  # no terminal: as in a file
    assert code in {OK, SOME_FAILED}
    assert any(line.startswith("Expected on this machine: ") for line in said)
    assert any(re.match(r"Preparing slides: \d+ of \d+ in ", line) for line in said)
    assert any(re.match(r"Training: epoch 1, loss \d", line) for line in said)

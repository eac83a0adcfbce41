"""What a second command leaves of the results that are in its folder: all of them, or it does not begin."""

import json
import shutil
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from tests.runs.test_refusals import _study

from jecur.cli import OK, USER_ERROR, run
from jecur.cohort.cohort import Patient, SlideEntry
from jecur.demo import study_of_virtual_cohort
from jecur.errors import RunFolderError
from jecur.pipeline import prepare_alone, run_study, train_study, validate_study
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.runs.verify import verify_run
from jecur.settings import (
    CrossvalSettings,
    StatisticsSettings,
    TrainingSettings,
    read_study,
    write_study,
)
from jecur.study.cross_validate import cross_validate, take_away_other_folds
from jecur.study.each_nucleus import prepared_tasks
from jecur.study.folds import part_name
from jecur.study.model_name import refuse_other_crossval
from jecur.study.nuclear_feature_files import slides_with_bags
from jecur.study.shared_work import work_along

pytest.importorskip("torch", reason="needs the extra: train")
pytest.importorskip("h5py", reason="needs the extra: features")

TABLES = ("slides.csv", "scores.csv", "report.html", "study.toml", "follow_up.csv")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A study of features, and its finished run."""
    folder = tmp_path_factory.mktemp("beside")
    path = _study(folder / "study", patients=12, tiles=4)
    study = msgspec.structs.replace(
        read_study(path),
        training=TrainingSettings.from_flat(preset="jecur", epochs=1),
        statistics=StatisticsSettings(horizons_months=(12.0,), n_bootstrap=0, n_optimism=0),
    )
    path.write_text(write_study(study))
    assert _do("run", folder) == OK
    return folder


@pytest.fixture
def folder(finished, tmp_path) -> Path:
    return shutil.copytree(finished, tmp_path / "copy")


def _do(command: str, folder: Path, *more: str) -> int:
    study = str(folder / "study" / "study.toml")
    return run([command, study, "--out", str(folder / "run"), "-j", "1", *more])


def _call_it(folder: Path, command: str) -> None:
    """Say that what is in the run folder are the results of another command."""
    manifest = folder / "run" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"command": command}))


def _tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "run" / name).read_bytes() for name in TABLES}


def _edit(folder: Path, old: str, new: str) -> None:
    path = folder / "study" / "study.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("command", ["prepare", "train"])
def test_a_command_beside_a_finished_run_leaves_its_tables(folder, command):
    before = _tables(folder)
    assert _do(command, folder) == OK
    _edit(folder, "epochs = 1", "epochs = 2")
    assert _do(command, folder) == OK
    assert _tables(folder) == before
    assert len(list((folder / "run" / "models").glob("*.jecur"))) == 1 + (command == "train")
    facts = json.loads((folder / "run" / "manifest.json").read_text())
    assert (facts["command"], facts["study"]["training"]["optimizer"]["epochs"]) == ("run", 1)
    assert verify_run(folder / "run", threads=1).whole


def test_the_model_of_a_report_does_not_become_another_without_it(folder, capsys):
    path = folder / "study" / "clinical.csv"
    table = pd.read_csv(path)
    table.loc[1, "months"] = 19.5
    table.to_csv(path, index=False)
    model = next((folder / "run" / "models").glob("*.jecur"))
    before = model.read_bytes()
    assert _do("train", folder) == USER_ERROR
    assert "[other-recipe]" in capsys.readouterr().err
    assert model.read_bytes() == before


@pytest.mark.parametrize("command", ["prepare", "train"])
def test_slides_of_a_finished_run_are_not_prepared_by_other_settings(folder, command, capsys):
    _edit(folder, "n_pixels = 20000", "n_pixels = 20001")
    assert _do(command, folder) == USER_ERROR
    assert "[other-recipe]" in capsys.readouterr().err


def test_a_cross_validation_goes_on_from_prepared_slides(folder):
    study = read_study(folder / "study" / "study.toml")
    for command in ("prepare", "crossval"):
        _call_it(folder, command)
        refuse_other_crossval(study, RunFolder(folder / "run"))


def test_a_study_edited_between_two_preparations_is_in_the_manifest_as_it_is_now(folder):
    _call_it(folder, "prepare")
    _edit(folder, "epochs = 1", "epochs = 2")
    assert _do("prepare", folder) == OK
    facts = json.loads((folder / "run" / "manifest.json").read_text())
    assert facts["command"] == "prepare"
    assert facts["study"]["training"]["optimizer"]["epochs"] == 2


@pytest.mark.parametrize("other", ["score", "evaluate", "compare", "features", "tissue train"])
def test_no_command_on_a_study_writes_over_the_results_of_another(folder, other):
    root = folder / "run"
    _call_it(folder, other)
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name[0] != "."}
    study = read_study(folder / "study" / "study.toml")
    model = next((root / "models").glob("*.jecur"))
    opened, where, silent = RunFolder.open(root), folder / "study", SilentProgress()
    for begin in (
        lambda: run_study(study, where, opened, workers=1, progress=silent),
        lambda: train_study(study, where, opened, workers=1, progress=silent),
        lambda: prepare_alone(study, where, opened, workers=1, progress=silent),
        lambda: validate_study(study, where, opened, model=model, workers=1, progress=silent),
        lambda: cross_validate(
            study, where, opened, CrossvalSettings(), workers=1, progress=silent
        ),
    ):
        with pytest.raises(RunFolderError) as said:
            begin()
        assert said.value.code == "other-recipe"
    opened.lock.release()
    with pytest.raises(RunFolderError) as said:
        work_along(study, where, root, workers=1, progress=silent)
    assert said.value.code == "other-recipe"
    after = {p: p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name[0] != "."}
    assert after == before


def test_a_manifest_that_is_none_is_one_line(folder, capsys):
    (folder / "run" / "manifest.json").write_text('{"jecur": "0.2')
    assert _do("train", folder) == USER_ERROR
    assert "[damaged]" in capsys.readouterr().err


def test_a_renamed_patient_is_renamed_in_what_was_prepared_before(folder):
    _call_it(folder, "prepare")
    path = folder / "study" / "clinical.csv"
    path.write_text(path.read_text().replace("P1,", "Q1,", 1))
    slide = folder / "run" / "slides" / "P1"
    before = (slide / "bag.npy").stat().st_mtime_ns
    assert _do("prepare", folder) == OK
    assert json.loads((slide / "quality.json").read_text())["patient_id"] == "Q1"
    assert (slide / "bag.npy").stat().st_mtime_ns == before
    assert RunFolder(folder / "run").is_complete(
        "P1", json.loads((slide / "complete").read_text())["mark"]
    )
    assert verify_run(folder / "run", threads=1).whole


def test_no_fold_of_another_division_is_left(tmp_path):
    run_folder = RunFolder.open(tmp_path / "cv")
    for fold in range(3):
        part = run_folder.part(part_name(0, fold))
        for inner in ("inner-1", "inner-2", "inner-3"):
            (part.part(inner).root / "scores.csv").write_text("of before")
    take_away_other_folds(run_folder, CrossvalSettings(folds=2, inner_folds=2))
    left = {
        p.parent.relative_to(tmp_path / "cv" / "parts").as_posix()
        for p in tmp_path.rglob("scores.csv")
    }
    assert left == {f"repeat-1-fold-{k}/parts/inner-{i}" for k in (1, 2) for i in (1, 2)}


def test_nuclei_are_not_measured_on_tiles_of_a_slide_that_failed_since(tmp_path):
    run_folder = RunFolder.open(tmp_path / "run")
    for slide in ("A", "B"):
        run_folder.slide_folder(slide).mkdir(parents=True)
        (run_folder.slide_folder(slide) / "bag.npy").write_bytes(b"tiles")
    (tmp_path / "run" / "slides.csv").write_text("slide,status\nA,failed\nB,ok\n")
    assert [path.name for path in slides_with_bags(run_folder)] == ["B"]
    for slide in ("A", "B"):
        (run_folder.slide_folder(slide) / "tiles.parquet").write_bytes(b"of before")
    entries = [SlideEntry(slide, tmp_path / f"{slide}.svs", None) for slide in ("A", "B")]
    patient = Patient("P", "training", 1.0, True, "", tuple(entries), {})
    study = study_of_virtual_cohort("x", TrainingSettings())
    assert [t.slide for t in prepared_tasks(study, [patient], run_folder)] == ["B"]

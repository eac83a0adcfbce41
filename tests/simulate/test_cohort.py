"""Cohorts on disk: the same for any number of workers, resumable, truth kept apart."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jecur.errors import SimulationError
from jecur.settings import SimulationSettings
from jecur.simulate.cohort import SimulatedCohort, draw_patients, simulate_cohort
from jecur.simulate.regions import FEATURES

SMALL = {"n_training": 3, "n_validation": 2, "size_px": 512, "slides_per_patient": 2, "seed": 4}


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> SimulatedCohort:
    return simulate_cohort(SimulationSettings(**SMALL), tmp_path_factory.mktemp("one") / "cohort")


def test_workers_change_nothing(cohort: SimulatedCohort, tmp_path: Path) -> None:
    simulate_cohort(SimulationSettings(**SMALL, workers=2), tmp_path)
    assert digests(tmp_path) == digests(cohort.folder)


def test_every_slide_of_the_table_is_there(cohort: SimulatedCohort) -> None:
    table = pd.read_csv(cohort.clinical, dtype=str)
    names = [name for cell in table["slide"] for name in cell.split(";")]
    assert len(names) == 10
    assert sorted(names) == sorted(path.name for path in (cohort.folder / "slides").iterdir())
    assert [path.name for path in cohort.slides] == names
    assert table["role"].tolist() == ["training"] * 3 + ["validation"] * 2


def test_truth_holds_what_was_planted(cohort: SimulatedCohort) -> None:
    truth = json.loads(cohort.truth.read_text())
    patients = draw_patients(SimulationSettings(**SMALL))
    assert truth["betas_per_sd"] == dict(
        zip(FEATURES, SimulationSettings().log_hazard_per_sd, strict=True)
    )
    assert truth["oracle_concordance"] == cohort.oracle_concordance
    for k, name in enumerate(patients.table["patient_id"]):
        said = truth["patients"][name]
        np.testing.assert_allclose([said[f] for f in FEATURES], patients.features[k], atol=1e-6)
        assert said["log_hazard"] == pytest.approx(patients.log_hazard[k], abs=1e-6)
    for slide in truth["slides"].values():
        np.testing.assert_allclose(np.linalg.norm(slide["stain_matrix"], axis=1), 1.0, atol=1e-9)


def test_slides_of_one_patient_resemble_it_and_differ(cohort: SimulatedCohort) -> None:
    truth = json.loads(cohort.truth.read_text())
    for name, patient in truth["patients"].items():
        own = [truth["slides"][f"{name}-{k}.tiff"] for k in (1, 2)]
        for feature in FEATURES:
            assert all(abs(slide[feature] - patient[feature]) < 0.15 for slide in own)
        assert own[0]["stain_matrix"] != own[1]["stain_matrix"]
    files = [path.read_bytes() for path in cohort.slides]
    assert len(set(files)) == len(files)


def test_local_truth_lies_beside_each_slide(cohort: SimulatedCohort) -> None:
    for slide in cohort.slides:
        local = np.load(cohort.folder / "truth" / f"{slide.stem}.npy", allow_pickle=False)
        assert local.shape == (4, 8, 8)
        inside = local[:, np.isfinite(local[0])]
        assert inside.shape[1] > 10
        assert ((inside >= 0) & (inside <= 1)).all()


def test_a_second_run_draws_only_what_is_missing(tmp_path: Path) -> None:
    settings = SimulationSettings(n_training=3, n_validation=0, size_px=512)
    first = simulate_cohort(settings, tmp_path)
    before = digests(tmp_path)
    first.slides[1].unlink()
    calls: list[tuple[int, int]] = []
    again = simulate_cohort(settings, tmp_path, progress=lambda a, b: calls.append((a, b)))
    assert (first.n_rendered, again.n_rendered) == (3, 1)
    assert calls == [(3, 3)]
    assert digests(tmp_path) == before


def test_a_folder_of_another_cohort_is_refused(cohort: SimulatedCohort) -> None:
    before = digests(cohort.folder)
    with pytest.raises(SimulationError, match="other settings"):
        simulate_cohort(SimulationSettings(**{**SMALL, "seed": 5}), cohort.folder)
    assert digests(cohort.folder) == before


def test_a_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "cohort"
    target.write_text("not a folder")
    with pytest.raises(SimulationError, match="can be written"):
        simulate_cohort(SimulationSettings(n_training=1, n_validation=0, size_px=512), target)


def test_leftovers_of_a_killed_run_are_swept(tmp_path: Path) -> None:
    settings = SimulationSettings(n_training=1, n_validation=0, size_px=512)
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / ".V-0001.tiff.99.part").write_bytes(b"half a slide")
    simulate_cohort(settings, tmp_path)
    assert [path.name for path in (tmp_path / "slides").iterdir()] == ["V-0001.tiff"]

"""Fixtures every room shares: where the real data and R's numbers lie, if they do."""

import os
import pkgutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from tests.virtual.joint_training import Both, joint_folders, train_jointly
from tests.virtual.tiny_study import made_once, run_tiny_study, write_tiny_study

from jecur.model.file import read_bundle
from jecur.runs.worker_pool import kept_between_works
from jecur.settings import TrainingSettings
from jecur.study import expected, memory, preflight

if "PYTEST_XDIST_WORKER" in os.environ:  # one process a core: libraries that share it only wait
    for variable, value in (("OMP_NUM_THREADS", "1"), ("OMP_WAIT_POLICY", "passive")):
        os.environ.setdefault(variable, value)

settings.register_profile("jecur", deadline=None)  # a machine that others use is no fault of ours
settings.load_profile("jecur")

SLOW = (
    "test_walk_through.py",
    "cluster/test_slurm.py",
    "study/test_pass_by.py",
    "docs/test_notebooks.py",
    "test_cli_score.py",
    "study/test_joint_training.py",
    "rivals/test_compare.py",
    "viewer/test_browser.py",
    "runs/test_refusals.py",
    "study/test_shared_work.py",
    "study/test_train.py",
    "study/test_cross_validate.py",
    "study/test_machines.py",
    "study/test_devices.py",
    "test_cli.py",
    "rivals/test_nuclear.py",
    "simulate/test_arrangement.py",
    "encoders/test_features.py",
    "training/test_processes.py",
    "study/test_on_machines.py",
    "study/test_nuclear_baseline.py",
    "study/test_heatmaps.py",
    "rivals/test_tissue.py",
    "study/test_tissue.py",
    "study/test_packed_bags.py",
    "study/test_recipe_owner.py",
    "study/test_beside.py",
    "study/test_preflight.py",
    "slide/test_absent_tiles.py",
    "slide/test_levels.py",
    "rivals/test_joint.py",
    "slide/test_level_steps.py",
    "reproduce/test_reproduce.py",
    "fetch/test_fetch.py",
    "training/test_survives.py",
    "slide/test_tissue.py",
    "training/test_loop.py",
    "runs/test_status.py",
    "runs/test_claims.py",
    "runs/test_dask_engine.py",
    "runs/test_finished.py",
    "preview/test_slide.py",
    "preview/test_same_verdict.py",
    "preview/test_with_a_study.py",
    "runs/test_workers.py",
    "hostile/test_hostile_models.py",
    "hostile/test_hostile_drawings.py",
    "hostile/test_hostile_tables.py",
    "nuclei/test_whole_slide.py",
    "nuclei/arrangement/test_clusters.py",
    "stain/test_iche.py",
    "stain/test_real_images.py",
    "study/test_tissue_array.py",
    "study/test_prepare.py",
    "test_canaries.py",
    "simulate/test_cohort.py",
    "simulate/test_tissue.py",
    "simulate/test_slide.py",
    "slide/test_reader.py",
    "slide/test_reader_tiles.py",
    "slide/test_reader_differential.py",
    "slide/test_real_slides.py",
    "slide/test_quality.py",
    "slide/test_tiling.py",
    "slide/test_tissue_array.py",
    "slide/test_dicom.py",
    "api/test_example.py",
    "api/test_api.py",
    "reading/test_close.py",
    "reading/test_closed_run.py",
    "reading/test_server.py",
    "reading/test_page.py",
    "cohort/test_bad_tables.py",
    "evaluation/test_given.py",
    "report/test_document.py",
    "report/test_print.py",
    "rivals/test_models.py",
    "hostile/test_hostile_settings.py",
    "training/test_teach.py",
    "training/test_read_ahead.py",
    "training/test_pooling.py",
    "training/test_frozen_norm.py",
    "training/test_starting_weights.py",
    "study/test_memory.py",
    "test_cli_nuclei.py",
    "test_cli_stain.py",
    "test_evaluate_hard_tables.py",
    "test_probabilities_shown.py",
    "training/test_gradient.py",
    "training/test_unet.py",
    "viewer/test_layers.py",
    "viewer/test_server.py",
    "virtual/test_faults.py",
)
"""Files that train, run whole studies, render slides or try hundreds of files, the longest first.

All else is fast, but for single tests that are marked slow where they stand.
"""

STUDIES = {"tiny_study", "tiny_run", "tiny_prepared", "tiny_model", "joint_training"}
"""Fixtures that prepare slides or run a study: whoever waits for them is not fast."""

FRESH = ("runs/", "test_canaries.py", "api/test_example.py")
"""Where processes themselves are tested, or paths are relative to a folder that others do not work in: each
command starts its own, as it does for users."""

UNDRAWN = {
    "api/test_frames.py",
    "cohort/test_as_shown.py",
    "cohort/test_plausibility.py",
    "encoders/test_features.py",
    "evaluation/test_factors_called_as_the_risk.py",
    "evaluation/test_folds.py",
    "evaluation/test_given.py",
    "evaluation/test_spelling.py",
    "evaluation/test_who_was_trained_on.py",
    "rivals/test_compare.py",
    "rivals/test_models.py",
    "rivals/test_nuclear.py",
    "rivals/test_tissue.py",
    "study/test_cross_validate.py",
    "study/test_devices.py",
    "study/test_edited_study.py",
    "study/test_nuclear_baseline.py",
    "study/test_packed_bags.py",
    "study/test_pass_by.py",
    "study/test_recipe_owner.py",
    "study/test_train.py",
    "test_cli_score.py",
    "test_evaluate_hard_tables.py",
    "test_probabilities_shown.py",
}
"""Files whose reports are asked for their numbers and words alone: figures are laid out, not painted."""

ROOT = Path(__file__).resolve().parent.parent


def _folder(variable: str, default: str) -> Path:
    path = Path(os.environ.get(variable, ROOT.parent / "shared" / default))
    if not path.is_dir():
        pytest.skip(f"real data absent: set {variable} to the folder that holds them")
    return path


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real slides, nuclei, stains and clinical tables."""
    return _folder("JECUR_TEST_DATA", "data")


@pytest.fixture(scope="session")
def gold() -> Path:
    """Numbers that R computed."""
    return _folder("JECUR_TEST_GOLD", "gold")


@pytest.fixture(scope="session")
def cases() -> Path:
    """Small inputs that once came out wrong, each with what is right."""
    return _folder("JECUR_TEST_CASES", "cases")


@pytest.fixture(scope="session", autouse=True)
def kept_workers() -> Iterator[None]:
    """Worker processes serve the commands of all files one after the other: each start costs two seconds."""
    with kept_between_works(2):
        yield


@pytest.fixture(scope="module", autouse=True)
def fresh_workers(request) -> Iterator[None]:
    """End those that were kept where processes themselves are tested, and keep none."""
    if not request.path.relative_to(ROOT / "tests").as_posix().startswith(FRESH):
        yield
        return
    with kept_between_works(0):
        with kept_between_works(0):
            pass  # its end is theirs
        yield


@pytest.fixture(autouse=True)
def figures_not_painted(request, monkeypatch) -> None:
    """Half of a report's time. What fixtures of a file or of the session make is whole all the same."""
    if request.path.relative_to(ROOT / "tests").as_posix() in UNDRAWN:
        painted = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"></svg>'
        monkeypatch.setattr("jecur.report.figures.canvas.Canvas.svg", lambda canvas: painted)


@pytest.fixture(scope="session", autouse=True)
def disk_not_waited_for() -> Iterator[None]:
    """Leave out the waiting for the platter: only a crash of the machine would show it, and no test is one.

    Tens of thousands of small files, some milliseconds each. That it is asked for before a file gets its
    name is tested in tests/runs/test_folder.py.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def names_hashed_quickly() -> Iterator[None]:
    """Hash the names of training patients at a thousandth of the price, which is there for who guesses them.

    The price itself is tested in tests/study/test_memory.py.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(memory._COST, "n", 2**4)
        yield


@pytest.fixture(scope="session", autouse=True)
def forecasts_tried_on_less() -> Iterator[None]:
    """Foresee how long a training takes by a tile or two, once a network: no test looks at how well.

    Each command on a study tries eight, twice, and a dozen of two slides. That a forecast is there and grows
    with the work is tested in tests/study/test_preflight.py.
    """
    whole = expected.training_seconds
    tried: dict[tuple[object, ...], float] = {}

    def once(try_it: Callable[..., float]) -> Callable[..., float]:
        def known(training: TrainingSettings, number: int) -> float:
            network = training.encoder if try_it.__name__ == "seconds_per_tile" else training
            key = (try_it.__name__, repr(network), training.n_channels, number)
            if key not in tried:
                tried[key] = try_it(training, number)
            return tried[key]

        return known

    def tried_on_less(*given: Any) -> float | None:
        with pytest.MonkeyPatch.context() as trial:
            if find_spec("torch"):
                for name, n in (("_TILES", 1), ("_PATIENTS", 4), ("_EPOCHS", 2)):
                    trial.setattr(f"jecur.training.speed.{name}", n)
                for name in ("seconds_per_tile", "seconds_per_step"):
                    way = f"jecur.training.speed.{name}"
                    trial.setattr(way, once(pkgutil.resolve_name(way)))
            return whole(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(preflight, "training_seconds", tried_on_less)
        patched.setattr(expected, "_TRIED_TILES", 2)
        yield


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory) -> Path:
    """Study file of one virtual cohort that all tests share: to be read, or copied."""
    return made_once(tmp_path_factory, "tiny-study", write_tiny_study) / "study.toml"


@pytest.fixture(scope="session")
def tiny_run(tiny_study, tmp_path_factory) -> Path:
    """Finished run of the tiny study: to be read, or copied."""

    def made(folder: Path) -> None:
        run_tiny_study(tiny_study, folder)

    return made_once(tmp_path_factory, "tiny-run", made) / "run"


@pytest.fixture(scope="session")
def tiny_prepared(tiny_study, tmp_path_factory) -> Path:
    """Run folder of the tiny study with all slides prepared and nothing else: to be read, or copied."""

    def prepare(folder: Path) -> None:
        from jecur.cli import SOME_FAILED, run  # noqa: PLC0415 - not for tests that need no command

        assert (
            run(["prepare", str(tiny_study), "--out", str(folder / "run"), "-j", "1"])
            == SOME_FAILED
        )

    return made_once(tmp_path_factory, "tiny-prepared", prepare) / "run"


@pytest.fixture(scope="session")
def tiny_model(tiny_run) -> Iterator[Path]:
    """Model that the run of the tiny study trained; held, so that commands only compare its digest."""
    model = next((tiny_run / "models").glob("*.jecur"))
    held = read_bundle(model)
    yield model
    del held


@pytest.fixture(scope="session")
def joint_training(tmp_path_factory) -> Both:
    """A training by one process and by two that torchrun started: to be read, or copied."""
    pytest.importorskip("torch", reason="needs the extra: train")
    return joint_folders(made_once(tmp_path_factory, "joint-training", train_jointly))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Slow files are not even read when the fast ones alone are asked for."""
    if config.getoption("markexpr") != "fast" or not collection_path.is_relative_to(ROOT / "tests"):
        return None
    return True if collection_path.relative_to(ROOT / "tests").as_posix() in SLOW else None


def _takes_seconds(item: pytest.Item, name: str) -> bool:
    """A test of a slow file, one marked slow itself, or one for which a study must have run."""
    used = set(getattr(item, "fixturenames", ()))
    return name in SLOW or item.get_closest_marker("slow") is not None or bool(used & STUDIES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test fast or slow (``pytest -m fast`` is for between two edits); the longest first.

    Two processes end together if the long files do not come last.
    """
    here = ROOT / "tests"
    place = {name: k for k, name in enumerate(SLOW)}
    places = {}
    for item in items:
        name = item.path.relative_to(here).as_posix() if item.path.is_relative_to(here) else ""
        if not _takes_seconds(item, name):
            item.add_marker("fast")
        elif item.get_closest_marker("slow") is None:
            item.add_marker("slow")
        places[item.nodeid] = place.get(name, len(SLOW))
    items.sort(key=lambda item: places[item.nodeid])

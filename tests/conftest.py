"""Fixtures every room shares: where the real data and R's numbers lie, if they do."""

import os
from pathlib import Path

import pytest

SLOW = frozenset(
    {
        "evaluation/test_given.py",
        "hostile/test_hostile_drawings.py",
        "hostile/test_hostile_models.py",
        "preview/test_same_verdict.py",
        "preview/test_slide.py",
        "report/test_document.py",
        "runs/test_finished.py",
        "runs/test_workers.py",
        "simulate/test_cohort.py",
        "simulate/test_tissue.py",
        "slide/test_reader_differential.py",
        "slide/test_tissue_array.py",
        "stain/test_iche.py",
        "stain/test_real_images.py",
        "study/test_cross_validate.py",
        "study/test_joint_training.py",
        "study/test_prepare.py",
        "study/test_tissue_array.py",
        "study/test_train.py",
        "test_canaries.py",
        "test_cli.py",
        "test_cli_nuclei.py",
        "test_evaluate_hard_tables.py",
        "test_probabilities_shown.py",
        "training/test_gradient.py",
        "training/test_loop.py",
        "training/test_processes.py",
        "training/test_survives.py",
        "virtual/test_faults.py",
    }
)
"""Files that train, run whole studies, render slides or try hundreds of files; all else is fast."""

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test fast or slow: ``pytest -m fast`` is for between two edits."""
    here = ROOT / "tests"
    for item in items:
        name = item.path.relative_to(here).as_posix() if item.path.is_relative_to(here) else ""
        item.add_marker("slow" if name in SLOW else "fast")

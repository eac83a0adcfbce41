"""Fixtures every room shares: where the real data and R's numbers lie, if they do."""

import os
from pathlib import Path

import pytest

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

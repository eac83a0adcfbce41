"""Each refusal is an error with its own code; none is a silent identity."""

import msgspec
import numpy as np
import pytest

from jecur.errors import StainError
from jecur.settings import StainSettings
from jecur.stain import RUIFROK, StainMatrix, fit_slide_stain
from jecur.stain.appearance import Appearance
from jecur.stain.gates import require_hematoxylin_and_eosin, require_two_stains
from jecur.stain.optical_density import from_optical_density

SETTINGS = StainSettings()


def code_of(pixels, **changes):
    with pytest.raises(StainError) as refused:
        fit_slide_stain(pixels, msgspec.structs.replace(SETTINGS, **changes))
    return refused.value.code


@pytest.mark.parametrize("method", ["vahadane", "macenko", "reinhard"])
class TestHostilePixels:
    def test_none_at_all(self, method):
        empty = np.empty((0, 3), dtype=np.uint8)
        assert code_of(empty, method=method) == "too-little-tissue"

    def test_glass(self, method):
        white = np.full((5_000, 3), 255, dtype=np.uint8)
        assert code_of(white, method=method) == "too-little-tissue"

    def test_black(self, method):
        assert code_of(np.zeros((5_000, 3), dtype=np.uint8), method=method) == "inverted"

    def test_one_constant_color(self, method):
        pixels = np.full((5_000, 3), (150, 90, 160), dtype=np.uint8)
        assert code_of(pixels, method=method) == "one-stain-only"

    def test_a_channel_at_zero(self, method):
        pixels = np.random.default_rng(0).integers(0, 200, (5_000, 3), dtype=np.uint8)
        pixels[:, 1] = 0
        assert code_of(pixels, method=method) == "saturated"

    def test_uniform_noise(self, method):
        pixels = np.random.default_rng(0).integers(0, 256, (5_000, 3), dtype=np.uint8)
        assert code_of(pixels, method=method) == "not-hematoxylin-eosin"

    def test_inverted_tissue(self, method, plant):
        _, pixels = plant(0)
        dim = (255 - pixels.astype(int)) // 5
        assert code_of(dim.astype(np.uint8), method=method) in {"inverted", "saturated"}


@pytest.mark.parametrize("row", [0, 1])
def test_a_single_stain_with_scanner_noise_is_refused(row):
    rng = np.random.default_rng(row)
    od = rng.gamma(2.0, 0.4, size=(8_000, 1)) * RUIFROK.vectors[row]
    pixels = from_optical_density(od + rng.normal(0.0, 0.01, size=od.shape))
    assert code_of(pixels) in {"one-stain-only", "collinear-stains", "not-hematoxylin-eosin"}


def test_nearly_parallel_stains_are_refused():
    close = StainMatrix.from_rows([[0.5, 0.75, 0.4], [0.42, 0.78, 0.45]])
    with pytest.raises(StainError) as refused:
        require_hematoxylin_and_eosin(close, SETTINGS)
    assert refused.value.code == "collinear-stains"


def test_hematoxylin_and_dab_are_no_hematoxylin_and_eosin():
    dab = StainMatrix.from_rows([[0.65, 0.70, 0.29], [0.27, 0.57, 0.78]])
    strict = msgspec.structs.replace(SETTINGS, max_eosin_degrees=30.0)
    with pytest.raises(StainError) as refused:
        require_hematoxylin_and_eosin(dab, strict)
    assert refused.value.code == "not-hematoxylin-eosin"
    assert "30" in str(refused.value)


def test_a_stain_that_is_nearly_absent_is_refused():
    faint = Appearance(RUIFROK, (1.5, 0.01), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    with pytest.raises(StainError) as refused:
        require_two_stains(faint, SETTINGS)
    assert refused.value.code == "one-stain-only"


def test_a_purple_stain_read_as_two_is_refused():
    """Its dense nuclei come out as eosin, its pale cytoplasm as hematoxylin."""
    purple = Appearance(RUIFROK, (0.7, 2.6), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    with pytest.raises(StainError, match=r"min_hematoxylin_ratio") as refused:
        require_two_stains(purple, SETTINGS)
    assert refused.value.code == "one-stain-only"


def test_the_message_says_expected_found_and_what_to_do():
    with pytest.raises(StainError, match=r"expected at least 1000 .* found 0 of 10; .*mask"):
        fit_slide_stain(np.full((10, 3), 255, dtype=np.uint8), SETTINGS)

import json

import numpy as np
import pytest
from PIL import Image

from jecur.errors import StainError
from jecur.settings import StainSettings
from jecur.stain import SlideStain, StainReference, builtin_reference, fit_slide_stain


def test_a_fit_comes_back_from_json_exactly(plant):
    _, pixels = plant(0)
    for method in ("vahadane", "macenko", "reinhard"):
        fit = fit_slide_stain(pixels, StainSettings(method=method))
        assert SlideStain.from_dict(json.loads(json.dumps(fit.to_dict()))) == fit


def test_the_reference_comes_back_from_json_exactly():
    reference = builtin_reference()
    assert StainReference.from_dict(json.loads(json.dumps(reference.to_dict()))) == reference


@pytest.mark.parametrize("kind", [SlideStain, StainReference])
@pytest.mark.parametrize("damage", [{"stains": "x"}, {"concentrations": [1.0]}, {"lab_mean": None}])
def test_a_damaged_record_is_named(plant, kind, damage):
    _, pixels = plant(0)
    whole = fit_slide_stain(pixels, StainSettings()) if kind is SlideStain else builtin_reference()
    with pytest.raises(StainError) as refused:
        kind.from_dict(whole.to_dict() | damage)
    assert refused.value.code == "bad-stain-record"


def test_the_builtin_reference_is_what_the_script_measures(test_data):
    path = test_data / "nuclei/monuseg2018_train/images/TCGA-38-6178-01Z-00-DX1.png"
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    fit = fit_slide_stain(pixels, StainSettings())
    target = builtin_reference().appearance
    assert fit.stains.angle_to(target.stains).max() < 0.5
    assert fit.appearance.concentrations == pytest.approx(target.concentrations, rel=0.02)
    assert fit.appearance.lab_mean == pytest.approx(target.lab_mean, abs=0.005)

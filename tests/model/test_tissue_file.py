"""The file of a tissue classifier: round trip, and everything that is no such file is refused."""

import json
import pickle
import struct

import msgspec
import numpy as np
import pytest
import safetensors.numpy

from jecur.demo import study_of_virtual_cohort
from jecur.errors import BundleError, SettingsError
from jecur.model.card import NetworkInput, TrainedOn, write_card
from jecur.model.tissue_file import (
    TissueCard,
    TissueFile,
    TissueTest,
    arrays_sha256,
    read_tissue_file,
    write_tissue_file,
)
from jecur.settings import TrainingSettings
from jecur.study.recipe import recipe_without_nuclei

CLASSES, D = ("Stroma", "Tumor"), 5


def card(**changes):
    facts = {
        "intended_use": "Research use only.",
        "created": "2026-11-26",
        "jecur": "0.2.0",
        "study": "Tissue",
        "virtual": True,
        "classes": CLASSES,
        "encoder": "features as given",
        "encoder_sha256": "",
        "input": NetworkInput(kind="features", width=D),
        "n_features": D,
        "recipe": recipe_without_nuclei(study_of_virtual_cohort("x", TrainingSettings())),
        "cover": 0.75,
        "n_tiles": {"Stroma": 40, "Tumor": 50},
        "n_patients": {"Stroma": 3, "Tumor": 4},
        "left_out": {"two classes": 3},
        "strength": 0.1,
        "test": TissueTest(
            n_folds=3, balanced_accuracy=0.9, sensitivity={"Stroma": 0.8, "Tumor": 1.0}
        ),
        "trained_on": TrainedOn(tiles=("a" * 64,)),
        "arrays_sha256": "0" * 64,
    }
    return TissueCard(**{**facts, **changes})


def arrays(**changes):
    rng = np.random.default_rng(0)
    usual = {
        "mean": rng.normal(size=D),
        "spread": rng.uniform(1, 2, D),
        "weights": rng.normal(size=(2, D)),
        "intercepts": rng.normal(size=2),
    }
    return {**usual, **changes}


def stored(path, content, about):
    """A file made without the writer's checks, its digest right."""
    metadata = (
        {} if about is None else {"card": about if isinstance(about, str) else about.decode()}
    )
    path.write_bytes(safetensors.numpy.save(content, metadata=metadata))
    return path


def text(content, **changes):
    """A card that fits the arrays, as plain JSON with some values changed."""
    plain = json.loads(write_card(card(arrays_sha256=arrays_sha256(content))))
    return json.dumps({**plain, **changes})


def test_what_is_written_is_read_and_the_same_model_gives_the_same_bytes(tmp_path):
    one = write_tissue_file(TissueFile(card(), arrays()), tmp_path / "a.safetensors")
    two = write_tissue_file(TissueFile(card(), arrays()), tmp_path / "b.safetensors")
    found = read_tissue_file(one)
    assert one.read_bytes() == two.read_bytes()
    for name, array in arrays().items():
        np.testing.assert_array_equal(found.arrays[name], array)
    assert msgspec.structs.replace(found.card, arrays_sha256="0" * 64) == card()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": np.full((2, D), np.nan)}, "not finite"),
        ({"mean": np.full(D, np.inf)}, "not finite"),
        ({"weights": np.zeros((3, D))}, r"weights float64 \(3, 5\)"),
        ({"weights": np.zeros((2, D), np.float32)}, "weights float32"),
        ({"intercepts": np.zeros((2, 1))}, "intercepts"),
        ({"spread": np.zeros(D)}, "above 0"),
        ({"spread": np.full(D, -1.0)}, "above 0"),
        ({"more": np.zeros(2)}, "the arrays"),
    ],
)
def test_arrays_that_are_none_are_refused_in_reading_and_in_writing(tmp_path, changes, said):
    content = arrays(**changes)
    path = stored(tmp_path / "x.safetensors", content, text(content))
    with pytest.raises(BundleError, match=said):
        read_tissue_file(path)
    with pytest.raises(BundleError, match=said):
        write_tissue_file(TissueFile(card(), content), tmp_path / "y.safetensors")
    assert not (tmp_path / "y.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": ["Tumor"]}, "classes"),
        ({"classes": ["Tumor", "Tumor"]}, "once"),
        ({"n_tiles": {"Stroma": 4}}, "n_tiles"),
        ({"n_features": 6}, "features"),
        ({"cover": 0.2}, "cover"),
        ({"strength": 0}, "strength"),
        ({"encoder_sha256": "a" * 64}, "digest of an encoder"),
        ({"surprise": 1}, "surprise"),
        ({"study": "\u202eevil"}, "direction"),
        ({"test": {"n_folds": 1, "balanced_accuracy": 2, "sensitivity": {}}}, "balanced_accuracy"),
    ],
)
def test_cards_that_contradict_themselves_are_refused(tmp_path, changes, said):
    path = stored(tmp_path / "x.safetensors", arrays(), text(arrays(), **changes))
    with pytest.raises(BundleError, match=said):
        read_tissue_file(path)


def test_numbers_that_were_edited_are_noticed(tmp_path):
    path = stored(tmp_path / "x.safetensors", arrays(mean=np.zeros(D)), text(arrays()))
    with pytest.raises(BundleError) as refused:
        read_tissue_file(path)
    assert refused.value.code == "changed-model-file"


def test_files_that_are_something_else_are_refused(tmp_path):
    whole = write_tissue_file(TissueFile(card(), arrays()), tmp_path / "a.safetensors").read_bytes()
    path = tmp_path / "x.safetensors"
    hostile = [
        b"", b"{}", whole[:-3], whole[:40], pickle.dumps(arrays()),
        struct.pack("<Q", 2**62) + whole[8:], whole.replace(b'"card"', b'"cart"', 1),
        whole.replace(b"F64", b"F32", 1),
    ]  # fmt: skip
    for data in hostile:
        path.write_bytes(data)
        with pytest.raises(BundleError):
            read_tissue_file(path)
    stored(path, arrays(), None)
    with pytest.raises(BundleError, match="no card"):
        read_tissue_file(path)
    stored(path, arrays(), "[" * 5000)
    with pytest.raises(BundleError):
        read_tissue_file(path)
    with pytest.raises(BundleError) as refused:
        read_tissue_file(tmp_path / "absent")
    assert refused.value.code == "missing-model"


def test_a_card_of_python_is_checked_as_one_from_disk():
    with pytest.raises(SettingsError, match="sensitivity of each class"):
        card(test=TissueTest(n_folds=2, balanced_accuracy=0.5, sensitivity={"Tumor": 0.5}))

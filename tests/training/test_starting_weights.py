"""Starting weights are compared by models that saw nothing of the array they judge, and made without it."""

from pathlib import Path

import numpy as np
import pytest

features = pytest.importorskip("benchmarks.starting_features", reason="benchmarks are not shipped")
distilled = pytest.importorskip("benchmarks.distilled_weights")

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from jecur.training.mobilenet import build_encoder  # noqa: E402

RNG = np.random.default_rng(0)
LABEL = np.arange(24) % 2 == 0
ARRAY = np.repeat(np.arange(4), 6)


def test_the_dual_form_gives_the_solution_of_the_plain_one():
    x = RNG.normal(size=(24, 3))
    given = features.fitted(x, LABEL)(np.vstack([x, np.zeros(3), np.eye(3)]))
    scores, intercept = given[:24], given[24]
    weights = given[25:] - intercept
    sign = np.where(LABEL, 1.0, -1.0)
    slope = features.PENALTY * sign / (1.0 + np.exp(sign * scores))
    # At the minimum of 0.5 |w|^2 + C sum log(1 + exp(-margin)), both derivatives are 0.
    np.testing.assert_allclose(weights, x.T @ slope, atol=0.02)
    assert abs(slope.sum()) < 0.02


def test_scores_of_an_array_do_not_depend_on_its_own_labels():
    x = RNG.normal(size=(24, 50))
    out = ARRAY == 2
    other = np.where(out, ~LABEL, LABEL)
    first, second = (features.held_out_scores(x, y, ARRAY) for y in (LABEL, other))
    np.testing.assert_array_equal(first[out], second[out])
    assert np.abs(first[~out] - second[~out]).max() > 1e-3


def test_pairs_within_an_array_know_nothing_of_levels_between_arrays():
    score = RNG.normal(size=24)
    shifted = score + 100.0 * ARRAY
    assert features.auc_within(score, LABEL, ARRAY) == features.auc_within(shifted, LABEL, ARRAY)


def test_only_full_tiles_are_averaged_or_else_the_fullest():
    tiles = np.arange(6.0).reshape(2, 3, 1)
    tissue = np.array([[0.9, 0.1, 0.85], [0.2, 0.7, 0.1]])
    np.testing.assert_array_equal(features.mean_of_full(tiles, tissue)[:, 0], [1.0, 4.0])


def test_images_of_the_comparison_are_never_trained_on(tmp_path):
    with pytest.raises(ValueError, match="breast_ucsb58"):
        distilled.read_sources(tmp_path, [Path("data/breast_ucsb58/images")])


def test_distillation_goes_on_from_its_checkpoint_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(distilled, "STEPS_A_BLOCK", 1)
    torch.manual_seed(0)
    teacher = features.timm.create_model("tf_efficientnet_lite0").eval()
    tiles = RNG.integers(0, 256, (6, 64, 64, 4)).astype(np.uint8)
    settings = distilled.DistillSettings(steps=2, batch_size=2)
    rows = np.arange(5)

    def work():
        return distilled.Distillation(tiles, teacher, settings)

    whole = work()
    whole.train(rows, tmp_path / "whole")
    for step in (tmp_path / "whole").rglob("epoch-0001*"):
        kept = tmp_path / "stopped" / step.parent.name
        kept.mkdir(parents=True)
        step.rename(kept / step.name)
    again = work()
    again.train(rows, tmp_path / "stopped")
    for name, value in whole.state().items():
        torch.testing.assert_close(again.state()[name], value, rtol=0, atol=0)
    save_file(whole.state(), tmp_path / "w.safetensors")
    build_encoder("mobilenetv2_100", channels=4, start=str(tmp_path / "w.safetensors"), seed=0)

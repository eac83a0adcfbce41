"""Every pooling: torch and plain NumPy agree in value and slope, whatever was trained."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from tests.model_files import toy_bundle, toy_card

from jecur.mil.pooling import Pooling, pooling_from_card
from jecur.mil.scoring import pooling_of_bundle
from jecur.model.card import PoolingFacts
from jecur.settings import PoolingName, PoolingSettings, TrainingSettings
from jecur.training.export import pooling_weights
from jecur.training.pooling import BagPooling, generalized_mean

TWO = "top-bottom, two layers"
NAMES = (*get_args(PoolingName), TWO)


def _pooling(name, seed=0):
    torch.manual_seed(seed)
    method, second = ("top-bottom", 5) if name == TWO else (name, 0)
    settings = TrainingSettings(
        pooling=PoolingSettings(method=method, ends=4, hidden_units=6, second_hidden_units=second)
    )
    pooling = BagPooling(settings)
    with torch.no_grad():
        for parameter in pooling.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return pooling.double()


def _outputs(name, n, seed, scale=2.0):
    rng = np.random.default_rng(seed)
    shape = (n, 2) if name == "attention" else (n,)
    return (scale * rng.standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 2, 7, 60])
def test_torch_and_numpy_agree_in_value_and_slope(name, n):
    pooling = _pooling(name)
    plain = pooling.plain()
    for seed in range(5):
        outputs = _outputs(name, n, seed)
        s = torch.tensor(outputs, dtype=torch.float64, requires_grad=True)
        value = pooling(s)
        value.backward()
        assert plain.pool(outputs) == pytest.approx(value.item(), abs=1e-6, rel=1e-6)
        slope = s.grad if s.ndim == 1 else s.grad[:, 0]
        assert plain.slopes(outputs) == pytest.approx(slope.numpy(), abs=1e-6, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [0.0, 1e-3, 40.0])
def test_slopes_are_finite_at_zero_and_where_sigmoids_saturate(name, scale):
    pooling = _pooling(name)
    s = torch.tensor(_outputs(name, 9, 1, scale), dtype=torch.float64, requires_grad=True)
    value = pooling(s)
    value.backward()
    assert math.isfinite(value.item())
    assert torch.isfinite(s.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in pooling.parameters())


@pytest.mark.parametrize("name", ["generalized-mean", "mean", "max", "attention"])
def test_tiles_add_up_to_the_score_where_it_scales_with_them(name):
    outputs = _outputs(name, 11, 3)
    plain = _pooling(name).plain()
    scores = outputs.reshape(11, -1)[:, 0]
    assert float(scores @ plain.slopes(outputs)) == pytest.approx(plain.pool(outputs), rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_contributions_are_shares_and_point_where_a_tile_pushes(name):
    outputs = _outputs(name, 15, 5)
    plain = _pooling(name).plain()
    shares = plain.contributions(outputs)
    assert np.abs(shares).sum() == pytest.approx(1.0)
    raised = outputs.copy().reshape(15, -1)
    largest = int(np.argmax(np.abs(plain.slopes(outputs))))
    raised[largest, 0] += 1e-2
    moved = plain.pool(raised.reshape(outputs.shape)) - plain.pool(outputs)
    assert np.sign(moved) == np.sign(plain.slopes(outputs)[largest])


@pytest.mark.parametrize("name", NAMES)
def test_a_model_file_brings_back_the_pooling_it_was_given(name):
    pooling = _pooling(name).float()
    stored = pooling_weights(pooling)
    assert (stored is None) == (not list(pooling.parameters()))
    assert stored is None or set(load(stored)) == set(pooling.trained_parameters())
    facts = PoolingFacts(**pooling.plain().to_card())
    card = toy_card(pooling=facts, training=pooling.settings)
    bundle = toy_bundle(card=card, pooling=stored)
    outputs = _outputs(name, 12, 8)
    with torch.no_grad():
        expected = float(pooling(torch.from_numpy(outputs)))
    assert pooling_of_bundle(bundle).pool(outputs) == pytest.approx(expected, abs=1e-5)


def test_a_card_that_names_no_pooling_of_ours_is_refused():
    with pytest.raises(ValueError, match="median"):
        pooling_from_card({"kind": "median"}, {})


@pytest.mark.parametrize("exponent", [0.5, 3.0, 10.0, 20.0, 100.0])
@pytest.mark.parametrize("size", [0.5, 5.0, 40.0, 1e3])
def test_the_generalized_mean_of_float32_is_that_of_scoring_where_powers_are_large(exponent, size):
    scores = (size * np.array([0.9, -0.3, 0.0, 1.0, 0.6])).astype(np.float32)
    outputs = torch.from_numpy(scores).requires_grad_()
    pooled = generalized_mean(outputs, exponent=exponent)
    pooled.backward()
    plain = Pooling(exponent=exponent)
    assert float(pooled.detach()) == pytest.approx(plain.pool(scores), rel=1e-4, abs=1e-30)
    assert outputs.grad.numpy() == pytest.approx(plain.slopes(scores), rel=1e-3, abs=1e-7)

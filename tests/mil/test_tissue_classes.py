"""Classifier of tissue: truths by hand, one fit two ways, and folds that keep a patient together."""

import numpy as np
import pytest

from jecur.errors import TrainingError
from jecur.mil.tissue_classes import (
    STRENGTHS,
    class_fractions,
    classify_other_patients,
    fit_tissue_classifier,
    stroma_tumor_ratio,
)


def blobs(rng, n=60, d=6, classes=3):
    label = np.arange(n) % classes
    return rng.normal(size=(n, d)) + 3.0 * np.eye(classes, d)[label], label


def test_probabilities_are_those_of_the_formula():
    x, label = blobs(np.random.default_rng(0))
    model = fit_tissue_classifier(x, label, 3, strength=0.01)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    odds = np.exp(z @ model.weights.T + model.intercepts)
    np.testing.assert_allclose(
        model.probabilities(x), odds / odds.sum(axis=1, keepdims=True), rtol=1e-9
    )
    assert (model.probabilities(x).argmax(axis=1) == label).mean() > 0.95


def test_a_feature_that_says_nothing_leaves_every_class_as_likely_whatever_its_tiles():
    model = fit_tissue_classifier(np.ones((50, 4)), np.repeat([0, 1], [45, 5]), 2, strength=0.1)
    np.testing.assert_allclose(model.probabilities(np.ones((1, 4))), 0.5, atol=1e-4)


def test_the_fit_is_the_same_with_fewer_tiles_than_features_and_with_more():
    x, label = blobs(np.random.default_rng(1), n=12, d=20)
    few = fit_tissue_classifier(x, label, 3, strength=0.1)
    many = fit_tissue_classifier(np.repeat(x, 2, axis=0), np.repeat(label, 2), 3, strength=0.1)
    np.testing.assert_allclose(few.weights, many.weights, atol=2e-4)
    np.testing.assert_allclose(few.intercepts, many.intercepts, atol=2e-4)


def test_it_stands_at_the_least_of_what_it_minimizes():
    x, label = blobs(np.random.default_rng(2), n=30, d=3)
    strength, rng = 0.05, np.random.default_rng(5)
    model = fit_tissue_classifier(x, label, 3, strength=strength)
    z = (x - model.mean) / model.spread

    def loss(weights, intercepts):
        scores = z @ weights.T + intercepts
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        even = 1 / np.bincount(label)[label] / 3
        return -(even * logs[np.arange(30), label]).sum() + strength * (weights**2).sum() / 2

    least = loss(model.weights, model.intercepts)
    for _ in range(20):
        near = model.weights + 0.02 * rng.normal(size=model.weights.shape)
        assert loss(near, model.intercepts + 0.02 * rng.normal(size=3)) > least


def test_what_marks_the_patient_and_not_the_class_is_worth_nothing_out_of_patient():
    """Each patient has one class and looks unlike any other: a fold of tiles would say 100 %."""
    rng = np.random.default_rng(4)
    patient = np.repeat(np.arange(10), 12)
    label = patient % 2
    x = 5.0 * rng.normal(size=(10, 30))[patient] + 0.1 * rng.normal(size=(120, 30))
    fitted = fit_tissue_classifier(x, label, 2, strength=0.01)
    assert (fitted.probabilities(x).argmax(axis=1) == label).all()
    apart = classify_other_patients(x, label, patient, 2, rng=np.random.default_rng(0))
    assert (apart.predicted == label).mean() < 0.8
    assert apart.n_folds == 5


def test_what_marks_the_class_is_found_in_other_patients():
    x, label = blobs(np.random.default_rng(6), n=90)
    apart = classify_other_patients(x, label, np.arange(90) // 30, 3, rng=np.random.default_rng(0))
    assert (apart.predicted == label).mean() > 0.9
    assert apart.strength in STRENGTHS
    assert apart.n_folds == 3


def test_fractions_are_means_of_probabilities():
    probabilities = np.array([[1.0, 0.0, 0.0], [0.5, 0.25, 0.25], [0.0, 0.5, 0.5]])
    np.testing.assert_allclose(class_fractions(probabilities), [0.5, 0.25, 0.25])


def test_stroma_tumor_ratio_is_the_share_of_stroma():
    fractions = np.array([0.2, 0.5, 0.1, 0.2])
    assert stroma_tumor_ratio(fractions, [1], [0]) == pytest.approx(5 / 7)
    assert stroma_tumor_ratio(fractions, [1, 2], [0]) == pytest.approx(0.75)
    assert stroma_tumor_ratio(fractions, [0], []) == 1.0
    assert np.isnan(stroma_tumor_ratio(np.array([0.0, 0.0, 1.0]), [0], [1]))


def test_features_that_are_no_numbers_are_refused():
    x, label = blobs(np.random.default_rng(7))
    x[3, 2] = np.nan
    with pytest.raises(TrainingError, match="finite"):
        fit_tissue_classifier(x, label, 3, strength=0.1)


def test_a_feature_that_only_rounding_moves_says_nothing_of_tiles_that_have_another():
    rng, label = np.random.default_rng(0), np.arange(200) % 3
    features = rng.normal(size=(200, 10)).astype(np.float32)
    features[:, 0] += label
    rounded = (1 + 1.2e-7 * rng.integers(0, 4, 200)).astype(np.float32)
    assert np.ptp(rounded) > 0
    plain = fit_tissue_classifier(features, label, 3, strength=0.01)
    found = fit_tissue_classifier(np.column_stack([features, rounded]), label, 3, strength=0.01)
    unlike = np.column_stack([features, np.full(200, 1.5)])
    assert found.probabilities(unlike) == pytest.approx(plain.probabilities(features), abs=1e-4)

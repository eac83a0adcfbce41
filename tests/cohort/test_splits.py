"""Folds: every patient once, events even, whole sites, and a reason where that cannot be."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jecur.cohort.cohort import Patient
from jecur.cohort.splits import site_of, split_patients
from jecur.errors import TableError


def _patient(k, event, site="", name=None):
    return Patient(name or f"p{k}", "training", 12.0, bool(event), site, (), {})


def _cohort(counts):
    """Patients of sites with (events, others)."""
    rows = [
        (event, f"s{k}")
        for k, pair in enumerate(counts)
        for event, n in zip((1, 0), pair, strict=True)
        for _ in range(n)
    ]
    return [_patient(k, *row) for k, row in enumerate(rows)]


def _imbalance(fold_of, patients, k):
    events = np.array([p.event for p in patients])
    shares = [
        np.bincount(fold_of[kind], minlength=k) / kind.sum() - 1 / k for kind in (events, ~events)
    ]
    return float(np.sum(np.square(shares)))


@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(6, 60), st.integers(6, 60))
@settings(max_examples=40, deadline=None)
def test_without_sites_sizes_and_events_differ_by_one_at_most(seed, k, n_events, n_others):
    patients = _cohort([(n_events, n_others)])
    folds = split_patients(patients, n_folds=k, site_preserving=False, seed=seed)
    events = np.array([p.event for p in patients])
    for kind in (events, ~events, events | ~events):
        sizes = np.bincount(folds.fold_of[kind], minlength=k)
        assert sizes.sum() == kind.sum()
        assert np.ptp(sizes) <= 1


SITES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=6, max_size=18)


@given(SITES, st.integers(2, 5), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
@pytest.mark.slow
def test_no_site_is_ever_on_both_sides(counts, k, seed):
    patients = _cohort(counts)
    folds = split_patients(patients, n_folds=k, site_preserving=True, seed=seed)
    homes = {}
    for patient, fold in zip(patients, folds.fold_of, strict=True):
        homes.setdefault(patient.site, set()).add(int(fold))
    assert all(len(folds_of_site) == 1 for folds_of_site in homes.values())
    assert set(folds.fold_of.tolist()) == set(range(k))
    assert folds.imbalance == pytest.approx(_imbalance(folds.fold_of, patients, k))


def test_few_sites_get_the_best_of_all_assignments():
    counts = [(9, 3), (1, 8), (4, 4), (2, 6), (7, 1), (3, 3)]
    patients = _cohort(counts)
    found = split_patients(patients, n_folds=3, site_preserving=True, seed=0)
    site = np.array([int(p.site[1:]) for p in patients])
    best = min(
        _imbalance(np.array(assigned)[site], patients, 3)
        for assigned in itertools.product(range(3), repeat=len(counts))
        if set(assigned) == {0, 1, 2}
    )
    assert found.imbalance == pytest.approx(best)


@pytest.mark.slow
def test_many_sites_come_within_a_site_of_perfect_balance():
    rng = np.random.default_rng(4)
    patients = _cohort(rng.integers(1, 12, (36, 2)))
    folds = split_patients(patients, n_folds=5, site_preserving=True, seed=1)
    events = np.array([p.event for p in patients])
    assert "greedy" in folds.method
    for kind in (events, ~events):
        assert np.ptp(np.bincount(folds.fold_of[kind], minlength=5)) <= 11


@pytest.mark.parametrize("site_preserving", [False, True])
def test_the_same_seed_gives_the_same_folds_and_another_seed_others(site_preserving):
    patients = _cohort([(3, 3)] * 8)
    first, again, other = (
        split_patients(patients, n_folds=4, site_preserving=site_preserving, seed=seed).fold_of
        for seed in (7, 7, 8)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_tissue_source_site_is_read_from_a_tcga_barcode_if_the_table_has_none():
    assert site_of(_patient(0, 1, name="TCGA-DD-A4NG-01Z-00-DX1")) == "DD"
    assert site_of(_patient(0, 1, site="Lyon", name="TCGA-DD-A4NG")) == "Lyon"


@pytest.mark.parametrize(
    ("patients", "k", "site_preserving", "code", "words"),
    [
        (_cohort([(9, 9), (9, 9)]), 3, True, "too-few-sites", "found 2 (s0, s1)"),
        (_cohort([(9, 1), (0, 9), (0, 9)]), 3, True, "too-few-sites", "sites with events: s0"),
        ([_patient(k, k % 2) for k in range(20)], 3, True, "unknown-site", "p0"),
        (_cohort([(2, 30)]), 3, False, "too-few-patients", "found 2 and 30"),
        (_cohort([(9, 0)]), 3, False, "too-few-patients", "found 9 and 0"),
        (_cohort([(9, 9)]), 1, False, "bad-table", "at least 2 folds"),
    ],
)
def test_folds_that_cannot_be_are_refused_with_the_reason(
    patients, k, site_preserving, code, words
):
    with pytest.raises(TableError) as caught:
        split_patients(patients, n_folds=k, site_preserving=site_preserving, seed=0)
    assert caught.value.code == code
    assert words in caught.value.message

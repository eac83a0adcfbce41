"""Agreement of two readings: R's numbers, and what must hold of any."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jecur.errors import NotEstimableError, TableError
from jecur.survival.rater_agreement import (
    PairCounts,
    clustered_agreement,
    cohen_kappa,
    gwet_ac1,
    pair_counts,
)

GOLD = Path(__file__).parents[1] / "golden" / "agreement_in_r.csv"
Z = 1.959963984540054


def gold_rows() -> list[dict[str, float]]:
    with GOLD.open() as stream:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]


def counts_of(row: dict[str, float]) -> PairCounts:
    names = ("both", "first_only", "second_only", "neither")
    return PairCounts(*(int(row[name]) for name in names), 0)


def test_there_is_gold_of_rare_and_of_common_features():
    rows = gold_rows()
    assert len(rows) >= 35
    assert any(r["neither"] == 0 for r in rows)


@pytest.mark.parametrize("row", gold_rows())
def test_kappa_and_ac1_are_those_of_r(row):
    counts = counts_of(row)
    ac1 = gwet_ac1(counts)
    assert ac1.estimate == pytest.approx(row["ac1_irrcac"], abs=1e-12)
    if row["kappa_ase_vcd"] == 0 and counts.agreement not in (0, 1):  # R: 0, interval 0 to 0
        with pytest.raises(NotEstimableError, match="same of every tile"):
            cohen_kappa(counts)
        return
    kappa = cohen_kappa(counts)
    for name in ("kappa_irr", "kappa_vcd", "kappa_irrcac"):
        assert kappa.estimate == pytest.approx(row[name], abs=1e-12)
    for found, value, error in (
        (kappa, "kappa_vcd", "kappa_ase_vcd"),
        (kappa, "kappa_irrcac", "kappa_se_irrcac"),
        (ac1, "ac1_irrcac", "ac1_se_irrcac"),
    ):
        if row[error] == 0:
            assert found.lower is found.upper is None
            continue
        assert found.lower == pytest.approx(max(-1, row[value] - Z * row[error]), abs=1e-9)
        assert found.upper == pytest.approx(min(1, row[value] + Z * row[error]), abs=1e-9)


def test_the_paradox_of_kappa():
    """Gwet 2008: 118 of 125 agree, and kappa says there is none."""
    counts = PairCounts(118, 5, 2, 0, 0)
    assert counts.agreement == pytest.approx(0.944)
    assert cohen_kappa(counts).estimate == pytest.approx(-0.0234, abs=1e-4)
    assert gwet_ac1(counts).estimate == pytest.approx(0.9408, abs=1e-4)


readings = st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, float("nan")])] * 2), max_size=60)


@given(readings)
def test_what_must_hold_of_any_readings(pairs):
    first, second = np.array(pairs, np.float64).reshape(-1, 2).T
    counts = pair_counts(first, second)
    assert counts.n + counts.left_out == len(pairs)
    turned, mirrored = pair_counts(second, first), pair_counts(1 - first, 1 - second)
    for statistic in (cohen_kappa, gwet_ac1):
        try:
            found = statistic(counts)
        except NotEstimableError:
            with pytest.raises(NotEstimableError):
                statistic(turned)
            continue
        if found.lower is None:
            assert found.upper is None
            assert counts.agreement in (0, 1)
        else:
            assert -1 <= found.lower <= found.estimate <= found.upper <= 1
        assert (found.estimate == pytest.approx(1)) == (counts.agreement == 1)
        for other in (turned, mirrored):
            assert statistic(other).estimate == pytest.approx(found.estimate)
            if found.lower is not None:
                assert statistic(other).lower == pytest.approx(found.lower, abs=1e-7)


def test_nothing_is_estimated_of_nothing():
    with pytest.raises(NotEstimableError, match="two tiles"):
        gwet_ac1(pair_counts([1.0, np.nan], [1.0, 1.0]))
    with pytest.raises(NotEstimableError, match="same of every tile"):
        cohen_kappa(pair_counts([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]))
    assert gwet_ac1(pair_counts([1.0, 1.0, 1.0], [1.0, 1.0, 1.0])).estimate == 1
    assert pair_counts([], []).agreement is None
    for first, second in (([2.0], [1.0]), ([1.0], [1.0, 0.0]), ([np.inf], [1.0])):
        with pytest.raises(TableError, match="same tiles"):
            pair_counts(first, second)


KINDS = [("kappa", cohen_kappa), ("ac1", gwet_ac1)]


def drawn_readings(rng, n_patients=40, n_tiles=8, spread=2.0):
    """Two readings of tiles whose truth and whose difficulty patients share."""
    patient = np.repeat(np.arange(n_patients), n_tiles)
    truth = rng.random(patient.size) < 1 / (
        1 + np.exp(-spread * rng.normal(size=n_patients)[patient])
    )
    slip = 0.4 / (1 + np.exp(-spread * rng.normal(size=n_patients)[patient]))
    a, b = (
        np.where(rng.random(patient.size) < slip, ~truth, truth).astype(float) for _ in range(2)
    )
    return a, b, patient


@pytest.mark.parametrize(("kind", "plain"), KINDS)
def test_one_tile_a_patient_is_the_interval_over_tiles(kind, plain):
    a, b, _ = drawn_readings(np.random.default_rng(0))
    a[3], b[7] = np.nan, np.nan
    tiles = plain(pair_counts(a, b))
    found = clustered_agreement(kind, a, b, np.arange(a.size))
    factor = np.sqrt(tiles.n / (tiles.n - 1))
    assert found.estimate == tiles.estimate
    assert found.upper - found.estimate == pytest.approx((tiles.upper - tiles.estimate) * factor)


@pytest.mark.parametrize(("kind", "plain"), KINDS)
def test_tiles_shown_again_add_nothing(kind, plain):
    a, b, patient = drawn_readings(np.random.default_rng(1))
    once = clustered_agreement(kind, a, b, patient)
    thrice = clustered_agreement(kind, *(np.tile(v, 3) for v in (a, b, patient)))
    assert thrice.lower == pytest.approx(once.lower)
    fewer, more = plain(pair_counts(a, b)), plain(pair_counts(np.tile(a, 3), np.tile(b, 3)))
    assert more.upper - more.lower < 0.6 * (fewer.upper - fewer.lower)


@pytest.mark.parametrize(("kind", "plain"), KINDS)
def test_the_spread_over_patients_is_that_of_leaving_them_out(kind, plain):
    """Against the jackknife over patients, which takes no derivative."""
    a, b, patient = drawn_readings(np.random.default_rng(2), n_patients=80)
    k = patient.max() + 1
    left = [plain(pair_counts(a[patient != p], b[patient != p])).estimate for p in range(k)]
    error = np.sqrt((k - 1) / k * np.sum((np.array(left) - np.mean(left)) ** 2))
    found = clustered_agreement(kind, a, b, patient)
    assert found.upper - found.estimate == pytest.approx(Z * error, rel=0.03)


@pytest.mark.parametrize(("kind", "plain"), KINDS)
def test_over_patients_the_truth_is_covered_and_over_tiles_it_is_not(kind, plain):
    rng = np.random.default_rng(3)
    truth = plain(pair_counts(*drawn_readings(rng, n_patients=20_000)[:2])).estimate
    wide, narrow, draws = 0, 0, 400
    for _ in range(draws):
        a, b, patient = drawn_readings(rng)
        tiles, patients = plain(pair_counts(a, b)), clustered_agreement(kind, a, b, patient)
        narrow += tiles.lower <= truth <= tiles.upper
        wide += patients.lower <= truth <= patients.upper
    error = np.sqrt(0.95 * 0.05 / draws)
    assert wide / draws > 0.95 - 4 * error
    assert narrow / draws < 0.95 - 4 * error


def test_there_is_no_interval_over_one_patient():
    with pytest.raises(NotEstimableError, match="two patients"):
        clustered_agreement("ac1", [1.0, 0.0, 1.0], [1.0, 1.0, 1.0], ["a", "a", "a"])
    with pytest.raises(NotEstimableError, match="all agree"):
        clustered_agreement("ac1", [1.0, 0.0, 1.0], [1.0, 0.0, 1.0], ["a", "b", "c"])


@pytest.mark.parametrize("kind", ["kappa", "ac1"])
@pytest.mark.parametrize("n_patients", [2, 3, 7, 11])
def test_patients_who_are_all_alike_are_no_certainty(kind, n_patients):
    """The interval over patients was of no width, or of that of rounding."""
    first, second = (
        np.tile([1, 1, 1, 0, 0, 1, 0], n_patients),
        np.tile([1, 0, 1, 0, 1, 1, 0], n_patients),
    )
    patient = np.repeat(np.arange(n_patients), 7)
    with pytest.raises(NotEstimableError, match="over patients"):
        clustered_agreement(kind, first, second, patient)
    second[0] = 0
    found = clustered_agreement(kind, first, second, patient)
    assert found.lower < found.estimate < found.upper

"""The order of a reviewer: nobody can tell it from another's; a second look is never next to the first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from tests.reading.reviews import write_run_of_r

from jecur.errors import RunFolderError, SettingsError
from jecur.explain.review import key_folder, read_key
from jecur.reading.order import begun_orders, draw_order, open_order, reviewer_folder
from jecur.reading.start import take_seat

DRAWS = 200


@given(st.integers(1, 60))
def test_every_tile_comes_once_and_one_in_ten_twice(n):
    tiles = [f"t{k}" for k in range(n)]
    looks = draw_order("AB", tiles).looks
    assert sorted(look.tile for look in looks if not look.again) == sorted(tiles)
    twice = [look.tile for look in looks if look.again]
    assert len(twice) == len(set(twice)) == (round(n / 10) if n > 2 else 0)
    place = {look.tile: k for k, look in enumerate(looks) if not look.again}
    assert all(k - place[look.tile] >= 2 for k, look in enumerate(looks) if look.again)
    assert len({look.id for look in looks}) == len(looks)


@pytest.mark.slow
def test_two_reviewers_do_not_foretell_the_third_over_200_draws():
    """Rank correlation with each of two others, with their mean, and with the score: as by chance."""
    n = 40
    tiles = [f"t{k:02d}" for k in range(n)]  # in the order of their scores

    def ranks() -> np.ndarray:
        looks = [look.tile for look in draw_order("AB", tiles).looks if not look.again]
        return np.array([looks.index(tile) for tile in tiles])

    found = {"first": [], "second": [], "both": [], "score": []}
    next_tile, hits = [], 0
    for _ in range(DRAWS):
        a, b, third = ranks(), ranks(), ranks()
        for name, known in (("first", a), ("second", b), ("both", a + b), ("score", np.arange(n))):
            found[name].append(spearmanr(known, third).statistic)
        # who guesses that the same tile follows as it did with a reviewer before is right 1 time in n
        follows = {
            int(np.argwhere(a == k)[0, 0]): int(np.argwhere(a == k + 1)[0, 0]) for k in range(n - 1)
        }
        after = {
            int(np.argwhere(third == k)[0, 0]): int(np.argwhere(third == k + 1)[0, 0])
            for k in range(n - 1)
        }
        hits += sum(follows.get(tile) == now for tile, now in after.items())
        next_tile.append(len(after))
    for name, values in found.items():
        assert abs(np.mean(values)) < 4.5 / np.sqrt((n - 1) * DRAWS), name
        assert 0.6 < np.var(values) * (n - 1) < 1.5, name
    expected = sum(next_tile) / n
    assert abs(hits - expected) < 5 * np.sqrt(expected)


def test_a_second_look_comes_anywhere_and_of_any_tile_over_200_draws():
    tiles = [f"t{k:02d}" for k in range(20)]
    seen = [look.tile for _ in range(DRAWS) for look in draw_order("AB", tiles).looks if look.again]
    counts = np.array([seen.count(tile) for tile in tiles])
    expected = len(seen) / len(tiles)
    assert np.sum((counts - expected) ** 2) / expected < 60  # chi-squared, 19 degrees: p < 4e-6


def test_an_order_is_drawn_once_and_kept(tmp_path):
    run = write_run_of_r(tmp_path)
    key = read_key(key_folder(run.root) / "key.csv")
    first = open_order(run.root, "ab", key, n_tiles=20)
    assert open_order(run.root, "AB", key) == first
    assert open_order(run.root, "AB", key, n_tiles=20) == first
    with pytest.raises(SettingsError, match="--tiles 20"):
        open_order(run.root, "AB", key, n_tiles=40)
    other = open_order(run.root, "CD", key, n_tiles=20)
    assert {look.tile for look in other.looks} == {look.tile for look in first.looks}
    ends = [tile.end for tile in key if tile.name in {look.tile for look in first.looks}]
    assert ends.count("high") == ends.count("low") == 10
    assert [order.reviewer for order in begun_orders(run.root)] == ["AB", "CD"]
    for path in reviewer_folder(run.root, "AB").iterdir():
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("n", [1, 3, -2, 122, 10**9])
def test_a_number_of_tiles_that_cannot_be_is_refused(tmp_path, n):
    run = write_run_of_r(tmp_path)
    key = read_key(key_folder(run.root) / "key.csv")
    with pytest.raises(SettingsError, match="from 2 to 120"):
        open_order(run.root, "AB", key, n_tiles=n)
    assert begun_orders(run.root) == []


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", "A B", "Anna Berg", "é", "123456789", "AB\n", "9A", "."]
)
def test_initials_are_no_path(tmp_path, name):
    with pytest.raises(SettingsError) as said:
        reviewer_folder(tmp_path, name)
    assert said.value.code == "bad-initials"


def test_one_reviewer_sits_in_one_place(tmp_path):
    run = write_run_of_r(tmp_path)
    with take_seat(run.root, "AB"):
        with pytest.raises(RunFolderError) as said, take_seat(run.root, "ab"):
            pass
        assert said.value.code == "review-in-progress"
        with take_seat(run.root, "CD"):
            pass
    with take_seat(run.root, "AB") as seat:
        assert seat.said.next_look == 0

"""The cache shared between studies: what a killed process left there goes when the next slide is kept."""

import pytest

from jecur.runs import leftovers
from jecur.runs.finished import Finished
from jecur.study.slide_cache import is_in_cache, keep_in_cache, take_from_cache

KEY = "ab" + "0" * 62


@pytest.fixture
def slide(tmp_path):
    folder = tmp_path / "run" / "slides" / "a"
    folder.mkdir(parents=True)
    (folder / "bag.npy").write_bytes(b"tiles")
    return folder, Finished(KEY, {"bag.npy": "unused"})


def test_half_of_a_slide_that_a_killed_process_left_is_taken_away(tmp_path, slide):
    cache = tmp_path / "cache"
    left = cache / KEY[:2] / f"{leftovers.part_prefix().rsplit('-', 2)[0]}-1-abc"
    left.mkdir(parents=True)
    (left / "bag.npy").write_bytes(b"ti")
    keep_in_cache(cache, KEY, *slide)
    assert not left.exists()
    assert [p.name for p in (cache / KEY[:2]).iterdir()] == [KEY]
    assert is_in_cache(cache, KEY)
    assert take_from_cache(cache, KEY, tmp_path / "other", ()) == ("bag.npy",)
    assert (tmp_path / "other" / "bag.npy").read_bytes() == b"tiles"

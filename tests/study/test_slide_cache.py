"""The cache shared between studies: what a killed process left there goes when the next slide is kept."""

import shutil

import pytest

from jecur.runs import leftovers
from jecur.runs.finished import Finished
from jecur.study import slide_cache
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


def test_a_slide_that_lost_its_marker_is_kept_anew(tmp_path, slide):
    cache = tmp_path / "cache"
    keep_in_cache(cache, KEY, *slide)
    (cache / KEY[:2] / KEY / "complete").write_text('{"mark": "ab')
    assert take_from_cache(cache, KEY, tmp_path / "other", ()) == ()
    keep_in_cache(cache, KEY, *slide)
    assert take_from_cache(cache, KEY, tmp_path / "other", ()) == ("bag.npy",)


def test_a_slide_that_goes_while_it_is_taken_is_prepared(tmp_path, slide, monkeypatch):
    cache = tmp_path / "cache"
    keep_in_cache(cache, KEY, *slide)

    def goes(folder, finished):
        shutil.rmtree(folder)
        return ()

    monkeypatch.setattr(slide_cache, "damage", goes)
    assert take_from_cache(cache, KEY, tmp_path / "other", ()) == ()

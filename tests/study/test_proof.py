"""Every bag is proved before it is scored, and read once for it, however many folds there are."""

import os

import pytest

from jecur.errors import BagError
from jecur.runs import finished
from jecur.runs.finished import damage
from jecur.runs.folder import RunFolder
from jecur.study.score import _proved_bags

SLIDES = [f"s{k}" for k in range(5)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(finished, "_SETTLED_NS", 0)
    opened = RunFolder.open(tmp_path / "run")
    for k, slide in enumerate(SLIDES):
        folder = opened.slide_folder(slide)
        folder.mkdir(parents=True)
        (folder / "bag.npy").write_bytes(bytes([k]) * 10_000)
        opened.mark_complete(slide, "mark", ["bag.npy"])
    return opened


@pytest.fixture
def hashed(run, monkeypatch):
    """Names of the slides whose files are read, one by one, from here on."""
    read, plain = [], finished.sha256_file

    def counted(path):
        read.append(path.parent.name)
        return plain(path)

    monkeypatch.setattr(finished, "sha256_file", counted)
    return read


def prove_folds(run):
    """Prove every bag in each of 3 repeats of 6 folds."""
    return [_proved_bags(SLIDES, run.part(f"fold-{k}"), threads=2) for k in range(18)]


def test_a_bag_is_read_once_in_eighteen_folds(run, hashed):
    first, *others = prove_folds(run)
    assert sorted(hashed) == SLIDES
    assert all(found == first for found in others)
    assert first == {slide: run.bag_sha256(slide) for slide in SLIDES}


def test_the_proof_at_resuming_serves_the_folds(run, hashed):
    for slide in SLIDES:
        folder = run.slide_folder(slide)
        assert damage(folder, run.finished_slide(slide, "mark"), run.proved) == ()
    prove_folds(run)
    assert sorted(hashed) == SLIDES


@pytest.mark.parametrize("disguised", [False, True])
def test_a_byte_changed_between_two_folds_is_found(run, hashed, disguised):
    prove_folds(run)
    bag = run.slide_folder("s3") / "bag.npy"
    before = bag.stat()
    with bag.open("r+b") as stream:
        stream.seek(5_000)
        stream.write(b"x")
    if disguised:  # the time of writing can be put back, that of the change cannot
        os.utime(bag, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(BagError, match="s3") as refusal:
        _proved_bags(SLIDES, run.part("fold-1"), threads=1)
    assert refusal.value.code == "changed-bag"
    assert sorted(hashed) == sorted([*SLIDES, "s3"])


def test_nothing_is_remembered_of_a_file_that_was_just_written(run, hashed, monkeypatch):
    monkeypatch.setattr(finished, "_SETTLED_NS", 3_600 * 10**9)
    prove_folds(run)
    assert len(hashed) == 18 * len(SLIDES)

"""How an epoch sees a bag: drawn once, read chunk by chunk, the same in both passes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from jecur.mil.bag import Bag, open_bag
from jecur.settings import TrainingSettings
from jecur.training.bag_chunks import draw_chunks

PLAIN = TrainingSettings.from_flat(augment=False)


def _bag(n=11, side=16):
    tiles = np.random.default_rng(5).integers(60, 230, (n, side, side, 4), dtype=np.uint8)
    return Bag((tiles[:4], tiles[4:])), tiles


def _draw(bag, settings, seed=0, size=4):
    return draw_chunks(bag, settings, np.random.default_rng(seed), size=size)


def test_chunks_are_the_bag_in_order():
    bag, tiles = _bag()
    chunks = _draw(bag, PLAIN)
    assert [len(c) for c in chunks] == [4, 4, 3]
    assert len(chunks) == 3
    assert torch.equal(torch.cat(list(chunks)), torch.from_numpy(tiles))
    rgb = _draw(bag, PLAIN.with_changes(channels="rgb"))
    assert torch.equal(torch.cat(list(rgb)), torch.from_numpy(tiles[..., :3].copy()))
    with pytest.raises(IndexError):
        chunks[3]


def test_drawn_tiles_are_without_repeats_and_follow_the_generator():
    bag, _ = _bag()
    settings = PLAIN.with_changes(tiles_per_bag=5)
    drawn = [tuple(_draw(bag, settings, seed).chosen) for seed in range(20)]
    assert all(len(set(d)) == 5 for d in drawn)
    assert len(set(drawn)) > 10
    assert drawn[0] == tuple(_draw(bag, settings, 0).chosen)


def test_turns_and_flips_move_pixels_and_keep_them():
    bag, tiles = _bag()
    seen = set()
    for seed in range(40):
        chunks = _draw(bag, TrainingSettings(), seed, size=20)
        seen.add((chunks.quarter_turns, chunks.flip))
        turned = chunks[0].numpy()
        assert np.array_equal(np.sort(turned[0].ravel()), np.sort(tiles[0].ravel()))
    assert len(seen) == 8


def test_stains_are_perturbed_alike_in_both_passes_and_nuclei_are_not():
    bag, tiles = _bag()
    chunks = _draw(bag, PLAIN.with_changes(augment_stain=True))
    first, second = torch.cat(list(chunks)).numpy(), torch.cat(list(chunks)).numpy()
    assert np.array_equal(first, second)
    assert np.array_equal(first[..., 3], tiles[..., 3])
    moved = np.abs(first[..., :3].astype(int) - tiles[..., :3]).mean(axis=(1, 2, 3))
    assert (moved > 0.5).all()
    assert moved.std() > 0.2  # each tile by its own draw


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_a_bag_on_disk_gives_its_pages_back(tmp_path):
    n, side = 600, 224
    path = tmp_path / "bag.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (n, side, side, 4))[::50] = 7

    def resident():
        line = next(
            row for row in Path("/proc/self/status").read_text().splitlines() if "RssFile" in row
        )
        return int(line.split()[1]) / 1024

    bag = open_bag([path])
    before = resident()
    total = sum(int(chunk.sum()) for chunk in _draw(bag, PLAIN, size=50))
    assert total == 7 * 12 * side * side * 4
    assert resident() - before < 30  # MiB; the whole bag is 115

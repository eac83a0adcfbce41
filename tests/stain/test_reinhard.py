import numpy as np

from jecur.stain.reinhard import ReinhardTransfer, lab_moments


def test_moments_of_the_result_are_the_targets(plant):
    _, pixels = plant(0)
    _, other = plant(1)
    mean, std = lab_moments(pixels)
    goal_mean, goal_std = lab_moments(other)
    moved = ReinhardTransfer(mean, goal_mean, goal_std / std, background=1e-6)(pixels)
    got_mean, got_std = lab_moments(moved)
    before = np.abs(mean - goal_mean)
    assert (np.abs(got_mean - goal_mean) < np.maximum(before / 5, 0.01)).all()
    np.testing.assert_allclose(got_std, goal_std, rtol=0.15)


def test_gray_has_no_opponent_color():
    gray = np.repeat(np.arange(20, 256, dtype=np.uint8)[:, None], 3, axis=1)
    mean, _ = lab_moments(gray)
    assert np.abs(mean[1:]).max() < 0.02


def test_transfer_fades_out_toward_white():
    transfer = ReinhardTransfer(np.zeros(3), np.full(3, -0.3), np.ones(3), background=0.15)
    pale = np.array([[255, 255, 255], [250, 250, 250], [200, 200, 200]], np.uint8)
    change = np.abs(transfer(pale).astype(int) - pale).max(axis=1)
    assert change[0] == 0
    assert 0 < change[1] < change[2]

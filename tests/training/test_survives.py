"""Training that is killed at any moment goes on as if it had not been."""

import os
import signal
import time

import numpy as np
import pytest
from tests.training.forked import in_process

from jecur.mil.bag import open_bag
from jecur.runs.progress import SilentProgress
from jecur.settings import TrainingSettings

torch = pytest.importorskip("torch", reason="needs the extra: train")

from jecur.training.loop import LabeledBag, train_encoder  # noqa: E402

SETTINGS = TrainingSettings.from_flat(
    encoder="mobilenetv2_035",
    start="random",
    epochs=4,
    halve_every=2,
    learning_rate=1e-3,
    tiles_per_bag=6,
    chunk_size=4,
)


def _train(bags, checkpoints, out, say):
    """Train, and say when each epoch has ended."""
    torch.set_num_threads(1)
    training = [
        LabeledBag(p.stem, open_bag([p]), int(p.stem) % 2 == 1) for p in sorted(bags.iterdir())
    ]
    trained = train_encoder(
        training,
        training[:2],
        SETTINGS,
        checkpoints=checkpoints,
        mark="m",
        progress=SilentProgress(),
        on_epoch=lambda state: say.send(state.epoch),
    )
    weights = torch.cat([v.double().flatten() for v in trained.encoder.state_dict().values()])
    np.save(out, weights.numpy())


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags")
    rng = np.random.default_rng(3)
    for i in range(4):
        np.save(folder / f"{i}.npy", rng.integers(60 + 40 * (i % 2), 200, (8, 32, 32, 4), np.uint8))
    return folder


@pytest.fixture(scope="module")
def whole(bags, tmp_path_factory):
    """Weights and checkpoints of a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    with in_process(_train, bags, folder / "kept", folder / "weights.npy") as (_, hear):
        assert [hear.recv() for _ in range(4)] == [1, 2, 3, 4]
    return np.load(folder / "weights.npy"), folder / "kept" / "m"


def _gone_on(bags, checkpoints, out):
    with in_process(_train, bags, checkpoints, out) as (process, _):
        pass
    assert process.exitcode == 0
    return np.load(out)


def test_kill_9_and_going_on_gives_bitwise_the_same_weights(bags, whole, tmp_path):
    kept, out = tmp_path / "killed", tmp_path / "killed.npy"
    seen = []
    for delay in (0.0, 0.05):  # in the next epoch, or in its write
        with in_process(_train, bags, kept, out) as (process, hear):
            seen.append(hear.recv())
            time.sleep(delay)
            os.kill(process.pid, signal.SIGKILL)
        assert process.exitcode == -signal.SIGKILL
        assert not out.exists()
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]  # each went on from where the one before was killed
    assert np.array_equal(_gone_on(bags, kept, out), whole[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_in_mid_epoch_is_heeded_at_the_step_and_gone_on_from(
    bags, whole, tmp_path, number
):
    kept, out = tmp_path / "asked", tmp_path / "asked.npy"
    stopped = []
    for _ in range(2):
        with in_process(_train, bags, kept, out) as (process, hear):
            hear.recv()  # an epoch has ended: the next is under way
            os.kill(process.pid, number)
        assert process.exitcode != 0
        (left,) = (kept / "m").glob("*.step-*")
        stopped.append(left.name)
    assert stopped == sorted(set(stopped))  # the second went on from the first
    assert np.array_equal(_gone_on(bags, kept, out), whole[0])
    made, plain = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (kept / "m", whole[1])
    )
    assert made == plain

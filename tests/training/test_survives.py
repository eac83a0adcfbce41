"""Training that is killed at any moment goes on as if it had not been."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

SCRIPT = """
import sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from jecur.runs.progress import SilentProgress
from jecur.mil.bag import open_bag
from jecur.settings import TrainingSettings
from jecur.training.loop import LabeledBag, train_encoder

bags, checkpoints, out = map(Path, sys.argv[1:])
settings = TrainingSettings.from_flat(
    encoder="mobilenetv2_035", start="random", epochs=4, halve_every=2, learning_rate=1e-3,
    tiles_per_bag=6, chunk_size=4,
)
training = [LabeledBag(p.stem, open_bag([p]), int(p.stem) % 2 == 1) for p in sorted(bags.iterdir())]
trained = train_encoder(
    training, training[:2], settings, checkpoints=checkpoints, mark="m", progress=SilentProgress(),
    on_epoch=lambda state: print(state.epoch, flush=True),
)
weights = torch.cat([v.double().flatten() for v in trained.encoder.state_dict().values()])
np.save(out, weights.numpy())
"""


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags")
    rng = np.random.default_rng(3)
    for i in range(4):
        np.save(folder / f"{i}.npy", rng.integers(60 + 40 * (i % 2), 200, (8, 32, 32, 4), np.uint8))
    return folder


def _start(bags, checkpoints, out):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(bags), str(checkpoints), str(out)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_kill_9_and_going_on_gives_bitwise_the_same_weights(bags, tmp_path):
    with _start(bags, tmp_path / "whole", tmp_path / "whole.npy") as whole:
        assert len(whole.stdout.read().split()) == 4
    seen = []
    for delay in (0.0, 0.05):  # in the next epoch, or in its write
        with _start(bags, tmp_path / "killed", tmp_path / "killed.npy") as process:
            seen.append(int(process.stdout.readline()))
            time.sleep(delay)
            os.kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "killed.npy").exists()
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]  # each went on from where the one before was killed
    with _start(bags, tmp_path / "killed", tmp_path / "killed.npy") as last:
        last.wait()
    assert np.array_equal(np.load(tmp_path / "whole.npy"), np.load(tmp_path / "killed.npy"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_in_mid_epoch_is_heeded_at_the_step_and_gone_on_from(bags, tmp_path, number):
    with _start(bags, tmp_path / "whole", tmp_path / "whole.npy") as whole:
        whole.stdout.read()
    stopped = []
    for _ in range(2):
        with _start(bags, tmp_path / "asked", tmp_path / "asked.npy") as process:
            process.stdout.readline()  # an epoch has ended: the next is under way
            process.send_signal(number)
        assert process.returncode != 0
        (left,) = (tmp_path / "asked" / "m").glob("*.step-*")
        stopped.append(left.name)
    assert stopped == sorted(set(stopped))  # the second went on from the first
    with _start(bags, tmp_path / "asked", tmp_path / "asked.npy") as last:
        last.wait()
    assert np.array_equal(np.load(tmp_path / "whole.npy"), np.load(tmp_path / "asked.npy"))
    made, plain = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "m").iterdir()}
        for name in ("asked", "whole")
    )
    assert made == plain

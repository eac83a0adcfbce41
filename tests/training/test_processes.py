"""Two processes, as torchrun or srun starts them, train what one does."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import json, os, sys
from pathlib import Path
import msgspec, numpy as np, torch
torch.set_num_threads(1)
from jecur.runs.progress import SilentProgress
from jecur.mil.bag import open_bag
from jecur.settings import TrainingSettings
from jecur.training.loop import LabeledBag, train_encoder
from jecur.training.processes import joined_processes

bags, out = map(Path, sys.argv[1:3])
launchers = json.loads(sys.argv[3])
paper = TrainingSettings.from_flat(
    encoder="mobilenetv2_035", start="random", epochs=2, chunk_size=3, learning_rate=1e-3,
    settle_offset=False,
)
cox = paper.with_changes(loss="cox", pooling="noisy-and")
gated = paper.with_changes(pooling="attention", pooling_hidden=4)
training = [
    LabeledBag(p.stem, open_bag([p]), int(p.stem) % 2 == 1, 10.0 + int(p.stem))
    for p in sorted(bags.iterdir())
]
plain = dict(os.environ)
for launcher, says in launchers.items():
    os.environ.clear()
    os.environ.update(plain | says)
    with joined_processes() as processes:
        weights = []
        for name, settings in (("paper", paper), ("cox", cox), ("gated", gated)):
            trained = train_encoder(
                training, training[:2], settings, checkpoints=out / launcher / "checkpoints", mark=name,
                progress=SilentProgress(), processes=processes,
            )
            weights += [v.double().flatten() for v in trained.encoder.state_dict().values()]
        np.save(out / f"{launcher}-{processes.n}-{processes.rank}.npy", torch.cat(weights).numpy())
"""


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def _by_torchrun(k, n):
    return {"RANK": str(k), "LOCAL_RANK": str(k), "WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1"}


def _by_srun(k, n):
    return {
        "SLURM_JOB_ID": "77",
        "SLURM_STEP_ID": "0",
        "SLURM_PROCID": str(k),
        "SLURM_LOCALID": str(k),
        "SLURM_NTASKS": str(n),
        "SLURM_NODELIST": "localhost",
    }


def _run(bags, out, n, *launchers):
    """Weights that each of ``n`` processes learns, by one launcher after the other, in this order."""
    out.mkdir(exist_ok=True)
    ports = {launcher: _free_port() for launcher in launchers}
    started = []
    for k in range(n):
        says = {
            launcher.__name__: launcher(k, n) | {"MASTER_PORT": ports[launcher]}
            for launcher in launchers
        }
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", SCRIPT, str(bags), str(out), json.dumps(says)],
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    said = [process.communicate(timeout=120)[1] for process in started]
    if n > 1 and any("init_process_group" in text for text in said):
        pytest.skip(f"processes cannot be joined here: {said[0][-300:]}")
    assert all(process.returncode == 0 for process in started), said
    return [np.load(out / f"{by.__name__}-{n}-{k}.npy") for by in launchers for k in range(n)]


def test_two_processes_learn_the_weights_of_one(tmp_path):
    bags = tmp_path / "bags"
    bags.mkdir()
    rng = np.random.default_rng(3)
    for i in range(4):
        n = 5 + 2 * i
        np.save(bags / f"{i}.npy", rng.integers(60 + 30 * i, 220, (n, 32, 32, 4), np.uint8))
    (alone,) = _run(bags, tmp_path / "one", 1, _by_torchrun)
    first, second, *by_srun = _run(bags, tmp_path / "two", 2, _by_torchrun, _by_srun)
    assert np.array_equal(first, second)
    # The same packs of tiles, summed in float64: rounding is all that could differ.
    assert np.abs(first - alone).max() < 1e-6
    checkpoints = tmp_path / "two" / "_by_torchrun" / "checkpoints"
    assert len(list((checkpoints / "cox").iterdir())) == 2
    # Started by srun, the same two: to the last bit.
    assert len(by_srun) == 2
    for weights in by_srun:
        assert np.array_equal(weights, first)

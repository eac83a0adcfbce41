"""Two processes, as torchrun or srun starts them, train what one does."""

import os
import socket
import traceback
from contextlib import ExitStack

import numpy as np
import pytest
from tests.training.forked import in_process

from jecur.mil.bag import open_bag
from jecur.runs.progress import SilentProgress
from jecur.settings import TrainingSettings

torch = pytest.importorskip("torch", reason="needs the extra: train")

from jecur.training.loop import LabeledBag, train_encoder  # noqa: E402
from jecur.training.processes import joined_processes  # noqa: E402

PAPER = TrainingSettings.from_flat(
    encoder="mobilenetv2_035",
    start="random",
    epochs=2,
    chunk_size=3,
    learning_rate=1e-3,
    settle_offset=False,
)
RECIPES = {
    "paper": PAPER,
    "cox": PAPER.with_changes(loss="cox", pooling="noisy-and"),
    "gated": PAPER.with_changes(pooling="attention", pooling_hidden=4),
}


def _learn(bags, out, environments, say):
    """Train by one launcher after the other, whose variables are given by its name."""
    torch.set_num_threads(1)
    training = [
        LabeledBag(p.stem, open_bag([p]), int(p.stem) % 2 == 1, 10.0 + int(p.stem))
        for p in sorted(bags.iterdir())
    ]
    plain = dict(os.environ)
    said = ""
    try:
        for launcher, variables in environments.items():
            os.environ.clear()
            os.environ.update(plain | variables)
            _learn_recipes(training, out, launcher)
    except Exception:
        said = traceback.format_exc()
        raise
    finally:
        say.send(said)


def _learn_recipes(training, out, launcher):
    with joined_processes() as processes:
        weights = []
        for name, settings in RECIPES.items():
            trained = train_encoder(
                training,
                training[:2],
                settings,
                checkpoints=out / launcher / "checkpoints",
                mark=name,
                progress=SilentProgress(),
                processes=processes,
            )
            weights += [v.double().flatten() for v in trained.encoder.state_dict().values()]
        name = f"{launcher}-{processes.n}-{processes.rank}.npy"
        np.save(out / name, torch.cat(weights).numpy())


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


def _run(bags, out, n, **launchers):
    """Weights that each of ``n`` processes learns, by one launcher after the other."""
    out.mkdir(exist_ok=True)
    ports = {name: _free_port() for name in launchers}
    with ExitStack() as stack:
        started = []
        for k in range(n):
            environments = {
                name: launcher(k, n) | {"MASTER_PORT": ports[name]}
                for name, launcher in launchers.items()
            }
            started.append(stack.enter_context(in_process(_learn, bags, out, environments)))
    said = [hear.recv() for _, hear in started]
    if n > 1 and any("init_process_group" in text for text in said):
        pytest.skip(f"processes cannot be joined here: {said[0][-300:]}")
    assert [process.exitcode for process, _ in started] == [0] * n, said
    return [np.load(out / f"{name}-{n}-{k}.npy") for name in launchers for k in range(n)]


def test_two_processes_learn_the_weights_of_one(tmp_path):
    bags = tmp_path / "bags"
    bags.mkdir()
    rng = np.random.default_rng(3)
    for i in range(4):
        n = 5 + 2 * i
        np.save(bags / f"{i}.npy", rng.integers(60 + 30 * i, 220, (n, 32, 32, 4), np.uint8))
    (alone,) = _run(bags, tmp_path / "one", 1, torchrun=_by_torchrun)
    out = tmp_path / "two"
    first, second, *by_srun = _run(bags, out, 2, torchrun=_by_torchrun, srun=_by_srun)
    assert np.array_equal(first, second)
    # The same packs of tiles, summed in float64: rounding is all that could differ.
    assert np.abs(first - alone).max() < 1e-6
    assert len(list((out / "torchrun" / "checkpoints" / "cox").iterdir())) == 2
    # Started by srun, the same two: to the last bit.
    assert len(by_srun) == 2
    for weights in by_srun:
        assert np.array_equal(weights, first)

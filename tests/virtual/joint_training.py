"""One small training by one process and by the two that torchrun starts, made once for all tests that ask."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from tests.virtual.tiny_study import quick_study

from jecur.cli import OK, run
from jecur.runs.folder import RunFolder
from jecur.settings import SimulationSettings, TilingSettings, TrainingSettings, write_study
from jecur.simulate.cohort import simulate_cohort

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
ONE_AFTER_THE_OTHER = """
import contextlib, json, os, runpy, sys
from pathlib import Path

said, commands, ports = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
for number, command in enumerate(commands):
    sys.argv = ["jecur", *command]
    if number:  # the launcher has one meeting place for one command
        os.environ |= {"TORCHELASTIC_USE_AGENT_STORE": "False", "MASTER_PORT": str(ports[number])}
    with (said / f"{number}-{os.environ['RANK']}").open("w") as file:
        with contextlib.redirect_stdout(file):
            try:
                runpy.run_module("jecur", run_name="__main__")
            except SystemExit as end:
                code = end.code
    if code:
        sys.exit(code)
"""
"""``python -m jecur`` for each command: a start of two processes costs more than what they do here."""
PAPER = TrainingSettings.from_flat(
    encoder="mobilenetv2_035",
    start="random",
    epochs=2,
    chunk_size=2,
    tiles_per_bag=5,
    good_months=30.0,
    poor_months=25.0,
)
FROZEN = PAPER.with_changes(encoder_learns=False, pooling="mean", loss="cox")


def quiet_environment() -> dict[str, str]:
    """Environment of one thread a process, which sleeps where it waits and leaves the cores alone."""
    alone = {k: v for k, v in os.environ.items() if k not in {"RANK", "WORLD_SIZE"}}
    return alone | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def launched(*program: object) -> subprocess.CompletedProcess[str]:
    """Run a program in two processes of one thread."""
    return subprocess.run(
        [sys.executable, *LAUNCHER, "2", *map(str, program)],
        env=quiet_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(n)]
        for free in held:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in held]


@dataclass(frozen=True)
class Both:
    """Folders that one process wrote and two together, and what the two said on each command."""

    study: Path
    one: Path
    two: Path
    said: Path

    def of(self, name: str) -> tuple[Path, Path]:
        return self.one / name, self.two / name


def _studies(folder: Path) -> tuple[Path, Path]:
    folder.mkdir()
    cohort = SimulationSettings(
        n_training=6, n_validation=1, seed=5, size_px=512, tissue_fraction=0.8
    )
    simulate_cohort(cohort, folder)
    for name, training in (("study.toml", PAPER), ("frozen.toml", FROZEN)):
        tiny = quick_study("Tiny", training)
        tiny = msgspec.structs.replace(tiny, tiling=TilingSettings(max_tiles=3))
        (folder / name).write_text(write_study(tiny))
    return folder / "study.toml", folder / "frozen.toml"


def joint_folders(base: Path) -> Both:
    """Where they lie in the folder in which they were made."""
    return Both(*(base / name for name in ("study/study.toml", "one", "two", "said")))


def train_jointly(base: Path) -> None:
    """Train and cross-validate by one process, and by two that torchrun starts; skip where it cannot."""
    studies = _studies(base / "study")
    one, two, said = (base / name for name in ("one", "two", "said"))
    said.mkdir()

    def train(out: Path) -> list[str]:
        return ["train", str(studies[0]), "--out", str(out / "train"), "-j", "1", "--json"]

    def validate(out: Path) -> list[str]:
        command = ["crossval", str(studies[1]), "--out", str(out / "crossval")]
        return [*command, "--folds", "2", "-j", "1"]

    for command, name in ((train, "train"), (validate, "crossval")):
        assert run(command(one)) == OK
        # With the slides of the other: who prepares them is not the question here.
        RunFolder.join(two / name)
        shutil.copytree(one / name / "slides", two / name / "slides")
    script = base / "one_after_the_other.py"
    script.write_text(ONE_AFTER_THE_OTHER)
    commands = [train(two), train(two), validate(two)]
    done = launched(script, said, json.dumps(commands), _free_ports(len(commands)))
    if "init_process_group" in done.stderr or "RendezvousConnectionError" in done.stderr:
        pytest.skip(f"processes cannot be joined here: {done.stderr[-300:]}")
    assert done.returncode == OK, done.stderr

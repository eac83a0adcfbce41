"""Whether this process is one of several that a launcher started to train together, and where they meet.

Known are ``torchrun`` and whatever sets its variables, and ``srun``. Several tasks that have nowhere to
meet would be several trainings, each writing over the others: they are refused.
"""

import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from jecur.errors import TrainingError

__all__ = ["Launched", "first_host", "launched", "name_rendezvous"]

_FIRST_PORT, _PORTS = 20000, 20000
_OTHERS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where launchers that are not known say how many processes they started."""


@dataclass(frozen=True, slots=True)
class Launched:
    """Place of this process among those that a launcher started.

    Parameters
    ----------
    rank
        0 <= rank < n; 0 is the main process.
    n
        Number of processes, at least 2.
    local
        Number on this machine.
    address, port
        Where they meet.
    """

    rank: int
    n: int
    local: int
    address: str
    port: int


def launched(environment: Mapping[str, str] | None = None) -> Launched | None:
    """Return which process this is; None if it is alone.

    Raises
    ------
    TrainingError
        If there are several and it is not said where they meet.
    """
    env = os.environ if environment is None else environment
    n = _number(env, "WORLD_SIZE")
    if n is not None:
        if n < 2:
            return None
        rank, address, port = (
            _number(env, "RANK"),
            env.get("MASTER_ADDR"),
            _number(env, "MASTER_PORT"),
        )
        if rank is None or not address or port is None:
            raise _nowhere(n, "WORLD_SIZE")
        return Launched(rank, n, _number(env, "LOCAL_RANK") or 0, address, port)
    if "SLURM_PROCID" in env:
        return _by_srun(env)
    for name in _OTHERS:
        if (_number(env, name) or 1) > 1:
            raise _nowhere(_number(env, name) or 0, name)
    return None


def _by_srun(env: Mapping[str, str]) -> Launched | None:
    rank = _number(env, "SLURM_PROCID")
    job_tasks = _number(env, "SLURM_NTASKS") or 1
    # The script of a job has the job's number of tasks in its environment, and is one process.
    in_step = "SLURM_STEP_ID" in env
    n = (_number(env, "SLURM_STEP_NUM_TASKS") or job_tasks) if in_step else 1
    if n < 2 and not rank:
        return None
    host = first_host(env.get("SLURM_STEP_NODELIST") or env.get("SLURM_NODELIST") or "")
    address = env.get("MASTER_ADDR") or host
    if rank is None or n < 2 or not address or rank >= n:
        raise _nowhere(max(n, job_tasks), "SLURM_NTASKS")
    job = (_number(env, "SLURM_JOB_ID") or 0) + 7919 * (_number(env, "SLURM_STEP_ID") or 0)
    port = _number(env, "MASTER_PORT") or _FIRST_PORT + job % _PORTS
    return Launched(rank, n, _number(env, "SLURM_LOCALID") or 0, address, port)


def first_host(names: str) -> str:
    """Return the first machine of a list as SLURM writes it: ``rack[1-2]n[03,7],x`` is ``rack1n03``."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", names)
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first.group() if first else "")


def name_rendezvous(here: Launched, environment: MutableMapping[str, str] | None = None) -> None:
    """Say to torch, in the environment, which process this is and where all meet."""
    env = os.environ if environment is None else environment
    env["RANK"], env["WORLD_SIZE"] = str(here.rank), str(here.n)
    env["LOCAL_RANK"] = str(here.local)
    env["MASTER_ADDR"], env["MASTER_PORT"] = here.address, str(here.port)


def _number(env: Mapping[str, str], name: str) -> int | None:
    text = env.get(name, "")
    return int(text) if text.isdecimal() else None


def _nowhere(n: int, name: str) -> TrainingError:
    return TrainingError(
        f"expected one process, or several that know where they meet, found {n} by {name} and no place; "
        "start them with srun or torchrun, or one alone (unset the variable)",
        code="no-rendezvous",
    )

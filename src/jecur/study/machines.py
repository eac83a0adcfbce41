"""The machines that a study's settings name, at work for the length of a block."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from jecur.errors import SettingsError, SystemRefusedError
from jecur.runs.worker_pool import kept_between_works, without_the_script
from jecur.runs.workers import working_with
from jecur.settings import ComputeSettings, SlurmSettings

__all__ = ["at_work", "with_engine"]

_WAIT_S = 30
_NO_PAGE = "127.0.0.1:0"
"""Where distributed serves its pages, which it always does: to this machine alone, and none but health."""
_LATEST_END_S = 300
"""Workers end in order so long before the time limit of their job, or in its last tenth if that is less."""


def with_engine(
    compute: ComputeSettings, engine: str | None, scheduler: str, device: str | None = None
) -> ComputeSettings:
    """Put what the command line says in place of what the study says; None and "" say nothing."""
    if device:
        compute = msgspec.structs.replace(compute, device=device)
    if engine or scheduler:
        said = {"engine": engine or "dask", "scheduler": scheduler or compute.scheduler}
        if said["engine"] == "local":
            said["scheduler"] = scheduler
        return msgspec.structs.replace(compute, **said)
    return compute


@contextmanager
def at_work(
    compute: ComputeSettings, out: Path, *, workers: int, say: Callable[[str], None]
) -> Iterator[None]:
    """Start, or reach, the machines that the settings name; on this one processes serve all stages.

    Parameters
    ----------
    compute
        Settings of the study.
    out
        Run folder: logs and, for SLURM, keys of the connection lie in it while the block runs.
    workers
        Processes, where workers are started on this machine.
    say
        Shows a line to the user.

    Raises
    ------
    SettingsError
        If the extra is not installed.
    SystemRefusedError
        If the scheduler cannot be reached.
    """
    if compute.engine == "local":
        with kept_between_works(workers):
            yield
        return
    try:
        from distributed import Client  # noqa: PLC0415

        from jecur.runs.dask_engine import TRIES, DaskEngine  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    import dask  # noqa: PLC0415

    quiet = {
        "distributed.scheduler.allowed-failures": TRIES - 1,
        "distributed.worker.memory.terminate": False,  # the system's own limit counts
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
        "distributed.logging.distributed": "error",
        "distributed.scheduler.http.routes": ["distributed.http.health"],
        "distributed.worker.http.routes": ["distributed.http.health"],
    }
    with ExitStack() as open_now, dask.config.set(quiet):
        where, most, renew = _cluster(compute, out, workers, open_now)
        try:
            client = open_now.enter_context(Client(where, timeout=_WAIT_S, set_as_default=False))
        except (OSError, TimeoutError) as error:
            raise SystemRefusedError(
                f"expected a Dask scheduler at {compute.scheduler}, found none ({type(error).__name__}); "
                "start one (dask scheduler) or correct the address",
                code="no-scheduler",
            ) from error
        say(f"work is given out at {client.scheduler.address}")
        open_now.enter_context(working_with(DaskEngine(client, most=most, say=say, renew=renew)))
        yield


def _cluster(
    compute: ComputeSettings, out: Path, workers: int, open_now: ExitStack
) -> tuple[Any, int, Callable[[], None] | None]:
    """Return what a client connects to, the most workers there may be (0: not known), what renews them."""
    if compute.scheduler:
        return compute.scheduler, 0, None
    if compute.slurm is not None:
        most = compute.slurm.jobs * compute.slurm.cores
        return open_now.enter_context(_slurm(compute.slurm, out)), most, None
    open_now.enter_context(without_the_script())  # for whoever is started anew, too
    cluster = open_now.enter_context(_local(workers))

    def renew() -> None:
        cluster.scale(0)  # a nanny without its worker counts as one until it is gone
        end = time.monotonic() + _WAIT_S
        while cluster.workers and time.monotonic() < end:
            time.sleep(0.1)
        cluster.scale(workers)

    return cluster, workers, renew


def _local(workers: int) -> Any:  # noqa: ANN401 - distributed's own
    """Workers on this machine: they listen on the loopback alone, and to nobody without the run's key."""
    from distributed import LocalCluster  # noqa: PLC0415

    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        protocol="tls://",
        security=_run_keys(),
        dashboard_address=None,
        worker_dashboard_address=None,
        memory_limit=0,
    )


@contextmanager
def _slurm(slurm: SlurmSettings, out: Path) -> Iterator[Any]:
    """Workers in jobs of SLURM, as many as there is work for."""
    try:
        from dask_jobqueue import SLURMCluster  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    keys, logs = (out / ".cluster" / "keys").resolve(), (out / ".cluster" / "logs").resolve()
    keys.mkdir(parents=True, exist_ok=True)
    keys.chmod(0o700)
    logs.mkdir(parents=True, exist_ok=True)
    with SLURMCluster(**job_options(slurm, str(keys), str(logs)), security=_run_keys()) as cluster:
        cluster.adapt(minimum=0, maximum_jobs=slurm.jobs)
        yield cluster
    shutil.rmtree(keys, ignore_errors=True)


def job_options(slurm: SlurmSettings, keys: str, logs: str) -> dict[str, Any]:
    """Options of `dask_jobqueue.SLURMCluster`: one worker a core, one thread each, no page served."""
    lifetime = slurm.walltime_s - min(_LATEST_END_S, slurm.walltime_s // 10)
    return {
        "queue": slurm.partition or None,
        "account": slurm.account or None,
        "cores": slurm.cores,
        "processes": slurm.cores,
        "memory": slurm.memory,
        "walltime": slurm.walltime,
        "interface": slurm.interface or None,
        "job_script_prologue": list(slurm.prologue),
        "worker_extra_args": [
            *["--lifetime", f"{lifetime}s", "--memory-limit", "0"],
            *["--no-dashboard", "--dashboard-address", _NO_PAGE],
        ],
        "scheduler_options": {"dashboard": False, "dashboard_address": _NO_PAGE},
        "protocol": "tls://",
        "shared_temp_directory": keys,
        "log_directory": logs,
    }


def _run_keys() -> Any:  # noqa: ANN401 - distributed's own
    from distributed.security import Security  # noqa: PLC0415

    try:
        return Security.temporary()
    except ImportError as error:
        raise _not_installed(error) from error


def _not_installed(error: ImportError) -> SettingsError:
    return SettingsError(
        f"expected distributed, dask-jobqueue and cryptography for engine = 'dask', found no "
        f'{error.name or "cryptography"}; install them with: pip install "jecur[cluster]"',
        code="no-dask",
    )

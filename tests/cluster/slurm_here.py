"""A SLURM of one node, started on the loopback of a network namespace of its own, and ended again.

Nothing outside the namespace can reach it, and it touches no SLURM of the machine: its own key, its own
configuration, its own folder. Needs root, and Debian's slurm-wlm, munge and iproute2.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = (
    "ip",
    "nsenter",
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "srun",
    "scancel",
    "squeue",
    "sinfo",
)

CONF = """
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=20
MessageTimeout=60
SlurmdTimeout=300
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,defer=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class SlurmHere:
    """A SLURM that runs."""

    namespace: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which every command finds it, and jobs the programs of this Python."""
        programs = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
        return os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": programs}

    def run(self, command: Sequence[str], **options) -> subprocess.CompletedProcess:
        """Run a command inside the namespace to its end."""
        usual = {"text": True, "capture_output": True, "check": False, "env": self.environment}
        return subprocess.run(self._inside(command), **usual | options)  # noqa: PLW1510

    def start(self, command: Sequence[str], **options) -> subprocess.Popen:
        """Start a command inside the namespace."""
        return subprocess.Popen(self._inside(command), env=self.environment, **options)

    def jobs(self) -> list[str]:
        """Numbers of the jobs that have not ended."""
        return self.run(["squeue", "-h", "-r", "-o", "%i"]).stdout.split()

    def wait_until_empty(self, seconds: float) -> None:
        """Wait until no job is left."""
        end = time.monotonic() + seconds
        while self.jobs():
            if time.monotonic() > end:
                raise TimeoutError(self.run(["squeue"]).stdout)
            time.sleep(0.5)

    def _inside(self, command: Sequence[str]) -> list[str]:
        # Not "ip netns exec": it would hide /sys/fs/cgroup, which slurmd wants to see.
        return ["nsenter", f"--net=/run/netns/{self.namespace}", *command]


def why_not() -> str:
    """Say why no SLURM can be started here; "" if one can, as far as can be told."""
    if os.name != "posix" or os.geteuid() != 0:
        return "needs root"
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        return f"needs {', '.join(missing)} (Debian: slurm-wlm munge iproute2)"
    probe = f"jecur-probe-{os.getpid()}"
    tried = subprocess.run(
        ["ip", "netns", "add", probe], capture_output=True, text=True, check=False
    )
    if tried.returncode != 0:
        return f"needs a network namespace: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", probe], check=False)
    return ""


@contextlib.contextmanager
def slurm_here(folder: Path, *, cpus: int = 8) -> Iterator[SlurmHere]:
    """Start a SLURM whose node says it has so many cores, and end it.

    Parameters
    ----------
    folder
        Of its own, on a path that is short (sockets) and that it may fill.
    """
    here = SlurmHere(f"jecur-{os.getpid()}", folder)
    subprocess.run(["ip", "netns", "add", here.namespace], check=True)
    try:
        _loopback(here)
        _configure(folder, cpus)
        with _daemons(here):
            yield here
            here.run(["scancel", "--me"])
    finally:
        subprocess.run(["ip", "netns", "delete", here.namespace], check=False)


def _loopback(here: SlurmHere) -> None:
    """Bring the loopback up, with an address beside 127.0.0.1: names are not resolved without one."""
    here.run(["ip", "link", "set", "lo", "up"], check=True)
    here.run(["ip", "address", "add", "10.99.0.1/32", "dev", "lo"], check=True)


def _configure(folder: Path, cpus: int) -> None:
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "munge").chmod(0o711)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    text = CONF.format(host=socket.gethostname(), folder=folder, cpus=cpus, memory=16000)
    (folder / "slurm.conf").write_text(text)


@contextlib.contextmanager
def _daemons(here: SlurmHere) -> Iterator[None]:
    munge = here.folder / "munge"
    commands = [
        [
            *["munged", "--foreground", "--force", f"--socket={munge}/socket"],
            *[f"--key-file={munge}/key", f"--log-file={munge}/log", f"--pid-file={munge}/pid"],
            f"--seed-file={munge}/seed",
        ],
        ["slurmctld", "-D", "-f", str(here.folder / "slurm.conf")],
        ["slurmd", "-D", "-f", str(here.folder / "slurm.conf")],
    ]
    started: list[subprocess.Popen] = []
    with (here.folder / "daemons.txt").open("w") as said:
        try:
            for command in commands:
                started.append(here.start(command, stdout=said, stderr=said))
                time.sleep(1.0)
            _until_idle(here)
            yield
        finally:
            for process in reversed(started):
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()
                process.wait()


def _until_idle(here: SlurmHere) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if "idle" in here.run(["sinfo", "-h", "-o", "%T"]).stdout:
            return
        time.sleep(0.5)
    said = "\n".join(p.read_text()[-1500:] for p in here.folder.glob("*.log"))
    raise RuntimeError(f"no node became idle: {said}")

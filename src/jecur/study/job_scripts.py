"""Job scripts of SLURM for one study, to be read and edited: prepare, then train, then all the rest."""

import shlex
from pathlib import Path

from jecur.errors import SettingsError
from jecur.settings import SlurmSettings

__all__ = ["chained_jobs"]

_TELL_S = 300
"""SLURM tells the training so long before its time limit; it goes on from there in the same job."""

_SCRIPT = """\
#!/usr/bin/env bash
# Three jobs of SLURM, each waiting for the one before. Read, edit, then: bash THIS_FILE
# Workers prepare the slides, each taking those that nobody has; then the model is trained; then the
# validation patients are scored and the report is written. Exit code 3 says that some slides failed:
# the rest goes on. Any of them may be submitted again: each does only what is missing.
set -euo pipefail
mkdir -p {logs}

prepare=$(sbatch --parsable --output={log_prepare} <<'JOB'
{head_prepare}
jecur prepare {study} --out {out}{more} --worker
JOB
)

train=$(sbatch --parsable --dependency=afterany:"$prepare" --output={log_train} <<'JOB'
{head_train}
code=0
srun jecur train {study} --out {out}{more} || code=$?
if [ "$code" -eq 138 ]; then  # told of the time limit: a checkpoint is written
  scontrol requeue "$SLURM_JOB_ID"
fi
[ "$code" -eq 0 ] || [ "$code" -eq 3 ]
JOB
)

sbatch --dependency=afterok:"$train" --output={log_run} <<'JOB'
{head_run}
jecur run {study} --out {out}{more}
JOB
"""


def chained_jobs(
    study: Path, out: Path, slurm: SlurmSettings, *, preset: str = "", device: str = ""
) -> str:
    """Write the script that submits all jobs of a study.

    Parameters
    ----------
    study
        The study file.
    out
        Run folder.
    slurm
        What the jobs ask for.
    preset, device
        Given on to each of the three commands; "" leaves it to the study.

    Raises
    ------
    SettingsError
        If a path cannot stand in a job script.
    """
    study, out = study.resolve(), out.resolve()
    for path in (study, out):
        if any(ord(letter) < 32 for letter in str(path)):
            raise SettingsError(f"expected a path of plain letters, found {str(path)!r}; rename it")
    logs = out / ".cluster" / "logs"
    array = [f"#SBATCH --array=1-{slurm.jobs}"] if slurm.jobs > 1 else []
    tell = [f"#SBATCH --signal=USR1@{min(_TELL_S, slurm.walltime_s // 4)}", "#SBATCH --requeue"]
    gres = [f"#SBATCH --gres={slurm.gres}"] if slurm.gres else []
    one_task = ["#SBATCH --ntasks=1"]
    given = {"preset": preset, "device": device}
    return _SCRIPT.format(
        study=shlex.quote(str(study)),
        out=shlex.quote(str(out)),
        more="".join(f" --{k} {v}" for k, v in given.items() if v),
        logs=shlex.quote(str(logs)),
        log_prepare=_log(logs, "%x-%A-%a.txt" if array else "%x-%j.txt"),
        log_train=_log(logs, "%x-%j.txt"),
        log_run=_log(logs, "%x-%j.txt"),
        head_prepare=_head("jecur-prepare", slurm, [*array, *one_task]),
        head_train=_head("jecur-train", slurm, [*one_task, *gres, *tell]),
        head_run=_head("jecur-run", slurm, one_task),
    )


def _log(logs: Path, name: str) -> str:
    """Path of a log as sbatch reads it: a percent sign of the folder's own is doubled."""
    return shlex.quote(f"{str(logs).replace('%', '%%')}/{name}")


def _head(name: str, slurm: SlurmSettings, more: list[str]) -> str:
    lines = [
        "#!/usr/bin/env bash",
        f"#SBATCH --job-name={name}",
        *([f"#SBATCH --partition={slurm.partition}"] if slurm.partition else []),
        *([f"#SBATCH --account={slurm.account}"] if slurm.account else []),
        f"#SBATCH --cpus-per-task={slurm.cores}",
        f"#SBATCH --mem={slurm.memory.replace('iB', '').removesuffix('B')}",
        f"#SBATCH --time={slurm.walltime}",
        *more,
        *slurm.prologue,
    ]
    return "\n".join(lines)

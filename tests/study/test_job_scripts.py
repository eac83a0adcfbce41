"""The jobs of a study for SLURM: what the settings say, quoted, and a script that the shell reads."""

import shlex
import subprocess

import pytest

from jecur.cli import OK, run
from jecur.errors import SettingsError
from jecur.settings import SlurmSettings
from jecur.study.job_scripts import chained_jobs

FAKE = """#!/usr/bin/env bash
n=$(cat {folder}/n 2>/dev/null || echo 0); n=$((n + 1)); echo $n > {folder}/n
printf '%s\\n' "$@" > {folder}/$n.arguments
cat > {folder}/$n.job
echo $((100 + n))
"""


def _submitted(script, folder):
    """Run the script with an sbatch that only writes down what it is given."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "sbatch").write_text(FAKE.format(folder=shlex.quote(str(folder))))
    (programs / "sbatch").chmod(0o755)
    done = subprocess.run(
        ["bash"],
        input=script,
        env={"PATH": f"{programs}:/usr/bin:/bin"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [
        ((folder / f"{k}.arguments").read_text().splitlines(), (folder / f"{k}.job").read_text())
        for k in (1, 2, 3)
    ]


def test_three_jobs_wait_for_each_other_and_say_what_the_settings_say(tmp_path):
    study, out = tmp_path / "my study's" / "study.toml", tmp_path / "100% run"
    slurm = SlurmSettings(
        partition="cpu",
        account="liver",
        cores=6,
        memory="24GB",
        walltime="02:00:00",
        jobs=5,
        gres="gpu:1",
        prologue=("module load x", "source 'y z'"),
    )
    jobs = _submitted(chained_jobs(study, out, slurm), tmp_path)
    (prepare, prepare_job), (train, train_job), (rest, run_job) = jobs
    assert (out / ".cluster" / "logs").is_dir()
    assert f"--output={tmp_path}/100%% run/.cluster/logs/%x-%A-%a.txt" in prepare
    assert "--dependency=afterany:101" in train
    assert "--dependency=afterok:102" in rest
    for job in (prepare_job, train_job, run_job):
        head = job[: job.index("jecur ")]
        for line in ("--partition=cpu", "--account=liver", "--cpus-per-task=6", "--mem=24G"):
            assert f"#SBATCH {line}\n" in head
        assert "#SBATCH --time=02:00:00\n" in head
        assert "module load x\nsource 'y z'\n" in head
        assert subprocess.run(["bash", "-n"], input=job, text=True, check=False).returncode == 0
    assert "#SBATCH --array=1-5\n" in prepare_job
    assert "--gres" not in prepare_job + run_job
    assert "#SBATCH --gres=gpu:1\n" in train_job
    assert "#SBATCH --signal=USR1@300\n" in train_job
    for job, said in ((prepare_job, "prepare"), (train_job, "train"), (run_job, "run")):
        (line,) = [each for each in job.splitlines() if f"jecur {said} " in each]
        words = shlex.split(line)
        assert words[words.index(said) + 1] == str(study)
        assert words[words.index("--out") + 1] == str(out)


def test_a_path_with_a_line_break_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="plain letters"):
        chained_jobs(tmp_path / "a\n#SBATCH --uid=0", tmp_path, SlurmSettings())


def test_the_command_prints_and_submits_nothing(tiny_study, tmp_path, capsys):
    assert run(["slurm", str(tiny_study), "--out", str(tmp_path / "run")]) == OK
    said = capsys.readouterr().out
    assert said.startswith("#!/usr/bin/env bash\n")
    assert "--array=1-10" in said
    assert not (tmp_path / "run").exists()
    assert "--preset" not in said
    assert "--device" not in said


def test_preset_and_device_reach_all_three_jobs(tiny_study, tmp_path, capsys):
    given = ["--preset", "paper", "--device", "cpu"]
    assert run(["slurm", str(tiny_study), "--out", str(tmp_path / "run"), *given]) == OK
    lines = [line for line in capsys.readouterr().out.splitlines() if "jecur " in line]
    told = [shlex.split(line) for line in lines if "--out " in line]
    assert len(told) == 3
    for words in told:
        assert words[words.index("--preset") + 1] == "paper"
        assert words[words.index("--device") + 1] == "cpu"

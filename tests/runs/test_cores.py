"""As many processes as there are cores to run on, in a container, under a quota or in a task."""

import os

import pytest

from jecur.runs import cores as module
from jecur.runs.cores import cores

ALONE = "0::/\n"
OLD = "9:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n0::/\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_affinity", lambda: 64)

    def of(groups, **files):
        own = tmp_path / "proc" / "self" / "cgroup"
        own.parent.mkdir(parents=True)
        own.write_text(groups)
        for name, text in files.items():
            path = (
                tmp_path / "sys" / "fs" / "cgroup" / name.replace("__", "/").replace("_dot_", ".")
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),  # a core and a half
        ("10000 100000\n", 1),
        ("6400000 50000\n", 64),  # more than there are
        ("max 100000\n", 64),
        ("", 64),
        ("nonsense\n", 64),
        ("0 100000\n", 64),
        ("100000 0\n", 64),
        ("-1 100000\n", 64),
        ("٣ 1\n", 64),
    ],
)
def test_a_quota_of_the_control_group_counts(machine, text, found):
    assert cores(machine(ALONE, cpu_dot_max=text), {}) == found


def test_the_least_of_all_groups_above_counts(machine):
    root = machine(
        "0::/slurm/job_7/step_0\n",
        cpu_dot_max="max 100000",
        slurm__job_7__cpu_dot_max="400000 100000",
        slurm__job_7__step_0__cpu_dot_max="800000 100000",
    )
    assert cores(root, {}) == 4


@pytest.mark.parametrize("where", ["cpu__docker__ab__", "cpu__", "cpu,cpuacct__docker__ab__"])
@pytest.mark.parametrize(("quota", "found"), [("300000", 3), ("-1", 64)])
def test_control_groups_of_version_1_count(machine, where, quota, found):
    """Inside a container the group's own folder may be what is mounted."""
    files = {f"{where}cpu.cfs_quota_us": quota, f"{where}cpu.cfs_period_us": "100000\n"}
    assert cores(machine(OLD, **files), {}) == found


@pytest.mark.parametrize(
    ("task", "found"), [("4", 4), ("128", 64), ("0", 1), ("", 64), ("4(x2)", 64), ("²", 64)]
)
def test_a_task_of_slurm_has_the_cores_it_asked_for(machine, task, found):
    assert cores(machine(ALONE), {"SLURM_CPUS_PER_TASK": task}) == found


def test_a_system_without_control_groups_has_its_affinity(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_affinity", lambda: 6)
    assert cores(tmp_path, {}) == 6


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_here_there_are_no_more_than_the_affinity_has():
    assert 1 <= cores() <= len(os.sched_getaffinity(0))

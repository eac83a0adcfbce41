"""Which process this is among those of a launcher, and where they meet."""

import pytest

from jecur.errors import TrainingError
from jecur.runs.launcher import first_host, launched, name_rendezvous

STEP = {
    "SLURM_JOB_ID": "1234",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_NTASKS": "2",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_NODELIST": "node[07-08]",
    "SLURM_NODELIST": "node[07-08]",
}
TORCHRUN = {
    "WORLD_SIZE": "2",
    "RANK": "1",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


@pytest.mark.parametrize(
    ("names", "first"),
    [
        ("node7", "node7"),
        ("node7,node8", "node7"),
        ("node[007-009,12]", "node007"),
        ("node[3,5],other", "node3"),
        ("rack[1-2]n[03,7],x", "rack1n03"),
        ("a-b[1-2].site", "a-b1.site"),
        ("", ""),
    ],
)
def test_the_first_machine_of_a_list(names, first):
    assert first_host(names) == first


def test_alone_without_a_launcher_and_in_the_script_of_a_job():
    assert launched({}) is None
    assert launched({"WORLD_SIZE": "1", "RANK": "0"}) is None
    script = {k: v for k, v in STEP.items() if "STEP" not in k} | {"SLURM_PROCID": "0"}
    assert launched(script) is None  # `sbatch -n 2` and no srun: one process
    alone = STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}
    assert launched(alone) is None
    assert launched({"OMPI_COMM_WORLD_SIZE": "1"}) is None


def test_tasks_of_srun_meet_at_the_first_machine():
    one, other = launched(STEP | {"SLURM_PROCID": "0"}), launched(STEP)
    assert (one.rank, other.rank, one.n) == (0, 1, 2)
    assert one.address == other.address == "node07"
    assert one.port == other.port == 21234
    assert launched(STEP | {"SLURM_STEP_ID": "1"}).port != one.port
    without = {
        k: v for k, v in STEP.items() if k not in ("SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST")
    }
    assert launched(without) == other
    said = launched(STEP | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4000"})
    assert (said.address, said.port) == ("10.0.0.1", 4000)


def test_torchrun_goes_before_srun():
    found = launched(STEP | TORCHRUN)
    assert (found.rank, found.local, found.address, found.port) == (1, 1, "127.0.0.1", 29500)


def test_torch_is_told_where_to_meet():
    told = {}
    name_rendezvous(launched(STEP), told)
    assert told == {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "node07",
        "MASTER_PORT": "21234",
    }
    assert launched(told) == launched(STEP)


@pytest.mark.parametrize(
    "environment",
    [
        {k: v for k, v in STEP.items() if "NODELIST" not in k},
        {k: v for k, v in STEP.items() if "STEP" not in k},  # rank 1 and no step
        STEP | {"SLURM_PROCID": "2"},
        {"WORLD_SIZE": "2"},
        {k: v for k, v in TORCHRUN.items() if k != "MASTER_ADDR"},
        {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"},
        {"PMI_SIZE": "4"},
    ],
)
def test_several_that_have_nowhere_to_meet_are_refused(environment):
    with pytest.raises(TrainingError) as refused:
        launched(environment)
    assert refused.value.code == "no-rendezvous"

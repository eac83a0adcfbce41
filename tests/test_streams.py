"""Standard output and input as shells hand them over: closed, cut off, full, or nobody's."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jecur.cli import CLOSED_PIPE
from jecur.errors import refusal


def shell(line: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in which J stands for the command; the last code it prints is that of J."""
    program = f"{sys.executable} -m jecur"
    return subprocess.run(
        ["bash", "-c", f'J="{program}"; {line}'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
    )


@pytest.mark.parametrize("command", ["--help", "encoders", "init --help --out x"])
def test_whoever_reads_one_line_gets_it_and_nothing_is_said(command: str, tmp_path: Path) -> None:
    done = shell(f"$J {command} | head -c 1 >&2; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert int(done.stdout) in {0, CLOSED_PIPE}
    assert len(done.stderr) == 1
    done = shell(f"( sleep 0.1; $J {command}; echo $? >&2 ) | true", tmp_path)
    assert done.stderr.split() == [str(CLOSED_PIPE)]


def test_work_that_is_cut_off_says_so(tmp_path: Path) -> None:
    command = "fetch idc tcga-lihc --dry-run --out v"
    done = shell(f"( sleep 0.1; $J {command}; echo $? >&2 ) | true", tmp_path)
    assert done.stderr.split()[-1] == str(CLOSED_PIPE)
    assert "[closed-pipe]" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("command", "code"), [("encoders", 0), ("no-such-command", 2)])
def test_what_is_closed_before_the_start_is_nowhere(
    command: str, code: int, closed: str, tmp_path: Path
) -> None:
    done = shell(f"$J {command} {closed}; echo $? >>codes", tmp_path)
    assert "Traceback" not in done.stderr
    assert (tmp_path / "codes").read_text() == f"{code}\n"


def test_nothing_is_printed_into_a_file_that_took_a_closed_number(tmp_path: Path) -> None:
    done = shell("$J init study >&- 2>&- <&-; $J init study2 >/dev/null 2>&1", tmp_path)
    assert done.stdout == ""
    first, second = (tmp_path / n / "study.toml" for n in ("study", "study2"))
    assert first.read_text("utf-8").replace("study2", "study") == second.read_text("utf-8").replace(
        "study2", "study"
    )


@pytest.mark.parametrize("number", [errno.ENOTDIR, errno.EEXIST])
@pytest.mark.parametrize("below", ["", "a", "a/b/c"])
def test_the_file_in_the_way_is_the_one_named(tmp_path: Path, number: int, below: str) -> None:
    stands = tmp_path / "file"
    stands.touch()
    said = refusal(OSError(number, os.strerror(number)), stands / below)
    assert said.code == "in-the-way"
    assert f"at {stands};" in said.message
    absent = refusal(OSError(number, "x", str(tmp_path / "no" / "such")))
    assert f"at {tmp_path / 'no' / 'such'};" in absent.message


@pytest.mark.parametrize(
    "command",
    ["init 'a file'", "demo --out 'a file'", "init 'a file/x'", "demo --out 'a file/x/y'"],
)
def test_a_file_where_a_folder_should_be_is_named(command: str, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    done = shell(f"$J {command}", tmp_path)
    assert done.returncode == 2
    assert "at a file" in done.stderr
    assert "stays" not in done.stderr

"""Wheel and source archive, built, installed into empty environments, and the tests of the installed wheel.

    python -m benchmarks.installed --python python3.11 python3.12 python3.13 --tests fast
    python -m benchmarks.installed --python python3.11 --lowest
    python -m benchmarks.installed --tests none          # the core alone

For each interpreter two environments: the core alone (``jecur --help``; slides are drawn; ``jecur
doctor`` names the missing extra), and the extra ``dev``, in which the tests run from a copy of the
source archive whose ``src`` was taken out, so that nothing but the installed wheel can be imported.
``--lowest`` installs of each library the oldest minor version that ``pyproject.toml`` allows, in its
newest patch.
"""

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.common import Arguments, table, write_result

ROOT = Path(__file__).resolve().parent.parent
IN_BOTH = ("LICENSE", "NOTICE", "SECURITY.md")
FOR_USERS = ("train", "features", "view", "cluster", "anndata")
"""Extras whose lower bounds are promised; those of the test tools are not."""


@dataclass(frozen=True)
class Tried:
    """What one interpreter did."""

    python: str
    core: str
    tests: str
    seconds: float
    failed: list[str] = field(default_factory=list)


def built(out: Path) -> tuple[Path, Path]:
    """Build both archives with a build environment of their own; source archive and wheel."""
    subprocess.run(
        [sys.executable, "-m", "build", "-o", out, ROOT], check=True, capture_output=True
    )
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def checked(sdist: Path, wheel: Path) -> None:
    """Stop unless licence, notice and security promise are in both."""
    with tarfile.open(sdist) as source, zipfile.ZipFile(wheel) as package:
        for names in (source.getnames(), package.namelist()):
            missing = [name for name in IN_BOTH if not any(n.endswith(name) for n in names)]
            if missing:
                raise SystemExit(f"expected {', '.join(missing)} in the archive, found none")


def lowest() -> str:
    """Constraints: the lower bound of each library of the core and of the extras for users."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"]]
    for extra in FOR_USERS:
        asked += project["optional-dependencies"][extra]
    bounds = {m[1]: m[2] for line in asked if (m := re.match(r"([\w-]+)>=([\d.]+)", line))}
    for line in project["optional-dependencies"]["dev"]:  # what tests ask for beyond
        if (m := re.match(r"([\w-]+)>=([\d.]+)", line)) and m[1] in bounds:
            bounds[m[1]] = m[2]
    whole = {name: v if "." in v else f"{v}.0" for name, v in sorted(bounds.items())}
    return "".join(f"{name}=={version}.*\n" for name, version in whole.items())


def environment(python: str, folder: Path, wanted: str, constraints: Path | None) -> Path:
    """Make an empty environment and install into it; its interpreter."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    interpreter = folder / "bin" / "python"
    held = [] if constraints is None else ["-c", constraints]
    subprocess.run([interpreter, "-m", "pip", "install", "-q", wanted, *held], check=True)
    return interpreter


def core_alone(interpreter: Path, folder: Path) -> str:
    """What the core does without an extra; stop unless it is what was promised."""
    said = {}
    folder.mkdir()
    for name, arguments, wanted in (
        ("--help", ["--help"], "evaluate"),
        ("--version", ["--version"], "."),
        ("simulate", ["simulate", "--training", "3", "--validation", "2", "--out", "drawn"], ""),
        ("doctor", ["doctor", "drawn/study.toml"], "jecur[train]"),
    ):
        done = subprocess.run(
            [interpreter, "-m", "jecur", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
        told = " ".join((done.stdout + done.stderr).split())
        if wanted not in told or "Traceback" in told:
            raise SystemExit(f"jecur {name}: expected {wanted!r}, found: {told[-2000:]}")
        said[name] = done.returncode
    return "exit codes " + ", ".join(f"`{name}` {code}" for name, code in said.items())


def with_extras(interpreter: Path, sdist: Path, folder: Path, tests: str) -> tuple[str, list[str]]:
    """Run tests against the installed wheel; the last line that pytest said, and what failed."""
    with tarfile.open(sdist) as source:
        source.extractall(folder, filter="data")
    copy = next(folder.glob("jecur-*"))
    shutil.rmtree(copy / "src")
    chosen = ["-m", "fast"] if tests == "fast" else []
    done = subprocess.run(
        [interpreter, "-m", "pytest", "-q", "-n", "auto", *chosen],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(copy)
    lines = done.stdout.strip().splitlines()
    for line in lines:
        if line.startswith(("SKIPPED", "FAILED", "ERROR")):
            print("  ", line, file=sys.stderr)
    return lines[-1], [line for line in lines if line.startswith(("FAILED", "ERROR"))]


def tried(python: str, archives: tuple[Path, Path], folder: Path, tests: str, low: bool) -> Tried:
    """One interpreter: core alone, then the tests."""
    began = time.monotonic()
    sdist, wheel = archives
    constraints = None
    if low:
        constraints = folder / "lowest.txt"
        constraints.write_text(lowest(), encoding="utf-8")
    core = core_alone(
        environment(python, folder / "core", str(wheel), constraints), folder / "bare"
    )
    shutil.rmtree(folder / "core")
    shutil.rmtree(folder / "bare")
    last, failed = "not run", []
    if tests != "none":
        interpreter = environment(python, folder / "dev", f"{wheel}[dev]", constraints)
        last, failed = with_extras(interpreter, sdist, folder, tests)
        shutil.rmtree(folder / "dev")
    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True)
    name = version.stdout.split()[-1] + (", oldest libraries" if low else "")
    return Tried(name, core, last, time.monotonic() - began, failed)


def main() -> None:
    """Build once, try every interpreter."""
    parser = Arguments(__doc__)
    parser.add_argument("--python", nargs="+", default=["python3.11", "python3.12", "python3.13"])
    parser.add_argument("--tests", choices=("none", "fast", "all"), default="fast")
    parser.add_argument("--lowest", action="store_true", help="the oldest libraries allowed")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows, failed = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archives = built(folder / "dist")
        checked(*archives)
        for python in asked.python:
            done = tried(
                str(Path(python).expanduser()), archives, folder, asked.tests, asked.lowest
            )
            rows.append((done.python, done.core, done.tests.strip("= "), f"{done.seconds:.0f}"))
            failed += [f"{done.python}: {line}" for line in done.failed]
            print(rows[-1], *failed, sep="\n", file=sys.stderr, flush=True)
    columns = ("Python", "the core alone", f"tests of the wheel ({asked.tests})", "seconds")
    text = table(columns, rows) + "".join(f"\n\n- {line}" for line in failed)
    write_result(asked.out, "Wheel and source archive in empty environments", None, text)


if __name__ == "__main__":
    main()

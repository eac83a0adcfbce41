"""Wheel and source archive, built, installed into empty environments, and the tests of the installed wheel.

    python -m benchmarks.installed --python python3.11 python3.12 python3.13 --tests fast
    python -m benchmarks.installed --tests none          # the core alone

For each interpreter two environments: the core alone (``jecur --help``, and ``jecur run`` refuses
with the missing extra by name), and the extra ``dev``, in which the tests run from a copy of the
source archive whose ``src`` was taken out, so that nothing but the installed wheel can be imported.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

from benchmarks.common import Arguments

ROOT = Path(__file__).resolve().parent.parent
IN_BOTH = ("LICENSE", "NOTICE", "SECURITY.md")


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


def environment(python: str, folder: Path, *wanted: str) -> Path:
    """Make an empty environment and install into it; its interpreter."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    interpreter = folder / "bin" / "python"
    subprocess.run([interpreter, "-m", "pip", "install", "-q", *wanted], check=True)
    return interpreter


def core_alone(python: str, wheel: Path, folder: Path) -> str:
    """What the core does without an extra."""
    interpreter = environment(python, folder / "core", str(wheel))
    shown = subprocess.run(
        [interpreter, "-m", "jecur", "--help"], capture_output=True, text=True, check=False
    )
    found = subprocess.run(
        [interpreter, "-c", "import jecur, jecur.survival; print(jecur.__version__)"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    shutil.rmtree(folder / "core")
    return f"--help ended with {shown.returncode}; version {found.stdout.strip() or found.stderr[-300:]}"


def with_extras(python: str, sdist: Path, wheel: Path, folder: Path, tests: str) -> str:
    """Run tests against the installed wheel; the last line that pytest said."""
    interpreter = environment(python, folder / "dev", f"{wheel}[dev]")
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
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    shutil.rmtree(folder / "dev")
    shutil.rmtree(copy)
    return "; ".join([*failed[:20], done.stdout.strip().splitlines()[-1]])


def main() -> None:
    """Build once, try every interpreter."""
    parser = Arguments(__doc__)
    parser.add_argument("--python", nargs="+", default=["python3.11", "python3.12", "python3.13"])
    parser.add_argument("--tests", choices=("none", "fast", "all"), default="fast")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sdist, wheel = built(folder / "dist")
        checked(sdist, wheel)
        for python in asked.python:
            began = time.monotonic()
            print(python, "core:", core_alone(python, wheel, folder), flush=True)
            if asked.tests != "none":
                print(python, "extras:", with_extras(python, sdist, wheel, folder, asked.tests))
            print(python, f"{time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()

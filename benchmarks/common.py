"""What the measurements of this folder share: arguments, the line that says when and where, and tables.

parser = Arguments(__doc__)
parser.add_data()
given = parser.parse_args()      # says on standard error when, where and by which command
print(table(("method", "seconds"), rows))
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import jecur

__all__ = ["DATA", "Arguments", "environment", "table", "table_head", "table_row", "write_result"]

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("JECUR_TEST_DATA", ROOT.parent / "shared" / "data"))
"""Real slides, nuclei, stains and clinical tables."""


class Arguments(argparse.ArgumentParser):
    """Arguments of one measurement, described by its module's text."""

    def __init__(self, doc: str | None = None, *, prog: str | None = None) -> None:
        super().__init__(
            prog=prog or _command(),
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def add_data(self, name: str = "data") -> None:
        """Add the folder of real data; that of `DATA` if left out."""
        option: dict[str, object] = {"type": Path, "default": DATA, "help": "folder of real data"}
        if not name.startswith("-"):
            option["nargs"] = "?"
        self.add_argument(name, **option)  # type: ignore[arg-type]

    def parse_args(self, args=None, namespace=None):
        """Parse, and say on standard error what a result is worth nothing without."""
        given = super().parse_args(args, namespace)
        print(environment(), file=sys.stderr, flush=True)
        return given


def _command() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name}" if spec else f"python {Path(sys.argv[0]).name}"


def environment() -> str:
    """One line: day, machine, versions, command."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    command = " ".join([_command(), *sys.argv[1:]])
    return (
        f"{date.today()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, {_gpu()}, "
        f"Python {platform.python_version()}, jecur {jecur.__version__}: `{command}`"
    )


def _gpu() -> str:
    if not shutil.which("nvidia-smi"):
        return "no GPU"
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    return said.stdout.strip().replace("\n", ", ") or "no GPU"


def table_row(*cells: object) -> str:
    """One line of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table_head(*columns: str) -> str:
    """First two lines of a table, for one whose rows are printed as they come."""
    return f"{table_row(*columns)}\n{table_row(*['---'] * len(columns))}"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Whole table."""
    return "\n".join([table_head(*columns), *(table_row(*cells) for cells in rows)])


def write_result(path: Path | None, title: str, doc: str | None, text: str) -> None:
    """Print a result, and write it with its title and environment if a file is named."""
    print(text)
    if path is not None:
        parts = (f"# {title}", environment(), (doc or "").strip(), text.strip())
        path.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")

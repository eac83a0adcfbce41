"""Measurements share one shape: arguments that say where and when, and results that quote the command."""

import ast
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPTS = sorted(p for p in FOLDER.glob("*.py") if "__main__" in p.read_text(encoding="utf-8"))
APART = {"common", "pixels_peer"}  # the latter is run where jecur is not installed
SCRIPTS = [p for p in SCRIPTS if p.stem not in APART]
if not SCRIPTS:
    pytest.skip("benchmarks are not shipped", allow_module_level=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_a_measurement_takes_its_arguments_as_all_do(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    imported = {
        f"{node.module}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    plain = {n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
    assert "benchmarks.common.Arguments" in imported
    assert "argparse" not in plain
    assert f"python -m benchmarks.{script.stem}" in (ast.get_docstring(tree) or "")


def test_commands_that_results_quote_are_there():
    quoted = set()
    for page in [*FOLDER.glob("results/*.md"), *FOLDER.glob("*.md")]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"python3? benchmarks/", text), page.name
        quoted |= set(re.findall(r"python -m benchmarks\.(\w+)", text))
    assert quoted - {"NAME"} <= {p.stem for p in SCRIPTS}
    assert len(quoted) > 10

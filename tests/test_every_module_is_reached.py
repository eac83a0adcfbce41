"""Every module of the package is reached from a command or from the public interface."""

import ast
from pathlib import Path

import pytest

import jecur

ROOT = Path(jecur.__file__).parent
STARTED_BY_NAME = {"jecur.__main__", "jecur.model.trial_child"}
"""Run by Python itself: ``python -m jecur``, and the process that tries a model file."""


def _modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _named_in(path: Path) -> set[str]:
    """Whatever a file imports, at its head or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or "", *(f"{node.module}.{a.name}" for a in node.names)}
        elif isinstance(node, ast.Constant) and str(node.value).startswith("jecur."):
            names.add(str(node.value))  # a lazy import names its module as text
    return names


def _reached(modules: dict[str, Path], start: set[str]) -> set[str]:
    seen, waiting = set(), set(start)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        parents = {name.rsplit(".", k)[0] for k in range(1, name.count(".") + 1)}
        waiting |= ((_named_in(modules[name]) | parents) & modules.keys()) - seen
    return seen


def test_no_module_lies_idle():
    modules = _modules()
    start = {"jecur", "jecur.cli", *STARTED_BY_NAME}
    assert start <= modules.keys()
    assert sorted(modules.keys() - _reached(modules, start)) == []


@pytest.mark.slow
def test_the_walk_tells_an_idle_module(tmp_path):
    """The twin of the test above: a module that nobody imports is named."""
    idle = tmp_path / "idle.py"
    idle.write_text("import jecur.cli\n")
    modules = _modules() | {"jecur.idle": idle}
    reached = _reached(modules, {"jecur", "jecur.cli", *STARTED_BY_NAME})
    assert modules.keys() - reached == {"jecur.idle"}

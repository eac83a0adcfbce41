"""Lines of logic of the package: those that hold a statement, comments, blanks and docstrings left out.

    python -m benchmarks.logic_lines                       # src/jecur as it is
    python -m benchmarks.logic_lines --since 5c8c36d       # and room by room against a revision

A statement over several lines counts each of its lines that holds code, so that cramming saves nothing
that a reader would not lose: the second figure counts statements whatever their lines.
"""

import ast
import io
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from benchmarks.common import ROOT, Arguments, table

QUIET = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
}  # fmt: skip


def _docstrings(tree: ast.AST) -> Iterator[ast.stmt]:
    """Texts that stand alone: docstrings, and what is said of a constant below it."""
    for node in ast.walk(tree):
        alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if alone and isinstance(node.value.value, str):
            yield node


def count(source: str) -> tuple[int, int]:
    """(lines of code, statements) of a module."""
    tree = ast.parse(source)
    told = list(_docstrings(tree))
    quiet = {n for node in told for n in range(node.lineno, (node.end_lineno or 0) + 1)}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in QUIET:
            lines |= set(range(token.start[0], token.end[0] + 1))
    statements = sum(isinstance(n, ast.stmt) for n in ast.walk(tree)) - len(told)
    return len(lines - quiet), statements


def counts(revision: str | None) -> Counter[tuple[str, int]]:
    """(room, 0 for lines or 1 for statements) -> number; of the working tree if no revision is named."""
    found: Counter[tuple[str, int]] = Counter()
    ask = ["git", "ls-tree", "-r", "--name-only", revision, "src/jecur"] if revision else [
        "git", "ls-files", "src/jecur"
    ]  # fmt: skip
    for name in _said(ask).split():
        path = PurePosixPath(name)
        if path.suffix != ".py" or not (revision or (ROOT / path).is_file()):
            continue
        text = (
            _said(["git", "show", f"{revision}:{name}"]) if revision else (ROOT / path).read_text()
        )
        room = path.parts[2] if len(path.parts) > 3 else "(root)"
        for k, number in enumerate(count(text)):
            found[room, k] += number
    return found


def _said(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--since")
    since = parser.parse_args().since
    now = counts(None)
    before = counts(since) if since else Counter()
    rooms = sorted({room for room, _ in now | before})
    rows = [(room, *(c[room, k] for k in (0, 1) for c in (before, now))) for room in rooms]
    rows.append(("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
    heads = ("room", "lines before", "lines now", "statements before", "statements now")
    print(table(heads, rows))


if __name__ == "__main__":
    main()

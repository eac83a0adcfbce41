"""The study file to start from, every line explained."""

from importlib import resources
from pathlib import Path

from jecur.runs.folder import write_text

__all__ = ["write_template"]

FILES = ("study.toml", "clinical.csv")


def write_template(folder: Path) -> Path:
    """Write an annotated study file and an example table; files that exist are kept.

    Returns
    -------
    Path
        The study file.
    """
    source = resources.files("jecur") / "templates"
    for name in FILES:
        if not (folder / name).exists():
            write_text(folder / name, (source / name).read_text(encoding="utf-8"))
    (folder / "slides").mkdir(exist_ok=True)
    return folder / "study.toml"

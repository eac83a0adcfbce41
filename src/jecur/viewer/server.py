"""The viewer's routes: the page, and what it shows of a run as JSON."""

import csv
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from jecur.errors import RunFolderError

__all__ = ["viewer_app"]

_STATIC = Path(__file__).parent / "static"


def viewer_app(run: Path, slides: Path | None) -> Starlette:
    """Make the application that shows a run; to be put behind a `jecur.viewer.guard.Guard`.

    Parameters
    ----------
    run
        Folder of a finished run.
    slides
        Folder of its slides, if they moved.

    Raises
    ------
    RunFolderError
        If there is no run with scores.
    """
    del slides
    scores = run / "scores.csv"
    if not scores.is_file():
        raise RunFolderError(
            f"expected a run with scores at {run}, found no scores.csv; run it first"
        )

    def page(_: Request) -> Response:
        return FileResponse(_STATIC / "index.html")

    def patients(_: Request) -> Response:
        with scores.open(encoding="utf-8", newline="") as stream:
            return JSONResponse(list(csv.DictReader(stream)))

    return Starlette(
        routes=[
            Route("/", page),
            Mount("/static", StaticFiles(directory=_STATIC)),
            Route("/api/patients", patients),
        ]
    )

"""The viewer's routes: the page, what it shows of a run as JSON, and pictures of its slides."""

from dataclasses import asdict
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from jecur.errors import SlideError
from jecur.explain.heatmap import score_colors
from jecur.geometry import Size
from jecur.report.wording import RESEARCH_USE_ONLY
from jecur.viewer.curves import risk_curves
from jecur.viewer.guard import Refused, whole_number
from jecur.viewer.layers import (
    drawing_of,
    drawn_regions,
    left_out_tiles,
    scored_tiles,
    tissue_outline,
    top_tiles,
)
from jecur.viewer.pictures import COLORS, RunPictures
from jecur.viewer.run_model import RunModel
from jecur.viewer.run_slides import RunSlides, slide_folder
from jecur.viewer.run_tables import SlideRow, read_run_tables

__all__ = ["viewer_app"]

_STATIC = Path(__file__).parent / "static"
_FARTHEST = 10_000_000
"""No slide is that wide, pixels."""
_UNDRAWN = "no-annotation"
"""Flag of a slide that the run had no drawing of."""
_HIDDEN = frozenset({"path", "mpp_is_given"})


def viewer_app(run: Path, slides: Path | None = None, model: Path | None = None) -> Starlette:
    """Make the application that shows a run; to be put behind a `jecur.viewer.guard.Guard`.

    Parameters
    ----------
    run
        Folder of a finished run.
    slides
        Folder of its slides, if they moved.
    model
        Model file, where the run holds none.

    Raises
    ------
    RunFolderError
        If there is no run with scores.
    """
    view = _View(run, slides, model)
    one, tile = "/api/slides/{slide}", "{colors}/{level}/{column}/{row}"
    return Starlette(
        routes=[
            Route("/", _page),
            Mount("/static", StaticFiles(directory=_STATIC)),
            Route("/api/run", view.about),
            Route("/api/patients", view.patients),
            Route("/api/slides", view.slides),
            Route("/api/curves", view.curves),
            Route("/api/top", view.top),
            Route("/api/top/{tile}/picture", view.top_picture),
            Route(one, view.slide),
            Route(f"{one}/thumbnail", view.thumbnail),
            Route(f"{one}/scores", view.scores),
            Route(f"{one}/tissue", view.tissue),
            Route(f"{one}/regions", view.regions),
            Route(f"{one}/left-out", view.left_out),
            Route(f"{one}/nuclei/{{x}}/{{y}}/{{width}}/{{height}}", view.nuclei),
            Route(f"{one}/geojson", view.geojson),
            Route(f"{one}/tiles/{tile}", view.tile),
        ]
    )


def _page(_: Request) -> Response:
    return FileResponse(_STATIC / "index.html")


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


class _View:
    """What each route answers. Starlette runs these in threads, as they read files."""

    def __init__(self, run: Path, slides: Path | None, model: Path | None) -> None:
        self._run = read_run_tables(run)
        self._files = RunSlides(self._run, slide_folder(self._run.root, slides))
        self._model = RunModel(self._run, model)
        self._pictures = RunPictures(self._files, self._model)
        self._top: list[dict[str, object]] | None = None
        self._left_out: dict[int, dict[str, object]] = {}

    def about(self, _: Request) -> Response:
        run = self._run
        return _json(
            {
                "title": run.title,
                "virtual": run.virtual,
                "virtual_model": run.virtual_model,
                "intended_use": RESEARCH_USE_ONLY,
                "endpoint": run.facts.get("study", {}).get("cohort", {}).get("endpoint", {}),
                "cutoffs": run.cutoffs,
                "colors": score_colors(),
            }
        )

    def patients(self, _: Request) -> Response:
        return _json([asdict(patient) for patient in self._run.patients])

    def slides(self, _: Request) -> Response:
        rows = (asdict(row) for row in self._run.slides)
        return _json([{k: v for k, v in row.items() if k not in _HIDDEN} for row in rows])

    def curves(self, _: Request) -> Response:
        return _json(risk_curves(self._run.patients))

    def top(self, _: Request) -> Response:
        return _json(self._top_tiles())

    def top_picture(self, request: Request) -> Response:
        tiles = self._top_tiles()
        tile = tiles[whole_number(request.path_params["tile"], 0, len(tiles) - 1, "a tile")]
        number, x, y, side = (msgspec.convert(tile[k], float) for k in ("slide", "x", "y", "side"))
        return _jpeg(self._pictures.field_of_tile(int(number), x, y, side))

    def _top_tiles(self) -> list[dict[str, object]]:
        if self._top is None:
            self._top = top_tiles(self._run)
        return self._top

    def slide(self, request: Request) -> Response:
        return _json(self._pictures.describe(self._row(request).number))

    def thumbnail(self, request: Request) -> Response:
        return self._file(request, "thumbnail.png")

    def geojson(self, request: Request) -> Response:
        return self._file(request, "tiles.geojson")

    def scores(self, request: Request) -> Response:
        return _json(scored_tiles(self._run, self._row(request)))

    def tissue(self, request: Request) -> Response:
        return _json(tissue_outline(self._run, self._row(request)))

    def regions(self, request: Request) -> Response:
        row = self._row(request)
        if drawing_of(self._files, row) is None:
            return _json([])
        with self._pictures.pool.borrow(row.number) as slide:
            return _json(drawn_regions(self._files, row, slide))

    def left_out(self, request: Request) -> Response:
        row = self._row(request)
        if row.core:
            raise SlideError(
                f"{row.slide}: expected a whole slide, found a core of a tissue array: of cores the "
                "tiles left out are not known"
            )
        drawing = drawing_of(self._files, row)
        drawn = self._model.recipe.annotations
        if (drawn.include or drawn.exclude) and drawing is None and _UNDRAWN not in row.flags:
            raise SlideError(
                f"{row.slide}: expected the drawn regions that the run used, found none by the slide's "
                "name: without them the tiles left out are not known"
            )
        if row.number not in self._left_out:
            scored = scored_tiles(self._run, row)
            kept = set(zip(map(int, scored["x"]), map(int, scored["y"]), strict=True))
            with self._pictures.pool.borrow(row.number) as slide:
                found = left_out_tiles(slide, self._model.recipe, drawing, kept)
            self._left_out[row.number] = found
        return _json(self._left_out[row.number])

    def nuclei(self, request: Request) -> Response:
        row = self._row(request)
        x, y = (
            whole_number(request.path_params[k], -_FARTHEST, _FARTHEST, "a place") for k in "xy"
        )
        width, height = (
            whole_number(request.path_params[k], 1, _FARTHEST, f"a {k}")
            for k in ("width", "height")
        )
        picture = self._pictures.nuclei(row.number, (x, y), Size(width, height))
        return Response(picture, media_type="image/png")

    def tile(self, request: Request) -> Response:
        row = self._row(request)
        colors = request.path_params["colors"]
        if colors not in COLORS:
            raise Refused(404, f"expected colors {' or '.join(COLORS)}; there are no others")
        level, column, tile_row = (
            whole_number(request.path_params[k], 0, _FARTHEST, f"a {k}")
            for k in ("level", "column", "row")
        )
        return _jpeg(self._pictures.tile(row.number, colors, level, column, tile_row))

    def _row(self, request: Request) -> SlideRow:
        slides = self._run.slides
        return slides[
            whole_number(request.path_params["slide"], 0, len(slides) - 1, "a slide's number")
        ]

    def _file(self, request: Request, name: str) -> Response:
        path = self._run.folder(self._row(request)) / name
        if not path.is_file():
            raise Refused(404, "the run has no such picture of this slide")
        return FileResponse(path)


def _jpeg(data: bytes) -> Response:
    return Response(data, media_type="image/jpeg")

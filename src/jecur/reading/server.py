"""The routes of a blinded review: the page, the tile that is next, its pictures, and the answer to it.

Nothing else is behind this server. No route knows a score, an end, a patient, a slide or a place; a
tile is known by the random name of the look alone, and no look is shown before the one in front
of it is answered and on the disk.
"""

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from jecur.errors import JecurError, SettingsError
from jecur.explain.review import CLOSED, KeyTile, key_folder
from jecur.reading.answers import Answer, AnswerFile, checked_answer
from jecur.reading.order import Look
from jecur.reading.tile_pixels import TilePixels, View
from jecur.runs.folder import MANIFEST
from jecur.viewer.guard import Refused

__all__ = ["review_app"]

_STATIC = Path(__file__).parent / "static"
LONGEST_BODY = 16_384
"""Bytes of an answer at most: twelve features and a comment."""


class _Desk:
    """One reviewer at work: which look is theirs to see, and what they may say of it."""

    def __init__(
        self, run: Path, said: AnswerFile, key: Sequence[KeyTile], pixels: TilePixels
    ) -> None:
        self._side_um = _tile_side(run)
        self._closed = key_folder(run) / CLOSED
        self.said = said
        self.pixels = pixels
        self._tiles = {tile.name: tile for tile in key}
        self._place = {look.id: k for k, look in enumerate(said.order.looks)}
        self._lock = threading.Lock()
        self._ahead = ThreadPoolExecutor(1)

    def state(self) -> dict[str, Any]:
        """How far the reviewer is, and the look that is next."""
        with self._lock:
            looks, place = self.said.order.looks, self.said.next_look
            look = looks[place] if place < len(looks) else None
            return {
                "features": list(self.said.features),
                "side_um": self._side_um,
                "reviewer": self.said.order.reviewer,
                "total": len(looks),
                "done": place,
                "look": None if look is None else look.id,
                "scanned": look is not None and self.pixels.has_slide(self._tiles[look.tile]),
            }

    def tile(self, look: str) -> KeyTile:
        """Tile of a look that may be seen: the next one, or one that was answered."""
        place = self._place.get(look, -1)
        if not 0 <= place <= self.said.next_look:
            raise Refused(404, "there is no such tile, or it is not its turn")
        return self._tiles[self.said.order.looks[place].tile]

    def answer(self, look: str, answer: Answer) -> None:
        """Write an answer to the disk; the look that follows may then be seen."""
        with self._lock:
            self._require_open()
            if self._place.get(look) != self.said.next_look:
                raise Refused(
                    409, "expected an answer to the tile whose turn it is; reload the page"
                )
            self._write(lambda: self.said.say(look, answer))

    def undo(self) -> Answer | None:
        """Take the last answer back and return it; the look is then the next one again."""
        with self._lock:
            self._require_open()
            place = self.said.next_look
            if place == 0:
                return None
            last = self.said.order.looks[place - 1].id
            answer = self.said.answers[last]
            self._write(lambda: self.said.take_back(last))
            return answer

    def read_ahead(self) -> None:
        """Read the picture after the next one, so that nobody waits for it; it is shown to nobody."""
        looks, place = self.said.order.looks, self.said.next_look
        for look in looks[place : place + 2]:
            self._ahead.submit(self._warm, look)

    def _warm(self, look: Look) -> None:
        try:
            self.pixels.picture(self._tiles[look.tile], "tile")
        except JecurError:
            return  # it is told when its turn has come

    def _require_open(self) -> None:
        if self._closed.exists():
            raise Refused(409, "this review is closed: answers given now are not blind")

    def _write(self, write: Any) -> None:  # noqa: ANN401 - a call
        try:
            write()
        except JecurError as error:
            raise Refused(
                507, "the answer could not be written to the disk and does not count; try again"
            ) from error


def review_app(
    run: Path, said: AnswerFile, key: Sequence[KeyTile], pixels: TilePixels
) -> Starlette:
    """Make the application of one reviewer; to be put behind a `jecur.viewer.guard.Guard`.

    Parameters
    ----------
    run
        Root of the run folder.
    said
        Answers of the reviewer so far.
    key
        All tiles of the review.
    pixels
        Reads their pictures.
    """
    desk = _Desk(run, said, key, pixels)

    def page(_: Request) -> Response:
        return FileResponse(_STATIC / "index.html")

    def state(_: Request) -> Response:
        desk.read_ahead()
        return JSONResponse(desk.state())

    def picture(request: Request) -> Response:
        tile, view = desk.tile(request.path_params["look"]), request.path_params["view"]
        views: tuple[View, ...] = get_args(View)
        known = next((v for v in views if v == view), None)
        if known is None:
            raise Refused(404, "there is nothing at this address")
        try:
            found = desk.pixels.picture(tile, known)
        except JecurError as error:  # its message names the slide
            raise Refused(
                422,
                "this picture cannot be read: the slide is not there or is damaged at this place",
            ) from error
        colors = "scanned" if found.scanned else "normalized"
        return Response(found.jpeg, media_type="image/jpeg", headers={"x-jecur-colors": colors})

    async def answer(request: Request) -> Response:
        try:
            given = await request.json()
        except (ValueError, RecursionError) as error:
            raise Refused(400, "expected an answer of this page, found other text") from error
        if not isinstance(given, dict):
            raise Refused(400, "expected an answer of this page, found other text")
        try:
            checked = checked_answer(
                given.get("answers"), given.get("comment"), given.get("seconds"), said.features
            )
        except SettingsError as error:
            raise Refused(400, error.message) from error
        await run_in_threadpool(desk.answer, request.path_params["look"], checked)
        return JSONResponse(desk.state())

    def undo(_: Request) -> Response:
        taken = desk.undo()
        before = None if taken is None else {"answers": taken.judged, "comment": taken.comment}
        return JSONResponse({**desk.state(), "before": before})

    return Starlette(
        routes=[
            Route("/", page),
            Mount("/static", StaticFiles(directory=_STATIC)),
            Route("/api/state", state),
            Route("/api/look/{look}/{view}", picture),
            Route("/api/look/{look}/answer", answer, methods=["POST"]),
            Route("/api/undo", undo, methods=["POST"]),
        ]
    )


def _tile_side(run: Path) -> float | None:
    """Side of every tile of the run, micrometers; None if the run does not say."""
    facts = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
    side = facts.get("study", {}).get("tiling", {}).get("side_um")
    return float(side) if isinstance(side, int | float) else None

"""The server of a review: one tile after another, and nothing that tells where a tile is from."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("starlette", reason='pip install "jecur[view]"')
pytest.importorskip("httpx2", reason="starlette's test client needs httpx2")

from starlette.routing import Mount
from starlette.testclient import TestClient
from tests.reading.reviews import write_run_with_slides

from jecur.explain.review import key_folder, read_key
from jecur.reading.answers import ANSWERS
from jecur.reading.order import reviewer_folder
from jecur.reading.server import LONGEST_BODY, review_app
from jecur.reading.start import take_seat
from jecur.reading.tile_pixels import TilePixels
from jecur.runs.pictures import jpeg_bytes
from jecur.settings import PAPER_FEATURES
from jecur.slide.reader import open_slide
from jecur.viewer.guard import Guard, GuardSettings

TOKEN = "t" * 43
ALL_ABSENT = dict.fromkeys(PAPER_FEATURES, "absent")
METHODS = frozenset({"GET", "HEAD", "POST"})


@pytest.fixture(scope="module")
def made_run(tmp_path_factory) -> Path:
    return write_run_with_slides(tmp_path_factory.mktemp("review"))


@pytest.fixture
def run(made_run, tmp_path) -> Path:
    """A finished run beside its slides."""
    shutil.copytree(made_run.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


@pytest.fixture
def desk(run):
    """A reviewer at work: their seat, the application, and a client that holds the token."""
    with take_seat(run, "AB") as seat:
        pixels = TilePixels(run)
        app = review_app(run, seat.said, seat.key, pixels)
        guarded = Guard(app, GuardSettings(TOKEN, methods=METHODS, longest_body=LONGEST_BODY))
        client = TestClient(guarded, base_url="http://127.0.0.1", headers={"X-Jecur-Token": TOKEN})
        yield SimpleNamespace(seat=seat, app=app, client=client, run=run)
        pixels.close()


def answer(client, look: str, **said):
    body = {"answers": ALL_ABSENT, "comment": "", "seconds": 1.5} | said
    return client.post(f"/api/look/{look}/answer", json=body)


def test_one_tile_after_another_to_the_end(desk):
    client, looks = desk.client, desk.seat.said.order.looks
    state = client.get("/api/state").json()
    assert (state["total"], state["done"], state["look"]) == (len(looks), 0, looks[0].id)
    for k, look in enumerate(looks):
        assert client.get(f"/api/look/{look.id}/tile").status_code == 200
        if k + 1 < len(looks):  # not before the one in front of it is on the disk
            assert client.get(f"/api/look/{looks[k + 1].id}/tile").status_code == 404
            assert answer(client, looks[k + 1].id).status_code == 409
        state = answer(client, look.id).json()
        file = reviewer_folder(desk.run, "AB") / ANSWERS
        assert json.loads(file.read_bytes().splitlines()[-1])["look"] == look.id
    assert state["look"] is None
    assert answer(client, looks[-1].id).status_code == 409
    state = client.post("/api/undo", json={}).json()
    assert state["look"] == looks[-1].id
    assert state["before"] == {"answers": ALL_ABSENT, "comment": ""}


def test_pictures_are_those_of_the_slide_at_its_place(desk):
    client, said = desk.client, desk.seat.said
    tile = {t.name: t for t in desk.seat.key}[said.order.looks[0].tile]
    folder = desk.run.parent / "slides"
    with open_slide(folder / f"{tile.slide}.tiff") as slide:
        alone = slide.read_region(tile.x, tile.y, tile.side_px, 512)
        half = tile.side_px / 2
        around = slide.read_region(tile.x - half, tile.y - half, 2 * tile.side_px, 768)
    look = said.order.looks[0].id
    found = client.get(f"/api/look/{look}/tile")
    assert found.content == jpeg_bytes(alone)
    assert found.headers["x-jecur-colors"] == "scanned"
    assert client.get(f"/api/look/{look}/around").content == jpeg_bytes(around)
    normalized = client.get(f"/api/look/{look}/normalized")
    assert normalized.content == (desk.run / "review" / tile.name).read_bytes()
    assert normalized.headers["x-jecur-colors"] == "normalized"


def secrets_of(run: Path) -> set[str]:
    """Everything that a reviewer must not know, as text."""
    key = read_key(key_folder(run) / "key.csv")
    found = {t.patient for t in key} | {t.slide for t in key} | {t.name for t in key}
    scores = {f"{abs(t.score):.4f}"[:6] for t in key} | {repr(t.score) for t in key}
    return found | scores | {'"high"', '"low"', "score", "heat", 'risk"', str(run)}


def paths_of(app, looks) -> list[tuple[str, str]]:
    """Every route, with every value of its parameters that there is."""
    found = []
    for route in app.routes:
        if isinstance(route, Mount):
            folder = Path(route.app.directory)
            found += [("GET", f"{route.path}/{p.name}") for p in folder.iterdir()]
            continue
        for method in sorted(route.methods - {"HEAD"}):
            for look in looks if "{look}" in route.path else ("",):
                for view in ("tile", "around", "normalized", "score", "key", "heatmap", "slide"):
                    path = route.path.replace("{look}", look).replace("{view}", view)
                    if (method, path) not in found:
                        found.append((method, path))
    return found


@pytest.mark.parametrize("slides", ["there", "gone", "spoilt"])
def test_a_crawl_of_all_routes_tells_nothing(desk, slides):
    """Before, between and after answers, with slides that can be read and that cannot."""
    folder = desk.run.parent / "slides"
    for path in folder.iterdir():
        if slides == "gone":
            path.unlink()
        elif slides == "spoilt":
            path.write_bytes(path.read_bytes()[:500])
    looks = [look.id for look in desk.seat.said.order.looks]
    known = secrets_of(desk.run)
    n_answers = 0
    for stage in range(3):
        for method, path in paths_of(desk.app, looks):
            body = {"json": {"answers": ALL_ABSENT, "comment": "", "seconds": 1.0}}
            reply = desk.client.request(method, path, **(body if method == "POST" else {}))
            n_answers += reply.status_code == 200
            assert reply.status_code < 500 or path.endswith("/around")
            everything = reply.content + repr(sorted(reply.headers.items())).encode()
            if path.startswith("/static") or path == "/":
                continue  # our own files, the same for every run
            told = {secret for secret in known if secret.encode() in everything}
            assert not told, (stage, method, path)
    assert n_answers > 30
    assert not any(
        b"score" in p.read_bytes().lower() for p in static_files() if p.suffix == ".html"
    )


def static_files() -> list[Path]:
    return list((Path(sys.modules["jecur.reading.server"].__file__).parent / "static").iterdir())


def test_second_looks_cannot_be_told_from_first_ones(desk):
    """Nothing that the page gets for a look depends on its being the second."""
    looks = desk.seat.said.order.looks
    assert any(look.again for look in looks)
    shown = []
    for look in looks:
        state = desk.client.get("/api/state").json()
        shown.append(set(state) | {str(type(v)) for v in state.values()})
        assert "again" not in state
        answer(desk.client, look.id)
    assert all(keys == shown[0] for keys in shown)


def test_the_pages_own_policy_and_token_hold(desk):
    page = desk.client.get("/")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    assert "style=" not in page.text
    assert desk.client.get("/api/state", headers={"X-Jecur-Token": "no"}).status_code == 401
    look = desk.seat.said.order.looks[0].id
    long = desk.client.post(f"/api/look/{look}/answer", content=b"x" * (LONGEST_BODY + 1))
    assert long.status_code == 413


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"answers": {}}', b"\xff", b'{"seconds": NaN}']
)
def test_what_is_no_answer_is_refused_in_a_sentence(desk, body):
    look = desk.seat.said.order.looks[0].id
    reply = desk.client.post(f"/api/look/{look}/answer", content=body)
    assert reply.status_code == 400
    assert "expected" in reply.json()["error"]
    assert desk.seat.said.next_look == 0


def test_an_answer_nested_without_end_is_refused_in_a_sentence(desk):
    look = desk.seat.said.order.looks[0].id
    for text in ("[" * 16_000, '{"a":' * 3_000):
        found = desk.client.post(f"/api/look/{look}/answer", content=text)
        assert found.status_code == 400
        assert "expected an answer of this page" in found.json()["error"]


def test_a_comment_cut_within_an_emoji_is_taken_and_can_be_taken_back(desk):
    look = desk.seat.said.order.looks[0].id
    body = json.dumps({"answers": ALL_ABSENT, "comment": "fat \ud83d", "seconds": 1.0})
    assert desk.client.post(f"/api/look/{look}/answer", content=body).status_code == 200
    found = desk.client.post("/api/undo", json={})
    assert found.status_code == 200
    assert found.json()["before"]["comment"] == "fat \ufffd"


def test_1000_random_paths_are_refused(desk):
    rng = np.random.default_rng(0)
    letters = list("abcdefghij0123456789./_-%AZ")
    for _ in range(1000):
        path = "/a" + "".join(rng.choice(letters, rng.integers(1, 40)))
        assert desk.client.get(path).status_code == 404, path
    for path in ("/static/../answers.py", "/static/..%2f..%2fserver.py", "/api/look/../../key.csv"):
        assert desk.client.get(path).status_code == 404


def test_an_answer_that_does_not_reach_the_disk_does_not_count(desk, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    look = desk.seat.said.order.looks[0].id
    monkeypatch.setattr(os, "fsync", full)
    reply = answer(desk.client, look)
    assert reply.status_code == 507
    assert "does not count" in reply.json()["error"]
    monkeypatch.undo()
    assert desk.client.get("/api/state").json()["done"] == 0
    assert answer(desk.client, look).json()["done"] == 1
    assert len((reviewer_folder(desk.run, "AB") / ANSWERS).read_bytes().splitlines()) == 1


def test_a_closed_review_takes_no_more_answers(desk):
    (key_folder(desk.run) / "closed.json").write_text("{}")
    reply = answer(desk.client, desk.seat.said.order.looks[0].id)
    assert reply.status_code == 409
    assert "closed" in reply.json()["error"]


class Process:
    """``jecur review`` as people start it."""

    def __init__(self, run: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "jecur",
            "review",
            str(run),
            "--reviewer",
            "AB",
            "--no-browser",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        self.base, _, self.token = line.partition("#token=")

    def ask(self, path: str, body: object = None) -> dict[str, object]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - our own server
            self.base.rstrip("/") + path, data, {"X-Jecur-Token": self.token}
        )
        for _ in range(200):
            try:
                with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
                    return json.loads(reply.read())
            except urllib.error.HTTPError:
                raise
            except urllib.error.URLError:
                time.sleep(0.1)
        raise TimeoutError(path)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def test_kill_9_in_mid_review_loses_no_answered_tile(run):
    body = {"answers": ALL_ABSENT, "comment": "kill me", "seconds": 1.0}
    done = 0
    for killed_after in (3, 1, 4):
        server = Process(run)
        try:
            state = server.ask("/api/state")
            assert state["done"] == done
            for _ in range(killed_after):
                state = server.ask(f"/api/look/{state['look']}/answer", body)
            done += killed_after
            assert state["done"] == done
        finally:
            server.kill()
    with take_seat(run, "AB") as seat:
        assert seat.said.next_look == done
        assert all(said.comment == "kill me" for said in seat.said.answers.values())

"""Blinded review: who can tell an end, what an interval is worth, what kill -9 costs, how long a tile takes.

    python -m benchmarks.review --draws 200 --kills 40

1. 400 tiles, ``--draws`` runs. Somebody who has the program guesses each tile's end from its number: with the
   order that versions up to 0.1.0 drew (seed 0), and with today's, from all earlier runs' keys. Somebody
   who knows two reviewers' orders guesses the third's: rank correlation with both, and which tile is next.
2. Readings of 40 patients with 8 tiles each, whose tiles share truth and difficulty more or less (spread):
   how often the interval of kappa and of AC1 covers the value of 20,000 patients.
3. The server, killed (-9) at a random moment while a client answers as fast as it can: answers that the
   client was told are written, and those found afterwards.
4. From an answer to the next picture, over HTTP, 200 tiles of virtual slides (JPEG pyramids, 2,048 px).
"""

import contextlib
import http.client
import json
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
from benchmarks.common import Arguments, table
from scipy.stats import spearmanr

from jecur.explain.review import ReviewTile, key_folder, read_key, write_review_sheet
from jecur.reading.order import draw_order, reviewer_folder
from jecur.reading.start import take_seat
from jecur.runs.folder import RunFolder
from jecur.runs.pictures import jpeg_bytes
from jecur.settings import PAPER_FEATURES, ReviewSettings
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_tile, write_slide
from jecur.survival.rater_agreement import clustered_agreement, cohen_kappa, gwet_ac1, pair_counts

ABSENT = {"answers": dict.fromkeys(PAPER_FEATURES, "absent"), "comment": "", "seconds": 1.0}


def ends_foretold(draws: int, n: int = 400) -> list[tuple[object, ...]]:
    """Share of ends guessed from the number of the tile."""
    ends = np.arange(n) < n // 2  # the highest first, as tiles are handed over
    old = ends[np.random.default_rng(0).permutation(n)]
    seen, right = np.zeros(n), []
    tiles = [
        ReviewTile(b"", f"P{k}", "S", k, 0, -float(k), "high" if ends[k] else "low")
        for k in range(n)
    ]
    with tempfile.TemporaryDirectory() as folder:
        for draw in range(draws):
            run = Path(folder) / str(draw)
            write_review_sheet(tiles, run, ReviewSettings())
            now = np.array([t.end == "high" for t in read_key(key_folder(run) / "key.csv")])
            if draw:
                right.append(np.mean((seen / draw > 0.5) == now))
            seen += now
    again = ends[np.random.default_rng(0).permutation(n)]
    return [
        ("seed 0, up to 0.1.0", f"{100 * np.mean(old == again):.1f} %", f"{n} of {n}"),
        ("the system's randomness", f"{100 * np.mean(right):.1f} %", f"{draws - 1} runs of {n}"),
    ]


def orders_foretold(draws: int, n: int = 400) -> list[tuple[object, ...]]:
    tiles = [f"t{k:03d}" for k in range(n)]
    correlations, hits, pairs = [], 0, 0
    for _ in range(draws):
        orders = [
            [look.tile for look in draw_order("AB", tiles).looks if not look.again]
            for _ in range(3)
        ]
        a, b, c = (np.argsort(order) for order in orders)
        correlations.append(spearmanr(a + b, c).statistic)
        follows = dict(zip(orders[0], orders[0][1:], strict=False))
        hits += sum(follows.get(x) == y for x, y in zip(orders[2], orders[2][1:], strict=False))
        pairs += n - 1
    spread = np.std(correlations) * np.sqrt(n - 1)
    return [
        (
            "mean rank correlation with both",
            f"{np.mean(correlations):+.4f}",
            f"0 ± {1 / np.sqrt((n - 1) * draws):.4f}",
        ),
        ("its spread, in that of chance", f"{spread:.2f}", "1"),
        ("next tile as with the first reviewer", f"{hits} of {pairs:,}", f"{pairs / n:.0f}"),
    ]


def readings(rng: np.random.Generator, spread: float, n_patients: int = 40, n_tiles: int = 8):
    patient = np.repeat(np.arange(n_patients), n_tiles)
    shared = rng.normal(size=(2, n_patients))[:, patient] * spread
    truth = rng.random(patient.size) < 1 / (1 + np.exp(-shared[0]))
    slip = 0.4 / (1 + np.exp(-shared[1]))
    a, b = (
        np.where(rng.random(patient.size) < slip, ~truth, truth).astype(float) for _ in range(2)
    )
    return a, b, patient


def coverage(draws: int) -> list[tuple[object, ...]]:
    rows = []
    for spread in (0.0, 1.0, 2.0):
        for kind, plain in (("kappa", cohen_kappa), ("ac1", gwet_ac1)):
            rng = np.random.default_rng(0)
            truth = plain(pair_counts(*readings(rng, spread, 20_000)[:2])).estimate
            inside = np.zeros(2)
            for _ in range(draws):
                a, b, patient = readings(rng, spread)
                found = plain(pair_counts(a, b)), clustered_agreement(kind, a, b, patient)
                inside += [one.lower <= truth <= one.upper for one in found]
            rows.append(
                (f"{spread:g}", kind, *(f"{100 * share:.1f} %" for share in inside / draws))
            )
    return rows


def make_run(folder: Path, n_tiles: int) -> Path:
    root, slides = folder / "run", folder / "slides"
    slides.mkdir()
    run, tiles, rows = RunFolder.open(root), [], ["slide,patient_id,mpp,mpp_source,path"]
    for k in range(8):
        rng = np.random.default_rng(k)
        image = render_tile(TissueFeatures(*rng.uniform(0.1, 0.9, 4).tolist()), rng, size_px=2048)
        write_slide(slides / f"s{k}.tiff", image, um_per_px=0.5)
        rows.append(f"s{k},p{k},0.5,resolution-tag,s{k}.tiff")
        for j in range(n_tiles // 8):
            x, y = (int(v) for v in rng.integers(0, 1792, 2))
            picture = jpeg_bytes(image[y : y + 256, x : x + 256])
            end = "high" if j % 2 else "low"
            tiles.append(ReviewTile(picture, f"p{k}", f"s{k}", x, y, float(rng.normal()), end, 256))
    (root / "slides.csv").write_text("\n".join(rows) + "\n")
    run.log_slide_folder(slides)
    write_review_sheet(tiles, root, ReviewSettings())
    run.write_manifest({"study": {"tiling": {"side_um": 128.0}}, "command": "run"})
    return root


class Served:
    """``jecur review`` and a client of it."""

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
        self.base, _, self.token = self.process.stdout.readline().strip().partition("/#token=")

    def ask(self, path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"X-Jecur-Token": self.token})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.read()

    def state(self) -> dict:
        for _ in range(400):
            with contextlib.suppress(urllib.error.URLError):
                return json.loads(self.ask("/api/state"))
            time.sleep(0.05)
        raise TimeoutError

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def kills(n: int) -> list[tuple[object, ...]]:
    told_in_all, lost, in_flight = 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), 400)
        for _ in range(n):
            server, told = Served(run), []
            state = server.state()
            before = state["done"]
            threading.Timer(0.02 + secrets.randbelow(400) / 1000, server.process.kill).start()
            with contextlib.suppress(OSError, http.client.HTTPException):
                while state["look"] is not None:
                    state = json.loads(server.ask(f"/api/look/{state['look']}/answer", ABSENT))
                    told.append(state["done"])
            server.kill()
            with take_seat(run, "AB") as seat:
                found = seat.said.next_look
            written = told[-1] if told else before
            lost += max(0, written - found)
            in_flight += found - written
            told_in_all += len(told)
            if found == len(seat.said.order.looks):
                for path in reviewer_folder(run, "AB").glob("*.json*"):
                    path.unlink()
    return [(n, told_in_all, lost, in_flight)]


def seconds_a_tile(n: int) -> list[tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        server = Served(make_run(Path(folder), n))
        try:
            state, took, thought = server.state(), [], 0.25
            while state["look"] is not None:
                begun = time.perf_counter()
                state = json.loads(server.ask(f"/api/look/{state['look']}/answer", ABSENT))
                if state["look"] is not None:
                    server.ask(f"/api/look/{state['look']}/tile")
                took.append(1000 * (time.perf_counter() - begun))
                server.state()
                time.sleep(thought)
        finally:
            server.kill()
    return [(len(took), *(f"{np.percentile(took, q):.0f} ms" for q in (50, 95, 100)))]


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 2, 3, 4])
    given = parser.parse_args()
    if 1 in given.parts:
        print(table(("order", "ends guessed", "of"), ends_foretold(given.draws)), "\n")
        columns = ("third reviewer's order from two others'", "found", "chance")
        print(table(columns, orders_foretold(given.draws)), "\n")
    if 2 in given.parts:
        columns = ("spread", "coefficient", "over tiles", "over patients")
        print(table(columns, coverage(5 * given.draws)), "\n")
    if 3 in given.parts:
        columns = ("kills", "answers told written", "lost", "written, not yet told")
        print(table(columns, kills(given.kills)), "\n")
    if 4 in given.parts:
        print(table(("tiles", "median", "p95", "longest"), seconds_a_tile(200)))


if __name__ == "__main__":
    main()

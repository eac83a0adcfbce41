"""Every route of the viewer: what it answers, and that nothing but the run can be asked for."""

import random

import numpy as np
import pandas as pd
import pytest
import simplejpeg

pytest.importorskip("starlette", reason='pip install "jecur[view]"')
pytest.importorskip("httpx2", reason="starlette's test client needs httpx2")

from starlette.testclient import TestClient

from jecur.errors import RunFolderError
from jecur.slide.reader import open_slide
from jecur.viewer.guard import Guard, GuardSettings, new_token
from jecur.viewer.server import viewer_app

TOKEN = new_token()


def client_of(run, **options):
    app = Guard(viewer_app(run, **options), GuardSettings(TOKEN))
    return TestClient(app, base_url="http://127.0.0.1:80", headers={"X-Jecur-Token": TOKEN})


@pytest.fixture(scope="module")
def client(tiny_run):
    return client_of(tiny_run)


def number_of(client, slide):
    return next(row["number"] for row in client.get("/api/slides").json() if row["slide"] == slide)


def test_patients_are_those_of_the_tables(client, tiny_run, tiny_study):
    patients = {p["id"]: p for p in client.get("/api/patients").json()}
    scores = pd.read_csv(tiny_run / "scores.csv", float_precision="round_trip").set_index(
        "patient_id"
    )
    clinical = pd.read_csv(tiny_study.parent / "clinical.csv").set_index("patient_id")
    for patient, row in scores.iterrows():
        shown = patients[patient]
        assert shown["risk"] == row["risk"]
        assert shown["group"] == row["group"]
        assert shown["months"] == clinical.loc[patient, "months"]
        assert shown["event"] == clinical.loc[patient, "recurrence"]
    assert patients["V-0016"]["risk"] is None
    assert patients["V-0016"]["reason"] == "no usable slide: missing-file"


def test_curves_are_those_of_the_report(client, tiny_run):
    curves = {c["group"]: c for c in client.get("/api/curves").json()}
    table = pd.read_csv(tiny_run / "tables" / "survival.csv")
    for group, curve in curves.items():
        followed_to = max(patient["months"] for patient in curve["patients"])
        for _, row in table.iterrows():
            if row["months"] > followed_to and curve["survival"][-1] > 0:
                assert pd.isna(row[f"survival_{group}"])  # the report claims nothing beyond
                continue
            before = [
                s
                for t, s in zip(curve["time"], curve["survival"], strict=True)
                if t <= row["months"]
            ]
            assert (before or [1.0])[-1] == pytest.approx(row[f"survival_{group}"], abs=1e-12)
        assert {p["number"] for p in curve["patients"]} == {
            p["number"] for p in client.get("/api/patients").json() if p["group"] == group
        }


def test_slides_tell_no_path(client):
    for row in client.get("/api/slides").json():
        assert "path" not in row
        assert not any("/" in str(value) for value in row.values())


def test_tiles_are_the_pixels_that_the_reader_gives(client, tiny_run, tiny_study):
    number = number_of(client, "V-0007")
    about = client.get(f"/api/slides/{number}").json()
    with open_slide(tiny_study.parent / "slides" / "V-0007.tiff") as slide:
        assert (about["width"], about["height"]) == (slide.size.width, slide.size.height)
        wanted = slide.read_region(256, 512, 256, 256)
    path = f"/api/slides/{number}/tiles/scanned/{about['last']}/1/2"
    seen = simplejpeg.decode_jpeg(client.get(path).content)
    assert np.abs(seen.astype(int) - wanted).mean() < 2.5  # JPEG of quality 92


def test_normalized_colors_are_those_of_the_bag(client, tiny_run):
    number = number_of(client, "V-0001")
    tiles = pd.read_parquet(tiny_run / "slides" / "V-0001" / "tiles.parquet")
    bag = np.load(tiny_run / "slides" / "V-0001" / "bag.npy", mmap_mode="r")
    assert tiles["side_px"].iloc[0] == 256  # a tile of the bag is a tile of the pyramid
    last = client.get(f"/api/slides/{number}").json()["last"]
    for k, tile in tiles.iterrows():
        column, row = tile["x"] // 256, tile["y"] // 256
        path = f"/api/slides/{number}/tiles/normalized/{last}/{column:.0f}/{row:.0f}"
        seen = simplejpeg.decode_jpeg(client.get(path).content).astype(float).mean((0, 1))
        assert np.abs(seen - bag[k, ..., :3].mean((0, 1))).max() < 2.0


def test_layers_lie_where_the_files_say(client, tiny_run):
    number = number_of(client, "V-0009")
    scores = pd.read_parquet(tiny_run / "tile_scores.parquet")
    own = scores[scores["slide"] == "V-0009"]
    shown = client.get(f"/api/slides/{number}/scores").json()
    assert shown["x"] == own["x"].tolist()
    assert shown["score"] == own["score"].astype(float).round(4).tolist()
    assert shown["scale"]["low"] < shown["scale"]["center"] < shown["scale"]["high"]
    outline = client.get(f"/api/slides/{number}/tissue").json()
    assert outline[0][0][0] == outline[0][0][-1]
    left_out = client.get(f"/api/slides/{number}/left-out").json()
    assert len(left_out["x"]) == len(left_out["reason"]) == 0  # a clean virtual slide
    assert client.get(f"/api/slides/{number}/regions").json() == []
    assert client.get(f"/api/slides/{number}/thumbnail").headers["content-type"] == "image/png"
    assert client.get(f"/api/slides/{number}/geojson").json()["type"] == "FeatureCollection"


def test_top_tiles_are_the_ends_of_the_scores(client, tiny_run):
    scores = pd.read_parquet(tiny_run / "tile_scores.parquet")["score"].astype(float)
    tiles = client.get("/api/top").json()
    high, low = ([t["score"] for t in tiles if t["end"] == end] for end in ("high", "low"))
    assert high == sorted(high, reverse=True)
    assert low == sorted(low)
    assert (high[0], low[0]) == pytest.approx((scores.max(), scores.min()), abs=1e-4)
    assert client.get("/api/top/0/picture").content[:2] == b"\xff\xd8"
    assert client.get(f"/api/top/{len(tiles)}/picture").status_code == 404


def test_nuclei_of_a_field_are_mapped_and_a_wide_one_is_refused(client):
    number = number_of(client, "V-0009")
    picture = client.get(f"/api/slides/{number}/nuclei/256/256/200/100")
    assert picture.content[:8] == b"\x89PNG\r\n\x1a\n"
    wide = client.get(f"/api/slides/{number}/nuclei/0/0/5000/10")
    assert (wide.status_code, "zoom in" in wide.text) == (422, True)


def test_a_slide_that_is_gone_is_a_sentence(client):
    gone = client.get(f"/api/slides/{number_of(client, 'V-0016')}")
    assert gone.status_code == 422
    assert "--slides" in gone.json()["error"]
    text = client.get(f"/api/slides/{number_of(client, 'V-0015')}")
    assert "V-0015.tiff" in text.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/slides/-1",
        "/api/slides/16",
        "/api/slides/99999999999",
        "/api/slides/0/tiles/scanned/-1/0/0",
        "/api/slides/0/tiles/scanned/11/0/0",
        "/api/slides/0/tiles/scanned/10/3/0",
        "/api/slides/0/tiles/scanned/10/0/-1",
        "/api/slides/0/tiles/scanned/10/999999999999999/0",
        "/api/slides/0/tiles/other/10/0/0",
        "/api/slides/0/..%2f..%2fslides.csv",
        "/api/slides/0/../../scores.csv",
        "/static/..%2fserver.py",
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/scores.csv",
        "/api/slides/0/nuclei/0/0/0/10",
    ],
)
def test_what_is_not_there_is_refused(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "error" in answer.json()


def test_thousand_random_paths_give_nothing_but_the_run(client, tiny_run):
    drawn = random.Random(18)  # noqa: S311
    words = [
        *[
            "api",
            "slides",
            "tiles",
            "scanned",
            "..",
            "...",
            "static",
            "0",
            "-1",
            "1e9",
            "top",
            "%2e",
            "%2f",
            "etc",
            "passwd",
        ],
        *["thumbnail", "scores", "nuclei", "\\", "~", "run", "manifest.json"],
        "",
    ]
    secret = (tiny_run / "manifest.json").read_text()[:200]
    for _ in range(1000):
        path = "http://127.0.0.1/" + "/".join(drawn.choices(words, k=drawn.randint(1, 8)))
        answer = client.get(path)
        assert answer.status_code in {200, 404, 422}
        assert "root:" not in answer.text
        assert secret not in answer.text


def test_a_path_of_the_table_that_leads_out_is_refused(tiny_run, tmp_path, tiny_study):
    for path in ("../study.toml", "/etc/passwd", "a/../../study.toml"):
        run = tmp_path / str(abs(hash(path)))
        run.mkdir()
        for name in ("slides.csv", "scores.csv"):
            (run / name).write_bytes((tiny_run / name).read_bytes())
        table = pd.read_csv(run / "slides.csv", dtype=str, keep_default_na=False)
        table.loc[0, "path"] = path
        table.to_csv(run / "slides.csv", index=False)
        answer = client_of(run, slides=tiny_study.parent / "slides").get("/api/slides/0")
        assert answer.status_code == 422
        assert "nothing else is opened" in answer.json()["error"]


def test_a_slide_named_like_a_path_is_refused(tiny_run, tmp_path):
    for name in ("slides.csv", "scores.csv"):
        (tmp_path / name).write_bytes((tiny_run / name).read_bytes())
    table = pd.read_csv(tmp_path / "slides.csv", dtype=str, keep_default_na=False)
    table.loc[0, "slide"] = "../../outside"
    table.to_csv(tmp_path / "slides.csv", index=False)
    with pytest.raises(RunFolderError):
        viewer_app(tmp_path)


def test_slides_that_moved_are_found_with_their_new_folder(tiny_run, tmp_path, tiny_study):
    (tmp_path / "elsewhere").symlink_to(tiny_study.parent / "slides")
    moved = client_of(tiny_run, slides=tmp_path / "elsewhere")
    assert moved.get(f"/api/slides/{number_of(moved, 'V-0007')}").status_code == 200
    empty = client_of(tiny_run, slides=tmp_path)
    assert empty.get(f"/api/slides/{number_of(empty, 'V-0007')}").status_code == 422


def test_a_folder_without_scores_is_refused(tmp_path):
    with pytest.raises(RunFolderError):
        viewer_app(tmp_path)

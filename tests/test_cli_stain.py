"""Stains from the command line: what is printed, written and refused."""

import json

import numpy as np
import pytest
from PIL import Image

from jecur.cli import OK, SOME_FAILED, run
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb, write_slide
from jecur.simulate.stains import site_stain, slide_stain
from jecur.simulate.tissue import render_tissue

METHODS = ["vahadane", "macenko", "reinhard", "iche"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stains")
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        tissue = render_tissue(TissueFeatures(0.5, 0.4, 0.5, 0.5), (768, 768), 0.5, rng)
        site = site_stain(rng, angle_deg=8, intensity_sd=0.3)
        image = render_rgb(tissue, slide_stain(site, rng, angle_deg=1, intensity_sd=0.05), rng)
        Image.fromarray(image).save(folder / f"{seed}.png")
        write_slide(folder / f"{seed}.tiff", image, um_per_px=0.5, quality=95)
    Image.new("RGB", (300, 300), "white").save(folder / "glass.png")
    return folder


def mean_color(path):
    return np.asarray(Image.open(path)).reshape(-1, 3).mean(axis=0)


def test_an_estimate_is_one_object_and_alike_for_image_and_slide(pictures, capsys):
    found = []
    for name in ("1.png", "1.tiff"):
        assert run(["stain", "estimate", str(pictures / name), "--json"]) == OK
        found.append(json.loads(capsys.readouterr().out))
    image, slide = (np.array(f["stain_matrix"]) for f in found)
    np.testing.assert_allclose(np.linalg.norm(image, axis=1), 1.0, atol=1e-9)
    angles = np.degrees(np.arccos(np.clip((image * slide).sum(axis=1), -1, 1)))
    assert angles.max() < 3.0
    assert found[0]["tissue_pixels"] > 1000
    assert found[0]["angles_to_ruifrok"]["hematoxylin"] < 30


def test_glass_is_refused_with_a_code(pictures, capsys):
    assert run(["stain", "estimate", str(pictures / "glass.png"), "--json"]) == SOME_FAILED
    assert json.loads(capsys.readouterr().out)["code"] == "too-little-tissue"


@pytest.mark.parametrize("method", METHODS)
def test_normalizing_brings_an_image_to_the_target(pictures, tmp_path, method):
    out, target = tmp_path / "n.png", pictures / "2.png"
    arguments = ["--target", str(target), "--out", str(out), "--method", method]
    assert run(["stain", "normalize", str(pictures / "1.png"), *arguments]) == OK
    before, after = mean_color(pictures / "1.png"), mean_color(out)
    wanted = mean_color(target)
    assert np.abs(after - wanted).mean() < 0.5 * np.abs(before - wanted).mean()


def test_a_refused_image_does_not_stop_the_others(pictures, tmp_path, capsys):
    images = [str(pictures / name) for name in ("glass.png", "1.png")]
    assert run(["stain", "normalize", *images, "--out", str(tmp_path / "n")]) == SOME_FAILED
    assert [p.name for p in (tmp_path / "n").iterdir()] == ["1.png"]
    assert "glass.png" in capsys.readouterr().err


def test_a_contact_sheet_has_a_row_for_each(pictures, tmp_path):
    names = ("1.png", "2.tiff", "glass.png")
    out = tmp_path / "sheet.png"
    code = run(["stain", "preview", *(str(pictures / n) for n in names), "--out", str(out)])
    assert code == SOME_FAILED
    with Image.open(out) as sheet:
        assert sheet.height == 3 * 232 + 8
        rows = np.asarray(sheet)[:, :464]
    inked = [(rows[8 + i * 232 : 232 + i * 232] < 200).any() for i in range(3)]
    assert inked == [True, True, False]

"""Inspect, doctor and run say one and the same of a slide, sound or faulty."""

import msgspec
import numpy as np
import pytest
from PIL import Image
from tests.virtual.faults import add_blur, add_edge, add_fold, add_pen

from jecur.cohort.cohort import Cohort, Patient, SlideEntry
from jecur.nuclei.segmentation import NucleiModel
from jecur.preview.cohort import preview_cohort
from jecur.preview.slide import default_recipe, preview_slide
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_rgb, write_slide
from jecur.simulate.stains import site_stain, slide_stain
from jecur.simulate.tissue import render_tissue
from jecur.study.cohort_slides import prepare_slides
from jecur.study.slide_task import SlideTask

UM = 0.5
SHARED = [
    "constructed/generic_pyramid_nompp.tiff",
    "constructed/dicom_cmu1_colourfixed", "constructed/bad/one_corrupt_tile.svs",
    "constructed/bad/truncated_half.svs", "tiff_bracs_cropped_bogus_mpp/BRACS_1640_N_3_cropped.tiff",
]  # fmt: skip


@pytest.fixture(scope="module")
def recipe():
    base = default_recipe()
    network = NucleiModel.load(base.nuclei, threads=1)
    stain = msgspec.structs.replace(base.stain, n_pixels=20_000)  # quick: the same for all
    return msgspec.structs.replace(base, nuclei_sha256=network.sha256, stain=stain)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Virtual slides, one fault each, and files that are none."""
    folder = tmp_path_factory.mktemp("faulty")
    rng = np.random.default_rng(3)
    stain = slide_stain(
        site_stain(rng, angle_deg=4, intensity_sd=0.1), rng, angle_deg=1, intensity_sd=0.05
    )
    tissue = render_tissue(TissueFeatures(0.4, 0.5, 0.5, 0.4), (640, 640), UM, rng)
    image = render_rgb(tissue, stain, rng)
    ink = np.zeros_like(image)
    ink[..., 2] = 150
    made = {
        "sound": image,
        "pen": add_pen(image, UM, rng, color="blue", width_um=200)[0],
        "edge": add_edge(image, UM, rng, width_um=100)[0],
        "blur": add_blur(image, UM, rng, radius_um=8.0)[0],
        "fold": add_fold(image, UM, rng, width_um=100)[0],
        "all-ink": ink,
        "glass": np.full_like(image, 244),
        "swapped": np.ascontiguousarray(image[..., ::-1]),
        "pale": (255 - (255 - image.astype(np.float32)) * 0.1).astype(np.uint8),
        "tiny": np.ascontiguousarray(image[:100, :100]),
    }
    paths = []
    for name, pixels in made.items():
        paths.append(folder / f"{name}.tiff")
        write_slide(paths[-1], pixels, um_per_px=UM)
    coarse, wild = folder / "coarse.tiff", folder / "wild-scale.tiff"
    write_slide(coarse, image, um_per_px=1.4)
    write_slide(wild, image, um_per_px=9.0)
    Image.fromarray(image).save(folder / "no-scale.png")
    (folder / "text.svs").write_text("no slide")
    return [*paths, coarse, wild, folder / "no-scale.png", folder / "text.svs", folder / "none.svs"]


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    h5py = pytest.importorskip("h5py", reason="needs the extra: features")
    folder = tmp_path_factory.mktemp("features")
    values = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    broken = values.copy()
    broken[-1, -1] = np.nan
    for name, stored in (("sound", values), ("nan", broken), ("none", values[:0])):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["features"] = stored
            file["coords"] = np.zeros((len(stored), 2), np.int64)
    (folder / "text.h5").write_text("no features")
    return sorted(folder.iterdir())


def agree(paths, recipe, tmp_path):
    """Hold the three against each other; return {name: status}."""
    run = RunFolder.open(tmp_path / "run")
    entries = [SlideEntry(f"{k}-{path.name}", path, None) for k, path in enumerate(paths)]
    orders = [SlideTask(e.id, "P", e.path, None, recipe, run) for e in entries]
    prepared = prepare_slides(orders, run, workers=1, progress=SilentProgress())
    patients = tuple(Patient(e.id, "training", 9.0, True, "", (e,), {}) for e in entries)
    checkup = preview_cohort(Cohort(patients, (), ()), progress=SilentProgress(), recipe=recipe)
    told = {}
    for finding in checkup.findings:
        told.setdefault(finding.subject, set()).add(finding.code)
    statuses = {}
    for entry in entries:
        found, done = preview_slide(entry.path, recipe), prepared[entry.id]
        for name in (
            "status", "code", "flags", "n_tiles", "n_tiles_left_out", "mpp", "mpp_source", "reader",
            "vendor", "width", "height", "tissue_mm2", "reason",
        ):  # fmt: skip
            assert getattr(found, name) == getattr(done, name), (entry.id, name)
        expected = {done.code} if done.status == "failed" else set(done.flags)
        ours = told.get(entry.id, set()) - {"mpp-outlier"}
        assert ours == expected, entry.id
        statuses[entry.path.stem] = done.status
    return statuses


def test_of_virtual_faults(faulty, recipe, tmp_path):
    statuses = agree(faulty, recipe, tmp_path)
    assert statuses["sound"] == "ok"
    assert {statuses[n] for n in ("glass", "all-ink", "tiny", "text", "none", "wild-scale")} == {
        "failed"
    }


def test_of_shared_slides(test_data, recipe, tmp_path):
    statuses = agree([test_data / "slides" / name for name in SHARED], recipe, tmp_path)
    assert set(statuses.values()) == {"ok", "failed"}


def test_of_feature_files(features, recipe, tmp_path):
    statuses = agree(features, recipe, tmp_path)
    assert statuses == {"sound": "ok", "nan": "failed", "none": "failed", "text": "failed"}


def test_a_slide_replaced_between_two_runs_is_prepared_anew(faulty, recipe, tmp_path):
    run, path = RunFolder.open(tmp_path / "run"), tmp_path / "s.tiff"
    order = SlideTask("s", "P", path, None, recipe, run)
    seen = []
    for source in (faulty[0], faulty[3]):
        path.write_bytes(source.read_bytes())
        prepare_slides([order], run, workers=1, progress=SilentProgress())
        seen.append((run.slide_folder("s") / "bag.npy").read_bytes())
    assert seen[0] != seen[1]

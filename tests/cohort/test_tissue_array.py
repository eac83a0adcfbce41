"""Core maps: written, corrected, read again; cores joined to patients, nobody lost."""

import json
from dataclasses import replace

import msgspec
import pytest

from jecur.cohort.cohort import read_cohort
from jecur.cohort.core_map import core_map_csv, core_map_geojson, read_core_map
from jecur.errors import TableError
from jecur.geometry import Core, CoreMap
from jecur.settings import CohortSettings, ColumnSettings, EndpointSettings, TissueArrayMap

CORES = CoreMap(
    (
        Core("A-1", 1, 1, 1000.5, 900.0, 600.0, True, 0.9, "007"),
        Core("A-2", 1, 2, 1900.0, 905.0, 600.0, False, 0.0, "007"),
        Core("B-1", 2, 1, 1000.0, 1800.0, 600.0, True, 0.8, "8"),
        Core("B-2", 2, 2, 1900.0, 1800.0, 600.0, True, 0.7, ""),
    )
)
SETTINGS = CohortSettings(
    endpoint=EndpointSettings(
        kind="time to recurrence", unit="months", event_values=("1",), censored_values=("0",)
    ),
    columns=ColumnSettings(role="", slide=""),
    tissue_arrays=(TissueArrayMap(slide="one.tiff", map="one.csv"),),
)


def test_a_map_comes_back_from_csv(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text(core_map_csv(CORES))
    assert read_core_map(path) == CORES


def test_a_map_comes_back_from_qupath(tmp_path):
    path = tmp_path / "map.geojson"
    path.write_text(json.dumps(core_map_geojson(CORES)))
    back = read_core_map(path)
    for before, after in zip(CORES.cores, back.cores, strict=True):
        assert (after.x, after.y) == pytest.approx((before.x, before.y), abs=0.02)
        assert after.diameter == pytest.approx(before.diameter, abs=0.05)
        assert replace(after, x=0, y=0, diameter=0, coverage=None) == replace(
            before, x=0, y=0, diameter=0, coverage=None
        )


def test_a_circle_moved_and_stripped_of_extras_keeps_its_place(tmp_path):
    found = core_map_geojson(CORES)
    feature = found["features"][2]
    del feature["properties"]["metadata"]
    ring = feature["geometry"]["coordinates"][0]
    feature["geometry"]["coordinates"][0] = [[x + 50, y - 20] for x, y in ring]
    path = tmp_path / "map.geojson"
    path.write_text(json.dumps([feature]))
    (core,) = read_core_map(path).cores
    assert (core.row, core.column, round(core.x), round(core.y)) == (2, 1, 1050, 1780)


def test_a_spreadsheet_in_micrometers_with_commas_is_read(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text(
        "core_id;row;column;x_um;y_um;diameter_um;present\nA-1;1;1;500,25;450;300;Yes\n"
    )
    (core,) = read_core_map(path).in_pixels(0.5).cores
    assert (core.x, core.diameter, core.present) == (1000.5, 600.0, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("A-2,1,2", "A-1,1,2"), "'A-1' twice"),
        (("A-2,1,2", "../2,1,2"), "'../2'"),
        (("A-2,1,2", "A-2,0,2"), "row 3"),
        (("no,0.0", "perhaps,0.0"), "'perhaps' in row 3"),
        (("1900.0,905.0", "far,905.0"), "'far' in row 3"),
        ((",905.0,600.0", ",905.0,0"), "core A-2"),
        (("x_px", "x"), "x_px"),
    ],
)
def test_what_is_wrong_in_a_map_is_named(tmp_path, change, words):
    path = tmp_path / "map.csv"
    path.write_text(core_map_csv(CORES).replace(*change, 1))
    with pytest.raises(TableError, match=r"map\.csv") as caught:
        read_core_map(path)
    assert words in caught.value.message


@pytest.mark.parametrize("text", ["{", "[]", '[{"type": "Feature"}]', "[" * 50_000, "3"])
def test_what_is_no_map_in_geojson_is_refused(tmp_path, text):
    path = tmp_path / "map.geojson"
    path.write_text(text)
    with pytest.raises(TableError, match=r"map\.geojson"):
        read_core_map(path)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "one.tiff").write_bytes(b"x")
    (tmp_path / "clinical.csv").write_text("patient_id,time,event\n007,10,1\n8,20,0\n9,30,0\n")
    (tmp_path / "one.csv").write_text(core_map_csv(CORES))
    return tmp_path


def test_cores_join_patients_over_several_arrays_and_nobody_is_lost(folder):
    (folder / "two.csv").write_text(core_map_csv(CORES))
    arrays = (*SETTINGS.tissue_arrays, TissueArrayMap(slide="two.tiff", map="two.csv", mpp=0.5))
    cohort = read_cohort(msgspec.structs.replace(SETTINGS, tissue_arrays=arrays), folder)
    slides = {p.id: [e.id for e in p.slides] for p in cohort.patients}
    assert slides == {
        "007": ["one__A-1", "one__A-2", "two__A-1", "two__A-2"],
        "8": ["one__B-1", "two__B-1"],
    }
    assert [(e.patient, e.reason) for e in cohort.excluded] == [("9", "no slide named")]
    assert cohort.unmatched_slides == ("one.tiff core B-2", "two.tiff core B-2")
    assert cohort.patients[0].slides[2].mpp == 0.5
    assert cohort.patients[0].slides[0].core.core == "A-1"


def test_a_core_of_a_stranger_is_refused(folder):
    (folder / "one.csv").write_text(core_map_csv(CORES).replace(",8\n", ",88\n"))
    with pytest.raises(TableError, match="'88' for core B-1") as caught:
        read_cohort(SETTINGS, folder)
    assert caught.value.code == "unknown-patient"


def test_paths_outside_the_slide_folder_are_refused(folder):
    arrays = (TissueArrayMap(slide="../one.tiff", map="one.csv"),)
    with pytest.raises(TableError) as caught:
        read_cohort(msgspec.structs.replace(SETTINGS, tissue_arrays=arrays), folder)
    assert caught.value.code == "path-outside-folder"


def test_drawings_are_found_by_name_or_by_column(folder):
    (folder / "drawn").mkdir()
    for name in ("a.geojson", "b.xml", "other.xml"):
        (folder / "drawn" / name).write_text("{}")
    table = "patient_id,time,event,slide,regions\n1,10,1,a.svs;b.svs,;other.xml\n2,9,0,c.svs,\n"
    (folder / "clinical.csv").write_text(table)
    plain = msgspec.structs.replace(
        SETTINGS, columns=ColumnSettings(role=""), tissue_arrays=(), annotation_folder="drawn"
    )
    files = [[e.annotation and e.annotation.name for e in p.slides]
             for p in read_cohort(plain, folder).patients]  # fmt: skip
    assert files == [["a.geojson", "b.xml"], [None]]
    columns = msgspec.structs.replace(plain.columns, annotation="regions")
    named = msgspec.structs.replace(plain, columns=columns)
    files = [[e.annotation and e.annotation.name for e in p.slides]
             for p in read_cohort(named, folder).patients]  # fmt: skip
    assert files == [[None, "other.xml"], [None]]
    (folder / "clinical.csv").write_text(table.replace(";other", "../other"))
    with pytest.raises(TableError, match="row 2"):
        read_cohort(named, folder)

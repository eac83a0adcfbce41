"""No two slides share an id or a file of drawings, however alike their names are."""

import unicodedata
from itertools import permutations
from pathlib import Path, PurePath

import pytest

from jecur.cohort.annotation_files import annotations_in, annotations_of
from jecur.cohort.cohort import read_cohort
from jecur.cohort.output_names import claim_name
from jecur.cohort.slide_names import as_on_disk, file_ids, names_without_suffix, slide_ids
from jecur.errors import TableError
from jecur.settings import CohortSettings, ColumnSettings, EndpointSettings

ALIKE = [
    "a.svs", "a.tif", "A.svs", "x/a.svs", "x__a.svs", "x/a.tif", "1.2.840.1", "1.2.840.2",
    "caf\u00e9.svs", "cafe\u0301.svs", "b.ome.tiff", "b.tiff", "b.ome.tif", "c.h5", "c.svs",
]  # fmt: skip


def test_ids_are_unique_even_where_case_and_accents_are_not_told_apart():
    ids = slide_ids([PurePath(name) for name in ALIKE])
    assert len({unicodedata.normalize("NFKC", i).casefold() for i in ids}) == len(ALIKE)
    assert not any("/" in i for i in ids)


def test_ids_do_not_depend_on_the_order_and_stay_short_where_nothing_clashes():
    for order in permutations(["a.svs", "a.tif", "x/b.svs"]):
        ids = dict(zip(order, slide_ids([PurePath(name) for name in order]), strict=True))
        assert ids == {"a.svs": "a.svs", "a.tif": "a.tif", "x/b.svs": "x__b"}


def test_files_anywhere_get_ids_and_one_named_twice_is_refused(tmp_path):
    files = [tmp_path / "one" / "a.svs", tmp_path / "two" / "a.svs", tmp_path / "two" / "b.svs"]
    assert file_ids(files) == ("one__a", "two__a", "b")
    with pytest.raises(TableError, match=r"a\.svs named twice"):
        file_ids([files[0], tmp_path / "two" / ".." / "one" / "a.svs"])


@pytest.mark.parametrize(
    ("slide", "names"),
    [
        ("x.svs", {"x.svs", "x"}),
        ("x.ome.tiff", {"x.ome.tiff", "x.ome", "x"}),
        ("x.OME.TIF", {"x.OME.TIF", "x.OME", "x"}),
        ("x.svs.tiff", {"x.svs.tiff", "x.svs", "x"}),
        ("x.y.svs", {"x.y.svs", "x.y"}),
        ("1.2.840.7", {"1.2.840.7"}),
    ],
)
def test_names_of_a_slide(slide, names):
    assert set(names_without_suffix(slide)) == names


@pytest.mark.parametrize("suffix", [".geojson", ".json", ".xml", ".GeoJSON"])
@pytest.mark.parametrize("slide", ["x.ome.tiff", "x.svs", "sub/x.mrxs", "1.2.840.7"])
def test_every_name_of_a_drawing_is_found_and_two_are_told(tmp_path, slide, suffix):
    slide = PurePath(slide)
    (tmp_path / slide.parent).mkdir(exist_ok=True)
    for name in names_without_suffix(slide.name):
        file = tmp_path / slide.parent / f"{name}{suffix}"
        file.write_text("{}")
        assert annotations_in(tmp_path, [slide]) == {slide: file}
        second = file.with_name(f"{slide.name}.second{suffix}")
        second.write_text("{}")
        assert annotations_in(tmp_path, [slide]) == {slide: file}  # another slide's
        second.unlink()
        rival = file.with_name(f"{name}{'.xml' if suffix != '.xml' else '.json'}")
        rival.write_text("{}")
        with pytest.raises(TableError, match="2 files") as caught:
            annotations_in(tmp_path, [slide])
        assert rival.name in str(caught.value)
        assert file.name in str(caught.value)
        assert caught.value.code == "ambiguous-annotation"
        rival.unlink()
        file.unlink()


def test_one_drawing_for_two_slides_is_told(tmp_path):
    slides = [PurePath("a.svs"), PurePath("a.tif")]
    (tmp_path / "a.geojson").write_text("{}")
    with pytest.raises(TableError, match=r"a\.svs, a\.tif"):
        annotations_in(tmp_path, slides)
    (tmp_path / "a.geojson").rename(tmp_path / "a.tif.geojson")
    assert list(annotations_in(tmp_path, slides)) == slides[1:]


def test_drawings_of_slides_named_one_by_one(tmp_path):
    slides = [Path("there/a.svs"), Path("there/b.ome.tiff")]
    (tmp_path / "b.xml").write_text("<a/>")
    assert annotations_of(None, slides) == [None, None]
    assert annotations_of(tmp_path, slides) == [None, tmp_path / "b.xml"]
    assert annotations_of(tmp_path / "b.xml", slides[:1]) == [tmp_path / "b.xml"]
    with pytest.raises(TableError, match="2 slides"):
        annotations_of(tmp_path / "b.xml", slides)


def cohort_of(tmp_path, *slides):
    lines = [f"P{k},{k + 5},1,{slide}" for k, slide in enumerate(slides)]
    (tmp_path / "t.csv").write_text("\n".join(["patient_id,time,event,slide", *lines]) + "\n")
    settings = CohortSettings(
        table="t.csv",
        columns=ColumnSettings(role=""),
        annotation_folder="drawn",
        endpoint=EndpointSettings(
            kind="recurrence-free survival",
            unit="months",
            event_values=("1",),
            censored_values=("0",),
        ),
    )
    return read_cohort(settings, tmp_path)


def test_two_slides_with_one_stem_live_side_by_side_in_a_table(tmp_path):
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / "a.tif.geojson").write_text("{}")
    cohort = cohort_of(tmp_path, "a.svs", "a.tif", "x/a.svs;x__a.svs", "x.ome.tiff")
    entries = [entry for patient in cohort.patients for entry in patient.slides]
    assert [e.path.name for e in entries] == ["a.svs", "a.tif", "a.svs", "x__a.svs", "x.ome.tiff"]
    assert len({e.id.casefold() for e in entries}) == 5
    assert [e.annotation is not None for e in entries] == [False, True, False, False, False]


def test_the_very_same_slide_twice_is_named_with_its_rows(tmp_path):
    with pytest.raises(TableError, match=r"'\./a\.svs' in rows 2 and 3") as caught:
        cohort_of(tmp_path, "a.svs", "./a.svs")
    assert caught.value.code == "duplicate-slide"


def test_outputs_in_one_folder_stay_apart_and_are_found_again(tmp_path):
    sources = [Path("/s/a.svs"), Path("/s/a.tif"), Path("/t/a.svs"), Path("/t/A.svs")]
    names = [claim_name(tmp_path, source) for source in sources]
    assert names[:2] == ["a", "a.tif"]
    assert len({name.casefold() for name in names}) == 4
    assert [claim_name(tmp_path, source) for source in reversed(sources)] == names[::-1]


@pytest.mark.parametrize("told", ["NFC", "NFD"])
@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_one_spelling_of_accents_in_the_table_and_on_disk(tmp_path, told, stored):
    """macOS stores letters with marks as two characters, spreadsheets as one."""
    tell, store = (
        lambda text, form=form: unicodedata.normalize(form, text) for form in (told, stored)
    )
    slides, drawn = tmp_path / "slides" / store("S\u00e9rie"), tmp_path / "regions"
    (slides / store("\uac04\uc554")).mkdir(parents=True)
    (slides / store("\uac04\uc554") / store("M\u00fcller.svs")).write_bytes(b"x")
    (drawn / store("\uac04\uc554")).mkdir(parents=True)
    (drawn / store("\uac04\uc554") / store("M\u00fcller.geojson")).write_bytes(b"x")
    patient_id, name = tell("M\u00fcller"), tell("S\u00e9rie/\uac04\uc554/M\u00fcller.svs")
    (tmp_path / "clinical.csv").write_text(
        f"patient_id,time,event,slide\n{patient_id},3,1,{name}\n", encoding="utf-8"
    )
    settings = CohortSettings(
        endpoint=EndpointSettings(
            kind="time to recurrence", unit="months", event_values=("1",), censored_values=("0",)
        ),
        columns=ColumnSettings(role=""),
    )
    (patient,) = read_cohort(settings, tmp_path).patients
    assert patient.id == "M\u00fcller"
    assert patient.slides[0].path.read_bytes() == b"x"
    slide = PurePath(tell("\uac04\uc554/M\u00fcller.svs"))
    assert annotations_in(drawn, [slide])[slide].read_bytes() == b"x"


def test_a_name_with_marks_that_is_not_there_is_left_as_it_was(tmp_path):
    for name in ("M\u00fcller.svs", "\u00fc/../../etc", "/\u00fc/x", "\u00fc" * 300, "\u00fc/a/b"):
        assert as_on_disk(tmp_path, name) == tmp_path / name
    for form in ("NFC", "NFD"):
        (tmp_path / unicodedata.normalize(form, "\u1e69\u0307.svs")).write_bytes(b"")
    either = "s\u0307\u0323\u0307.svs"
    assert as_on_disk(tmp_path, either).parent == tmp_path

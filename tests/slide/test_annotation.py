"""Drawn regions: real exports of QuPath, ASAP and ImageScope, exact filling, hostile files refused."""

import json

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from jecur.errors import AnnotationError, JecurError
from jecur.geometry import Size
from jecur.settings import AnnotationSettings, TissueSettings
from jecur.simulate.slide import write_slide
from jecur.slide.annotation.reading import Region, read_regions
from jecur.slide.annotation.regions import fill_rings, region_mask, restrict_to_regions
from jecur.slide.reader import open_slide
from jecur.slide.tissue import find_tissue

BOX = [[100, 100], [300, 100], [300, 300], [100, 300], [100, 100]]
HOLE = [[150, 150], [250, 150], [250, 250], [150, 250], [150, 150]]


def area(region):
    """Shoelace area: outer ring minus holes."""
    values = []
    for ring in region.rings:
        x, y = ring.T
        values.append(abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2)
    return values[0] - sum(values[1:])


@pytest.mark.parametrize(
    ("file", "n", "names"),
    [
        ("markowetz/geojson_example.geojson", 2, {"artifact", "unsure"}),
        ("markowetz/xml_example.xml", 2, {"aberrant_positive_columnar", "unsure"}),
        ("wsidicom/asap/asap-polygon.xml", 1, {""}),
        ("wsidicom/asap/asap-dot.xml", 0, set()),
        ("wsidicom/asap/asap-pointset.xml", 0, set()),
        ("wsidicom/qupath_geojson/qupath-brush.json", 1, {""}),
        ("wsidicom/qupath_geojson/qupath-ellipse.json", 1, {""}),
        ("wsidicom/qupath_geojson/qupath-multipoint.json", 0, set()),
        ("wsidicom/qupath_geojson/qupath-polygon.json", 1, {""}),
        ("wsidicom/qupath_geojson/qupath-rectangle.json", 1, {""}),
        ("aperio_imagescope/TCGA-EJ-5518-01Z-00-DX1.xml", 4, None),
        ("aperio_imagescope/slideseg_example.xml", 14, {"BALT hyperplasia", "airspace enlargment"}),
    ],
)
def test_real_exports_are_read(test_data, file, n, names):
    regions = read_regions(test_data / "slides" / "annotations" / file)
    assert len(regions) == n
    assert names is None or {r.name for r in regions} == names
    assert all(area(region) > 0 for region in regions)


def test_aperio_areas_are_the_ones_imagescope_wrote(test_data):
    path = test_data / "slides" / "annotations" / "aperio_imagescope" / "slideseg_example.xml"
    first = read_regions(path)[0]
    assert area(first) == pytest.approx(27934759.5, rel=1e-3)


def test_a_real_brush_fills_to_its_own_area(test_data):
    folder = test_data / "slides" / "annotations" / "wsidicom" / "qupath_geojson"
    (region,) = read_regions(folder / "qupath-brush.json")
    (ring,) = region.rings
    shape = tuple(np.ceil(np.ptp(ring, axis=0)).astype(int)[::-1] + 1)
    filled = fill_rings([ring - ring.min(axis=0)], shape)
    assert filled.sum() == pytest.approx(area(region), rel=0.01)


def test_holes_and_several_polygons_are_kept_apart(tmp_path):
    geometry = {"type": "MultiPolygon", "coordinates": [[BOX, HOLE], [HOLE]]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {"classification": None}}
    path = tmp_path / "hole.json"
    path.write_text(json.dumps([feature]))
    ring_shaped, plug = read_regions(path)
    assert area(ring_shaped) == 200 * 200 - 100 * 100
    assert region_mask([ring_shaped], (40, 40), 0.1).sum() == 300
    assert region_mask([ring_shaped, plug], (40, 40), 0.1).sum() == 400


@pytest.mark.parametrize("file", ["dlup/103S.json", "wsidicom/sectra/pathologycore-area.json"])
def test_other_json_is_refused_by_name(test_data, file):
    path = test_data / "slides" / "annotations" / file
    with pytest.raises(AnnotationError, match=path.name) as caught:
        read_regions(path)
    assert caught.value.code == "bad-annotation"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('<!DOCTYPE a [<!ENTITY x "y">]><Annotations>&x;</Annotations>', "unsafe-annotation"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><Annotations/>', "unsafe-annotation"),
        ("<Annotations>" + "<a>" * 100 + "</a>" * 100 + "</Annotations>", "bad-annotation"),
        ("<Annotations>", "bad-annotation"),
        ("<html></html>", "bad-annotation"),
        ("", "bad-annotation"),
        ("[" * 100_000, "bad-annotation"),
        ('{"type": "Polygon", "coordinates": []}', "bad-annotation"),
        (json.dumps({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0]]]}}),
         "bad-annotation"),
        ('{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[1e99,0],[0,9]]]}}',
         "bad-annotation"),
    ],
)  # fmt: skip
def test_bad_and_hostile_files_are_refused(tmp_path, text, code):
    path = tmp_path / "regions.xml"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=r"regions\.xml") as caught:
        read_regions(path)
    assert caught.value.code == code


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(JecurError, match="gone") as caught:
        read_regions(tmp_path / "gone.xml")
    assert caught.value.code == "missing-annotation"


def test_filling_agrees_with_points_in_polygon_one_by_one():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:40, 0:50]
    centers = np.stack([x.ravel() + 0.5, y.ravel() + 0.5], axis=1)
    for _ in range(30):
        turn = np.sort(rng.uniform(0, 2 * np.pi, 9))
        radius = rng.uniform(5, 30, 9)
        ring = np.stack([25 + radius * np.cos(turn), 20 + radius * np.sin(turn)], axis=1)
        expected = Outline(ring).contains_points(centers).reshape(40, 50)
        assert np.array_equal(fill_rings([ring], (40, 50)), expected)


def test_a_negative_region_is_taken_out_of_its_own_class_only():
    box, hole = np.array(BOX, float) / 10, np.array(HOLE, float) / 10
    own = [Region("a", (hole,), negative=True), Region("a", (box,))]
    assert region_mask(own, (40, 40), 1.0).sum() == 400 - 100
    assert region_mask([*own, Region("b", (box,))], (40, 40), 1.0).sum() == 400


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "pink.tiff"
    image = np.full((900, 900, 3), 245, np.uint8)
    image[50:850, 50:850] = (200, 110, 170)
    write_slide(path, image, um_per_px=1.0)
    with open_slide(path) as opened:
        yield opened


def drawn(tmp_path, *features):
    path = tmp_path / "regions.geojson"
    path.write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "features": [
                    {
                        "type": "Feature",
                        "geometry": {"type": "Polygon", "coordinates": rings},
                        "properties": {"classification": {"name": name}},
                    }
                    for name, rings in features
                ],
            }
        )
    )
    return path


def test_included_regions_keep_and_excluded_regions_erase(slide, tmp_path):
    tissue = find_tissue(slide, TissueSettings())
    path = drawn(tmp_path, ("Tumor", [BOX]), ("Necrosis", [HOLE]))
    for settings, expected in (
        (AnnotationSettings(include=("Tumor",)), 0.04),
        (AnnotationSettings(include=("Tumor",), exclude=("Necrosis",)), 0.03),
        (AnnotationSettings(include=("*",)), 0.04),
        (AnnotationSettings(exclude=("Tumor",)), tissue.area_mm2 - 0.04),
        (AnnotationSettings(), tissue.area_mm2),
    ):
        cut, flags = restrict_to_regions(slide, tissue, path, settings)
        assert cut.area_mm2 == pytest.approx(expected, abs=0.002)
        assert flags == ()


def test_regions_are_placed_in_the_file_even_on_a_window_of_it(slide, tmp_path):
    part = slide.window(96, 96, Size(208, 208))
    tissue = find_tissue(part, TissueSettings())
    path = drawn(tmp_path, ("Tumor", [HOLE]))
    cut, _ = restrict_to_regions(part, tissue, path, AnnotationSettings(include=("Tumor",)))
    rows, columns = np.nonzero(cut.mask)
    assert rows.min() * 8 + 96 == pytest.approx(150, abs=8)
    assert columns.max() * 8 + 96 + 8 == pytest.approx(250, abs=8)


def test_a_slide_without_drawings_is_flagged_or_refused(slide):
    tissue = find_tissue(slide, TissueSettings())
    settings = AnnotationSettings(include=("Tumor",))
    assert restrict_to_regions(slide, tissue, None, settings)[1] == ("no-annotation",)
    with pytest.raises(AnnotationError) as caught:
        restrict_to_regions(
            slide, tissue, None, AnnotationSettings(include=("Tumor",), required=True)
        )
    assert caught.value.code == "missing-annotation"


def test_regions_of_another_slide_or_class_are_not_taken_for_the_whole(slide, tmp_path, test_data):
    tissue = find_tissue(slide, TissueSettings())
    elsewhere = test_data / "slides" / "annotations" / "markowetz" / "geojson_example.geojson"
    for path, name in ((elsewhere, "*"), (drawn(tmp_path, ("Tumor", [BOX])), "tumour")):
        with pytest.raises(AnnotationError, match="classes there") as caught:
            restrict_to_regions(slide, tissue, path, AnnotationSettings(include=(name,)))
        assert caught.value.code == "no-region"


def _geojson(path, *names):
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [BOX]},
            "properties": {"classification": {"name": name}},
        }
        for name in names
    ]
    path.write_text(json.dumps(features), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def stained(tmp_path_factory):
    path = tmp_path_factory.mktemp("drawn") / "a.tif"
    image = np.full((800, 800, 3), (244, 242, 243), np.uint8)
    image[80:720, 80:720] = (205, 130, 180)
    write_slide(path, image, um_per_px=0.5)
    with open_slide(path) as slide:
        yield slide, find_tissue(slide, TissueSettings())


@pytest.mark.parametrize("drawn", ["Nécrose", " Nécrose ", "Ne\u0301crose", "Ne\u0301crose\n"])
@pytest.mark.parametrize("named", ["Nécrose", "Ne\u0301crose", "Nécrose "])
def test_a_class_is_one_in_either_form_of_its_letters(tmp_path, stained, drawn, named):
    slide, tissue = stained
    path = _geojson(tmp_path / "a.geojson", drawn)
    left, flags = restrict_to_regions(slide, tissue, path, AnnotationSettings(exclude=(named,)))
    assert left.mask.sum() < tissue.mask.sum()
    assert flags == ()


@pytest.mark.parametrize("which", ["include", "exclude"])
def test_a_class_in_other_letters_is_not_passed_over(tmp_path, stained, which):
    path = _geojson(tmp_path / "a.geojson", "Tumor", "necrosis", "tumor")
    settings = AnnotationSettings(**{which: ("Tumor",)})
    with pytest.raises(AnnotationError, match=r"'Tumor' as .* spells it, found 'tumor'"):
        restrict_to_regions(*stained, path, settings)
    both = AnnotationSettings(**{which: ("Tumor", "tumor")})
    assert restrict_to_regions(*stained, path, both)[1] == ()


def _asap(path, groups, kind="Polygon"):
    corners = "".join(
        f'<Coordinate Order="{k}" X="{x}" Y="{y}"/>' for k, (x, y) in enumerate(BOX[:-1])
    )
    above = "".join(f'<Group Name="{name}" PartOfGroup="{up}"/>' for name, up in groups.items())
    path.write_text(
        f'<ASAP_Annotations><Annotations><Annotation Type="{kind}" PartOfGroup="{next(iter(groups))}">'
        f"<Coordinates>{corners}</Coordinates></Annotation></Annotations>"
        f"<AnnotationGroups>{above}</AnnotationGroups></ASAP_Annotations>",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize(
    "groups",
    [
        {"Tumor": "None"},
        {"left": "Tumor", "Tumor": "None"},
        {"edge": "left", "left": "Tumor", "Tumor": "None"},
        {"left": "Tumor", "Tumor": "left"},
    ],
)
def test_a_region_is_of_the_groups_above_its_own(tmp_path, stained, groups):
    slide, tissue = stained
    path = _asap(tmp_path / "a.xml", groups)
    left, _ = restrict_to_regions(slide, tissue, path, AnnotationSettings(exclude=("Tumor",)))
    assert left.mask.sum() < tissue.mask.sum()


def test_an_annotation_of_no_known_type_is_not_passed_over(tmp_path):
    with pytest.raises(AnnotationError, match="type 'polygon'"):
        read_regions(_asap(tmp_path / "a.xml", {"Tumor": "None"}, "polygon"))


@pytest.mark.parametrize("value", ["", "Tumor"])
def test_a_layer_that_nobody_named_in_imagescope_has_no_class(tmp_path, value):
    corners = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in BOX[:-1])
    path = tmp_path / "a.xml"
    path.write_text(
        f'<Annotations><Annotation Name=""><Attributes><Attribute Name="Description" Value="{value}"/>'
        f'</Attributes><Regions><Region Type="0"><Vertices>{corners}</Vertices></Region></Regions>'
        "</Annotation></Annotations>",
        encoding="utf-8",
    )
    assert [region.name for region in read_regions(path)] == [value]


def box(x, y, width, height):
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]


@pytest.mark.parametrize(
    ("holes", "area"),
    [
        ([box(20, 20, 20, 20)], 1200),
        ([box(20, 20, 20, 20), box(30, 20, 10, 20)], 1200),
        ([box(20, 20, 20, 20), box(25, 20, 20, 20)], 1100),
        ([box(40, 10, 60, 40)], 1200),
        ([box(70, 70, 20, 20)], 1600),
        ([box(0, 0, 100, 100)], 0),
    ],
)
def test_holes_that_overlap_or_reach_out_take_away_and_add_nothing(holes, area):
    rings = tuple(np.array(ring, dtype=float) for ring in [box(10, 10, 40, 40), *holes])
    assert region_mask([Region("a", rings)], (100, 100), 1.0).sum() == area
    moved = region_mask([Region("a", rings)], (100, 100), 1.0, (25.0, 25.0))
    assert moved.sum() == region_mask([Region("a", rings)], (100, 100), 1.0)[25:, 25:].sum()


@pytest.mark.parametrize("key", ["name", "label", "class"])
def test_a_class_that_is_told_as_a_name_is_not_passed_over(tmp_path, stained, key):
    path = drawn(tmp_path, ("Tumor", [BOX]))
    text = path.read_text().replace('"classification": {"name": "Tumor"}', f'"{key}": "tumor "')
    path.write_text(text)
    for which in ("include", "exclude"):
        with pytest.raises(AnnotationError, match="as a region's classification"):
            restrict_to_regions(*stained, path, AnnotationSettings(**{which: ("Tumor",)}))
    settings = AnnotationSettings(exclude=("Fold",))
    assert restrict_to_regions(*stained, path, settings)[0].mask.sum() == stained[1].mask.sum()


def test_a_class_that_qupath_derives_from_another_is_of_both(tmp_path, stained):
    path = _geojson(tmp_path / "a.geojson", "Tumor: Immune: Dense")
    for name in ("Tumor", "Tumor: Immune", "Tumor: Immune: Dense"):
        cut, _ = restrict_to_regions(*stained, path, AnnotationSettings(exclude=(name,)))
        assert cut.mask.sum() < stained[1].mask.sum()
    cut, _ = restrict_to_regions(*stained, path, AnnotationSettings(exclude=("Immune",)))
    assert cut.mask.sum() == stained[1].mask.sum()


@pytest.mark.parametrize(
    ("rings", "told"),
    [
        (box(100, 100, 300, 300), False),
        (box(-10, -10, 300, 300), False),
        (box(2000, 100, 300, 300), True),
        (box(100, 500, 300, 1200), True),
        (box(-300, -300, 500, 500), True),
    ],
)
def test_a_region_beyond_the_slide_is_told_beside_one_that_is_right(tmp_path, stained, rings, told):
    path = drawn(tmp_path, ("Tumor", [box(200, 200, 200, 200)]), ("Tumor", [rings]))
    flags = restrict_to_regions(*stained, path, AnnotationSettings(include=("Tumor",)))[1]
    assert flags == (("drawing-off-tissue",) if told else ())


@pytest.mark.parametrize(
    ("mpp", "told"), [("0.5", False), ("0.51", False), ("0.252", True), ("0", False), ("", False)]
)
def test_a_drawing_at_another_scale_is_told(tmp_path, stained, mpp, told):
    corners = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in BOX[:-1])
    path = tmp_path / "a.xml"
    path.write_text(
        f'<Annotations MicronsPerPixel="{mpp}"><Annotation Name="Tumor"><Regions><Region Type="0">'
        f"<Vertices>{corners}</Vertices></Region></Regions></Annotation></Annotations>"
    )
    flags = restrict_to_regions(*stained, path, AnnotationSettings(include=("Tumor",)))[1]
    assert flags == (("drawing-other-scale",) if told else ())

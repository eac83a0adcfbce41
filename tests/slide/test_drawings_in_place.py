"""Drawn regions lie where they were drawn, whichever program's corner they count from."""

import json

import numpy as np
import openslide
import pytest

from jecur.errors import AnnotationError
from jecur.explain.heatmap import qupath_geojson, score_scale
from jecur.settings import AnnotationSettings, TissueSettings
from jecur.simulate.slide import write_slide
from jecur.slide.annotation.reading import read_regions
from jecur.slide.annotation.regions import restrict_to_regions
from jecur.slide.reader import open_slide
from jecur.slide.tissue import find_tissue

SQUARE = [[100, 100], [300, 100], [300, 300], [100, 300], [100, 100]]


def asap(points, group="Tumor"):
    corners = "".join(
        f'<Coordinate Order="{k}" X="{x}" Y="{y}" />' for k, (x, y) in enumerate(points)
    )
    return (
        f'<ASAP_Annotations><Annotations><Annotation Name="a" Type="Polygon" PartOfGroup="{group}">'
        f"<Coordinates>{corners}</Coordinates></Annotation></Annotations></ASAP_Annotations>"
    )


def geojson(*geometries, name="Tumor"):
    features = [
        {"type": "Feature", "geometry": g, "properties": {"classification": {"name": name}}}
        for g in geometries
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def bounded(test_data):
    """Shared slides that are a part of a larger canvas."""
    made = test_data / "slides" / "constructed"
    return [made / "mirax" / "constructed_sparse.mrxs", made / "constructed.scn"]


@pytest.mark.parametrize("which", [0, 1])
def test_asap_counts_from_the_canvas_and_qupath_from_the_bounds(test_data, tmp_path, which):
    path = bounded(test_data)[which]
    with openslide.OpenSlide(str(path)) as handle:
        offset = tuple(int(handle.properties[f"openslide.bounds-{axis}"]) for axis in "xy")
    with open_slide(path) as slide:
        assert slide.canvas_offset == offset
        assert sum(offset) > 0
        tissue = find_tissue(slide, TissueSettings())
        rows, columns = np.nonzero(tissue.mask)
        scale = tissue.um_per_px / slide.mpp
        x, y = columns.mean() * scale, rows.mean() * scale
        box = [(x - 400, y - 400), (x + 400, y - 400), (x + 400, y + 400), (x - 400, y + 400)]
        for suffix, text in (
            ("xml", asap([(u + offset[0], v + offset[1]) for u, v in box])),
            ("geojson", geojson({"type": "Polygon", "coordinates": [[*box, box[0]]]})),
        ):
            file = tmp_path / f"d.{suffix}"
            file.write_text(text)
            keep, _ = restrict_to_regions(
                slide, tissue, file, AnnotationSettings(include=("Tumor",))
            )
            erase, flags = restrict_to_regions(
                slide, tissue, file, AnnotationSettings(exclude=("Tumor",))
            )
            assert flags == ()
            assert keep.area_mm2 + erase.area_mm2 == pytest.approx(tissue.area_mm2, abs=1e-6)
            inside = np.nonzero(keep.mask)
            assert keep.area_mm2 > 0
            assert abs(inside[1].mean() * scale - x) < 250
            assert abs(inside[0].mean() * scale - y) < 250


def test_the_shared_drawings_erase_the_same_tissue(test_data, cases):
    with open_slide(bounded(test_data)[0]) as slide:
        tissue = find_tissue(slide, TissueSettings())
        settings = AnnotationSettings(exclude=("Tumor",))
        masks = [
            restrict_to_regions(slide, tissue, cases / "slides" / name, settings)[0].mask
            for name in ("asap_exclude_on_mrxs.xml", "asap_control_qupath.geojson")
        ]
        np.testing.assert_array_equal(*masks)
        left = restrict_to_regions(
            slide, tissue, cases / "slides" / "asap_exclude_on_mrxs.xml", settings
        )[0]
    assert left.area_mm2 == pytest.approx(0.5185, abs=0.001)


EMPTY = [
    None,
    {"type": "Polygon", "coordinates": []},
    {"type": "Polygon", "coordinates": [[]]},
    {"type": "Polygon", "coordinates": None},
    {"type": "MultiPolygon", "coordinates": []},
    {"type": "MultiPolygon", "coordinates": [[], [[]]]},
    {"type": "Point", "coordinates": []},
    {"type": "LineString", "coordinates": []},
    {"type": "GeometryCollection", "geometries": []},
    {"type": "GeometryCollection", "geometries": [{"type": "GeometryCollection", "geometries": []}]},
    {"type": "GeometryCollection", "geometries": [None, {"type": "Polygon", "coordinates": []}]},
]  # fmt: skip


@pytest.mark.parametrize("empty", EMPTY)
def test_empty_geometries_are_skipped_and_the_rest_is_read(tmp_path, empty):
    path = tmp_path / "d.geojson"
    path.write_text(geojson(empty, {"type": "Polygon", "coordinates": [SQUARE, []]}))
    (region,) = read_regions(path)
    assert len(region.rings) == 1
    path.write_text(geojson(empty))
    assert read_regions(path) == ()


def test_the_shared_file_with_an_empty_polygon_is_read(cases):
    assert len(read_regions(cases / "slides" / "geojson_empty_polygon.geojson")) == 1


def test_empty_xml_regions_are_skipped(tmp_path):
    path = tmp_path / "d.xml"
    path.write_text(asap([]))
    assert read_regions(path) == ()
    path.write_text(
        '<Annotations><Annotation Name="T"><Regions><Region Type="0"><Vertices/></Region>'
        "</Regions></Annotation></Annotations>"
    )
    assert read_regions(path) == ()


def test_a_drawing_that_touches_no_tissue_is_told(tmp_path):
    image = np.full((900, 900, 3), 245, np.uint8)
    image[50:850, 50:600] = (200, 110, 170)
    write_slide(tmp_path / "s.tiff", image, um_per_px=1.0)
    glass = [[650, 650], [800, 650], [800, 800], [650, 800], [650, 650]]
    path = tmp_path / "s.geojson"
    path.write_text(geojson({"type": "Polygon", "coordinates": [glass]}))
    with open_slide(tmp_path / "s.tiff") as slide:
        tissue = find_tissue(slide, TissueSettings())
        cut, flags = restrict_to_regions(
            slide, tissue, path, AnnotationSettings(exclude=("Tumor",))
        )
        assert flags == ("drawing-off-tissue",)
        assert cut.area_mm2 == tissue.area_mm2
        with pytest.raises(AnnotationError) as caught:
            restrict_to_regions(slide, tissue, path, AnnotationSettings(include=("Tumor",)))
        assert caught.value.code == "no-region"
        path.write_text(geojson({"type": "Polygon", "coordinates": [SQUARE]}))
        assert restrict_to_regions(slide, tissue, path, AnnotationSettings(exclude=("Tumor",)))[
            1
        ] == ()  # fmt: skip


def test_our_geojson_has_a_class_and_a_name_a_tile():
    scores = np.linspace(-3, 3, 25).astype(np.float32)
    positions = np.stack([np.arange(25) * 256, np.zeros(25)], axis=1).astype(np.int64)
    scale = score_scale(scores, 0.5)
    features = json.loads(qupath_geojson(positions, scores, side_px=256, scale=scale))["features"]
    colors = {}
    for feature, score in zip(features, scores, strict=True):
        own = feature["properties"]
        assert own["name"] == f"score {score:+.2f}"
        kind = own["classification"]
        # QuPath keeps one color a class: it must not depend on the tile.
        assert colors.setdefault(kind["name"], kind["color"]) == kind["color"]
        assert ("above" in kind["name"]) == (score >= 0.0)
    assert len(colors) == len({tuple(c) for c in colors.values()}) == 6

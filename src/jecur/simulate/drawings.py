"""What a pathologist would draw on virtual tissue: tumor and stroma, from the plan that it was made by."""

from typing import cast

from jecur.simulate.fields import COARSE
from jecur.simulate.regions import TissuePlan
from jecur.slide.outline import mask_to_geojson

__all__ = ["STROMA", "TUMOR", "drawn_regions"]

TUMOR, STROMA = "Tumor", "Stroma"


def drawn_regions(plan: TissuePlan) -> dict[str, object]:
    """QuPath GeoJSON of fibrous bands (Stroma) and of the hepatocytes between them (Tumor).

    Edges are those of the plan, in steps of its coarse maps: 8 pixels. The picture frays them by a few more.
    """
    rows, columns = (n // COARSE for n in plan.size_px)
    frame = slice(1, 1 + rows), slice(1, 1 + columns)
    tissue = plan.tissue_margin[frame] > 0
    stroma = tissue & (plan.stroma_margin[frame] > 0)
    corner = (-COARSE / 2, -COARSE / 2)  # a node is the middle of its square
    features: list[object] = []
    for name, mask in ((TUMOR, tissue & ~stroma), (STROMA, stroma)):
        found = mask_to_geojson(mask, COARSE, label=name, origin=corner)
        features += cast("list[object]", found["features"])
    return {"type": "FeatureCollection", "features": features}

"""A run folder written by hand: slides of any kind, known scores, no model behind them."""

import json

import pandas as pd

SLIDES = ["slide", "patient_id", "status", "code", "reason", "flags", "n_tiles", "n_tiles_left_out", "mpp",
          "mpp_source", "reader", "vendor", "width", "height", "tissue_mm2", "thumbnail_um_per_px", "core",
          "origin", "training_distance", "path"]  # fmt: skip


def write_run(folder, slides, *, tiles=None, outlines=None, rows=None):
    """Write a run of one patient a slide.

    ``slides``: name -> path relative to the slide folder; ``tiles``: name -> frame of x, y, score;
    ``outlines``: name -> rings of a tissue polygon; ``rows``: name -> further columns of slides.csv.
    """
    folder.mkdir(parents=True)
    table, scored, scores = [], [], []
    for k, (name, path) in enumerate(slides.items()):
        row = dict.fromkeys(SLIDES, "") | {
            "slide": name, "patient_id": f"P{k}", "status": "ok", "origin": "0 0", "path": path,
            "n_tiles": len((tiles or {}).get(name, [])),
        }  # fmt: skip
        table.append(row | (rows or {}).get(name, {}))
        scores.append({"patient_id": f"P{k}", "risk": 0.1 + 0.8 * k / len(slides), "cutoff": 0.5,
                       "group": "high" if k > len(slides) / 2 else "low"})  # fmt: skip
        own = folder / "slides" / name
        own.mkdir(parents=True)
        if name in (tiles or {}):
            frame = tiles[name].assign(slide=name, patient_id=f"P{k}", contribution=0.1)
            scored.append(frame)
            frame[["x", "y"]].assign(side_px=256).to_parquet(own / "tiles.parquet")
        if name in (outlines or {}):
            polygon = {"type": "Polygon", "coordinates": outlines[name]}
            collection = {"features": [{"type": "Feature", "geometry": polygon}]}
            (own / "tissue.geojson").write_text(json.dumps(collection))
    pd.DataFrame(table).to_csv(folder / "slides.csv", index=False)
    pd.DataFrame(scores).to_csv(folder / "scores.csv", index=False)
    if scored:
        pd.concat(scored).to_parquet(folder / "tile_scores.parquet")
    return folder

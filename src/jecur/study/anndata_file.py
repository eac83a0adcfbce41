"""All tiles of a cohort as one AnnData file: features, places, and what a run made of each tile.

anndata is asked for only here: ``pip install "jecur[anndata]"``.
"""

import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jecur.errors import RunFolderError, SlideError
from jecur.mil.feature_checks import tile_positions
from jecur.mil.feature_output import require_h5py
from jecur.runs.folder import atomic_path
from jecur.study.slide_task import PreparedSlide

__all__ = ["require_anndata", "write_h5ad"]

_SCORES = ["score", "contribution"]


def require_anndata() -> Any:  # noqa: ANN401 - anndata has no types
    """Return anndata.

    Raises
    ------
    SlideError
        With code ``no-anndata``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own dependencies
            return import_module("anndata")
    except ModuleNotFoundError as error:
        raise SlideError(
            "expected anndata for an .h5ad file, found none; install it with: "
            'pip install "jecur[anndata]"',
            code="no-anndata",
        ) from error


def write_h5ad(
    path: Path, folder: Path, slides: Sequence[PreparedSlide], *, scores: Path | None = None
) -> Path:
    """Write ``X`` (tiles, features), ``obs`` (slide, patient, place, score) and ``obsm["spatial"]`` (um).

    Holds all features in memory.

    Parameters
    ----------
    path
        ``.h5ad``.
    folder
        Where the slides' files of features are.
    slides
        Those with features are written, in this order.
    scores
        Run folder with ``tile_scores.parquet``; its scores are joined by slide and corner, NaN where a
        tile has none.

    Raises
    ------
    SlideError
        "no-anndata".
    RunFolderError
        If no slide has tiles, or the run has no scores of these tiles or several.
    """
    anndata, h5py = require_anndata(), require_h5py()
    tables, features = [], []
    for slide in slides:
        if not slide.usable:
            continue
        with h5py.File(folder / f"{slide.slide}.h5", "r") as stored:
            features.append(np.asarray(stored["features"], dtype=np.float32))
            corners, side = tile_positions(stored["coords"], len(features[-1]))
            mpp = float(stored["coords"].attrs["mpp_level0"])
        table = pd.DataFrame(corners, columns=["x", "y"])
        names = {
            "slide": slide.slide,
            "patient_id": slide.patient_id,
            "um_per_px": mpp,
            "side_px": side,
        }
        tables.append(table.assign(**names))
    if not tables:
        raise RunFolderError(
            f"expected tiles of at least one slide in {folder}, found none; see slides.csv for the reasons"
        )
    obs = pd.concat(tables, ignore_index=True)
    if scores is not None:
        obs = _with_scores(obs, scores)
    obs = obs.drop(columns="side_px")
    places = obs[["x", "y"]].to_numpy(np.float64) * obs[["um_per_px"]].to_numpy(np.float64)
    obs.index = pd.Index(
        [f"{s}:{x}:{y}" for s, x, y in zip(obs["slide"], obs["x"], obs["y"], strict=True)]
    )
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = anndata.AnnData(X=np.concatenate(features), obs=obs, obsm={"spatial": places})
        found.write_h5ad(temporary)
    return path


def _with_scores(obs: pd.DataFrame, run: Path) -> pd.DataFrame:
    source = run / "tile_scores.parquet"
    if not source.is_file():
        raise RunFolderError(
            f"expected tile_scores.parquet in {run}, found none; name the folder of a finished run"
        )
    scored = pd.read_parquet(source)[["slide", "x", "y", "side_um", *_SCORES]]
    if scored.duplicated(["slide", "x", "y"]).any():
        raise RunFolderError(
            f"expected one score a tile in {run}, found several; name a run that scored each tile once"
        )
    scored = scored.rename(columns={"side_um": "scored_um"})
    joined = obs.merge(scored, on=["slide", "x", "y"], how="left", validate="one_to_one")
    own_um = joined["side_px"] * joined["um_per_px"]
    told = joined["side_px"].gt(0)  # features need not say how large their tiles are
    other = joined[told & (joined["scored_um"] - own_um).abs().gt(joined["um_per_px"])]
    if len(other):
        raise RunFolderError(
            f"expected scores of these tiles in {run}, found those of others at the same corner of "
            f"{other['slide'].iloc[0]}: {other['scored_um'].iloc[0]:g} um a side, where these have "
            f"{own_um[other.index[0]]:g}; name a run on these files"
        )
    joined = joined.drop(columns="scored_um")
    if not joined["score"].notna().any():
        raise RunFolderError(
            f"expected scores of these tiles in {run}, found none at the same places of the same slides; "
            "name a run on these slides or files"
        )
    return joined

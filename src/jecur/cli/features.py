"""Features of tiles by an encoder of others: features, encoders."""

from pathlib import Path
from typing import Literal

from rich.markup import escape

from jecur.cli.at_work import Machines, open_plainly
from jecur.cli.console import (
    OK,
    SOME_FAILED,
    AsJson,
    Device,
    EngineName,
    Scheduler,
    Whole,
    Workers,
    app,
    console,
)
from jecur.printable import counted

__all__ = ["encoders", "features"]


@app.command
def features(
    study: Path,
    *,
    encoder: str,
    out: Path,
    weights: str = "",
    colors: Literal["normalized", "raw"] = "normalized",
    mpp: float = 0.0,
    precision: Literal["auto", "float32", "half"] = "auto",
    batch_size: Whole = 32,
    download: bool = False,
    stamp: bool = False,
    h5ad: bool = False,
    scores: Path | None = None,
    workers: Workers = 0,
    engine: EngineName | None = None,
    scheduler: Scheduler = "",
    device: Device = None,
    as_json: AsJson = False,
) -> int:
    """Describe the tiles of a study's slides by an encoder, in files that TRIDENT, torchmil and STAMP read.

    Tiles are those of the quality-checked grid, laid at the encoder's own size and scale. Name the files in
    the slide column of a table to train on them. Running it again does only what is missing.

    Example: jecur features study.toml --encoder uni2-h --weights local-dir:UNI2-h --out features

    Parameters
    ----------
    study
        The study file; every patient's slides are described, whatever the role.
    encoder
        A name of `jecur encoders`, "builtin" (the shipped starting weights), or a timm architecture.
    out
        Folder: 20x_224px_0px_overlap/features_NAME/SLIDE.h5, patches, slides.csv, features.json.
    weights
        Folder with config.json and model.safetensors (local-dir:PATH), or a safetensors file. Pickles are
        not read.
    colors
        normalized, as the study's settings say, or raw, as scanned.
    mpp
        Micrometers per pixel of the tiles; 0 takes the encoder's own, or the study's if that is not known.
    precision
        Of the network; auto takes half precision on a graphics card. Features are float32.
    batch_size
        Tiles at a time.
    download
        Have the weights fetched where none are given. Nothing is fetched otherwise.
    stamp
        Write STAMP's layout too, into the folder stamp.
    h5ad
        Write all tiles as AnnData too: tiles.h5ad, with features, places and patients.
    scores
        Finished run on these slides or files, whose tile scores go into tiles.h5ad.
    workers
        Processes that cut slides; 0 takes one a core.
    engine
        Where slides are cut into tiles: in processes of this machine (local) or by workers of a Dask
        cluster (dask); as the study says if absent.
    as_json
        Print one JSON object and nothing else.
    """
    from jecur.errors import SettingsError
    from jecur.study.anndata_file import require_anndata, write_h5ad
    from jecur.study.encode import EncodeOrder, encode_study

    if not (mpp == 0.0 or 0.05 <= mpp <= 10.0) or not 1 <= batch_size <= 4096:
        raise SettingsError(
            f"expected --mpp 0 or from 0.05 to 10 and --batch-size from 1 to 4096, found {mpp:g} and "
            f"{batch_size}; correct them"
        )
    if scores is not None and not h5ad:
        raise SettingsError("expected --h5ad with --scores, found it alone; ask for both")
    if h5ad:
        require_anndata()
    order = EncodeOrder(encoder, weights, download, colors, mpp, batch_size, precision, stamp)
    said = Machines(None, workers, engine, scheduler, device)
    with open_plainly(study, out, said, parts=("torch",)) as it:
        run = it.run
        found = encode_study(
            it.settings, it.folder, run, order, workers=it.workers, progress=it.progress
        )
    if h5ad:
        write_h5ad(run.root / "tiles.h5ad", found.folder, found.slides, scores=scores)
        run.renew_manifest()
    n_tiles = sum(s.n_tiles for s in found.slides)
    if as_json:
        facts = {"folder": str(found.folder), "width": found.width, "terms": found.terms}
        console.print_json(data={**facts, "tiles": n_tiles, "failed": found.n_failed})
    else:
        done = len(found.slides) - found.n_failed
        console.print(
            f"{counted(done, 'slide')} described, {n_tiles:,} tiles, {found.width} features a tile; "
            f"{found.n_failed} failed. Files: {escape(str(found.folder))}",
            soft_wrap=True,
        )
    return SOME_FAILED if found.n_failed else OK


@app.command
def encoders(*, as_json: AsJson = False) -> int:
    """List the encoders that are known by name, with licence and gate. None ships with Jecur.

    Example: jecur encoders

    Parameters
    ----------
    as_json
        Print one JSON object and nothing else.
    """
    from jecur.encoders.known import KNOWN_ENCODERS

    if as_json:
        keys = ("name", "title", "family", "width", "mpp", "hub", "licence", "gated")
        console.print_json(
            data={k.name: {key: getattr(k, key) for key in keys} for k in KNOWN_ENCODERS}
        )
        return OK
    for k in KNOWN_ENCODERS:
        own = "; its own package builds it: bring its features" if k.family == "own" else ""
        console.print(
            f"[bold]{escape(k.name)}[/]: {k.width} features a tile at {k.mpp:g} um/px{own}. "
            f"{escape(k.terms)}",
            soft_wrap=True,
        )
    console.print(
        "None ships with Jecur. Licences as their pages named them when this was written: read them there "
        "before use. Any other timm architecture takes --weights local-dir:PATH.",
        soft_wrap=True,
    )
    return OK

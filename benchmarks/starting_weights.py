"""Make the starting weights of the four-channel MobileNetV2, with their card.

    python -m benchmarks.starting_weights NUCLEI_DATA OUT_FOLDER

NUCLEI_DATA is the folder with split.csv (docs/nuclei.md). About 20 minutes on two idle cores.
"""

from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from benchmarks.common import Arguments
from benchmarks.pretext import MEASURES, PretextSettings, pretext_tiles, train_pretext

from jecur.cli.console import RichProgress
from jecur.nuclei.segmentation import NucleiModel
from jecur.runs.folder import library_versions, sha256_file, write_json


def card(settings: PretextSettings, explained: dict[str, float], sha256: str, n: dict) -> dict:
    return {
        "what": "starting weights of a four-channel encoder: R, G, B, nuclei probability",
        "architecture": f"timm {settings.architecture}, in_chans=4, without its last layer, float16",
        "pretext_task": "predict plain image measurements of a tile from its pixels",
        "measures": list(MEASURES),
        "data": {
            "real": "MoNuSeg 2018, split train: 12 H&E fields of TCGA slides, none of liver; no labels "
            "used but through the nuclei network",
            "virtual": "tiles drawn by jecur.simulate; what was planted in them is not used",
            **n,
        },
        "outcome_used": "none: no patient, no follow-up, no planted feature",
        "licence": "CC BY-NC-SA 4.0 as the MoNuSeg images: non-commercial",
        "intended_use": "Research use only: a start for training. Knows tissue, not outcome.",
        "variance_explained_on_held_out_sources": {k: round(v, 3) for k, v in explained.items()},
        "settings": asdict(settings) if is_dataclass(settings) else msgspec.to_builtins(settings),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": library_versions(),
        "sha256": sha256,
    }


def main(data: Path, out: Path) -> None:
    settings = PretextSettings()
    weights = out / f"{settings.architecture}.safetensors"
    with RichProgress() as progress:
        tiles = pretext_tiles(data, NucleiModel.load(), settings, progress)
        explained = train_pretext(tiles, settings, weights, progress)
    n = {"n_tiles": len(tiles.tiles), "n_tiles_held_out": int(tiles.held_out.sum())}
    path = write_json(
        weights.with_suffix(".json"), card(settings, explained, sha256_file(weights), n)
    )
    for name, share in explained.items():
        print(f"{name:28s} {share:6.3f}")
    print(path)


if __name__ == "__main__":
    parser = Arguments(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    main(given.data, given.out)

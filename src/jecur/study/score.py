"""Score patients with a model file, and put what it saw into the run folder."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from jecur.arrays import Logits
from jecur.cohort.csv_text import csv_text
from jecur.errors import BagError
from jecur.explain.heatmap import TURN
from jecur.mil.bag import bag_file, open_bag
from jecur.mil.likeness import Likeness, likeness
from jecur.mil.looks import read_looks
from jecur.mil.passport import admit_model
from jecur.mil.scoring import RiskScore, TileScorer, pool_outputs, pooling_of_bundle
from jecur.mil.tile_digest import TileDigests, read_digests
from jecur.model.file import Bundle
from jecur.runs.device import device_mark, devices_in_use
from jecur.runs.folder import RunFolder, atomic_path, fingerprint, write_text
from jecur.runs.progress import Progress
from jecur.settings import ScoringSettings
from jecur.study.memory import memory_beside
from jecur.study.slide_task import PreparedSlide, write_slides_table
from jecur.study.stream import OUTPUTS_FILE
from jecur.study.training_card import was_trained_on

__all__ = ["ScoredPatient", "flag_unlike_training", "score_patients"]

TILE_COLUMNS = ["slide", "patient_id", "x", "y", "side_um", "score", "contribution"]


@dataclass(frozen=True, slots=True)
class ScoredPatient:
    """One patient with a risk, and the slides it is from."""

    patient: str
    slides: tuple[str, ...]
    score: RiskScore
    seen_in_training: bool
    """The model was trained on this patient or these tiles: the risk proves nothing."""
    likeness: Mapping[str, Likeness] = field(default_factory=dict)
    """Slide -> how far it lies from the training slides; empty if the model does not know them."""
    slides_seen: frozenset[str] = frozenset()
    """Slides whose tiles the model was trained on."""
    turn: float | None = None
    """Tile score at which colors turn, see `jecur.mil.pooling.Pooling.reached_at`."""

    @property
    def farthest(self) -> Likeness | None:
        """The slide least like the training slides."""
        known = [found for found in self.likeness.values() if found.distance is not None]
        return max(known, key=lambda found: (found.unlike, found.distance)) if known else None


def score_patients(
    model: Path,
    slides_of: Mapping[str, Sequence[str]],
    run: RunFolder,
    settings: ScoringSettings,
    *,
    threads: int,
    progress: Progress,
) -> list[ScoredPatient]:
    """Score every patient and write ``scores.csv`` and ``tile_scores.parquet``.

    Parameters
    ----------
    model
        A ``.jecur`` file.
    slides_of
        Patient -> slides in the run folder, scored in passing or with a bag, at least one each.
    run
        Where slides are and results go. Tiles scored before by the same model are not scored again.
    settings
        Batch size.
    threads
        Of the network.
    progress
        Draws a bar.
    """
    bundle = admit_model(model)
    digests = _digests([slide for slides in slides_of.values() for slide in slides], run, threads)
    device = devices_in_use().slides
    mark = fingerprint(bundle.sha256, slides_of, digests, *device_mark(device))
    before = _earlier_scores(run) if run.is_finished("scores", mark) else None
    memory = memory_beside(model)
    looks = bundle.card.looks
    pooling = pooling_of_bundle(bundle)
    turn = pooling.reached_at(bundle.cutoff)
    # Opened for bags alone: what passed by was scored then.
    scorer = cache(
        lambda: TileScorer(bundle, threads=threads, batch_size=settings.batch_size, device=device)
    )
    patients, tables = [], []
    with progress.task("Scoring patients", len(slides_of)) as advance:
        for patient, slides in slides_of.items():
            outputs = (
                np.concatenate([_outputs(scorer, slide, bundle, run) for slide in slides])
                if before is None
                else before[patient]
            )
            score = pool_outputs(outputs, pooling, bundle.cutoff)
            slides_seen = frozenset(
                slide
                for slide in slides
                if was_trained_on(
                    bundle,
                    bag_sha256=digests[slide].bag_sha256,
                    tiles_sha256=digests[slide].tiles_sha256,
                )
            )
            seen = (
                memory.saw(patient) or was_trained_on(bundle, patient=patient) or bool(slides_seen)
            )
            near = {
                slide: likeness(looks, read_looks(run.slide_folder(slide)))
                for slide in slides
                if looks is not None
            }
            patients.append(
                ScoredPatient(patient, tuple(slides), score, seen, near, slides_seen, turn)
            )
            tables.append(_tile_table(patient, slides, score, run))
            advance()
    _write_scores(run, patients, model.name, bundle.cutoff)
    _write_tiles(run, tables, turn)
    run.mark_stage(
        "scores", mark, [run.root / name for name in ("scores.csv", "tile_scores.parquet")]
    )
    return patients


def _write_tiles(run: RunFolder, tables: Sequence[pd.DataFrame], turn: float | None) -> None:
    """Write ``tile_scores.parquet``, with the score at which colors turn if it is one of its own."""
    tiles = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=TILE_COLUMNS)
    if turn is not None:
        tiles.attrs[TURN] = turn
    with atomic_path(run.root / "tile_scores.parquet") as temporary:
        tiles.to_parquet(temporary, index=False)


def _outputs(
    scorer: Callable[[], TileScorer], slide: str, bundle: Bundle, run: RunFolder
) -> Logits:
    """Give what the model gives for the tiles of a slide: as it was when they passed by, or from its bag.

    Raises
    ------
    BagError
        If what it gave is not of this model or not one a tile.
    """
    folder = run.slide_folder(slide)
    if not run.has_file(slide, OUTPUTS_FILE):
        return scorer().outputs(open_bag([bag_file(folder)]))
    found = read_digests(folder)
    outputs: Logits = np.load(folder / OUTPUTS_FILE, allow_pickle=False)
    if found.model_sha256 != bundle.sha256 or len(outputs) != found.n_tiles:
        raise BagError(
            f"{slide}: expected the tile scores that this model gave, found others; run the same command "
            "again, and the slide is scored anew",
            code="changed-bag",
        )
    return outputs


def _digests(slides: Sequence[str], run: RunFolder, threads: int) -> dict[str, TileDigests]:
    """Slide -> what its tiles are recognized by; bags are proved now."""
    kept = [slide for slide in slides if not run.has_file(slide, OUTPUTS_FILE)]
    proved = _proved_bags(kept, run, threads)
    found = {slide: read_digests(run.slide_folder(slide)) for slide in slides}
    for slide, digest in proved.items():
        raw = bag_file(run.slide_folder(slide)).suffix == ".npy"
        known = digest if raw else found[slide].bag_sha256
        found[slide] = TileDigests(0, found[slide].tiles_sha256, known)
    return found


def _proved_bags(slides: Sequence[str], run: RunFolder, threads: int) -> dict[str, str]:
    """Slide -> digest of its bag, measured now: hours of training may lie between this and the first look.

    Raises
    ------
    BagError
        If a bag is not as it was written.
    """
    with ThreadPoolExecutor(max(1, threads)) as pool:
        found = pool.map(lambda slide: run.proved.sha256(bag_file(run.slide_folder(slide))), slides)
        digests = dict(zip(slides, found, strict=True))
    for slide, digest in digests.items():
        if digest != run.bag_sha256(slide):
            raise BagError(
                f"{slide}: expected the tiles as they were written, found others; nothing is scored: "
                "run the same command again, and the slide is prepared anew",
                code="changed-bag",
            )
    return digests


def _earlier_scores(run: RunFolder) -> Mapping[str, Logits] | None:
    path = run.root / "tile_scores.parquet"
    if not path.is_file():
        return None
    frame = pd.read_parquet(path)
    columns = ["score", "gate"] if "gate" in frame else ["score"]
    groups = frame.groupby("patient_id", sort=False)
    outputs = {str(p): np.ascontiguousarray(rows[columns], np.float32) for p, rows in groups}
    return {p: found if len(columns) == 2 else found[:, 0] for p, found in outputs.items()}


def _tile_table(
    patient: str, slides: Sequence[str], score: RiskScore, run: RunFolder
) -> pd.DataFrame:
    parts = []
    for slide in slides:
        tiles = pd.read_parquet(run.slide_folder(slide) / "tiles.parquet")
        parts.append(tiles.assign(slide=slide, patient_id=patient))
    table = pd.concat(parts, ignore_index=True)
    table = table.assign(score=score.tile_scores, contribution=score.contributions)
    if score.gates is None:
        return table[TILE_COLUMNS]
    return table.assign(gate=score.gates)[[*TILE_COLUMNS, "gate"]]


def _write_scores(
    run: RunFolder, patients: Sequence[ScoredPatient], model: str, cutoff: float
) -> None:
    frame = pd.DataFrame(
        [
            {
                "patient_id": p.patient,
                "risk": p.score.risk,
                "group": p.score.group,
                "n_slides": len(p.slides),
                "n_tiles": len(p.score.tile_scores),
                "model": model,
                "cutoff": cutoff,
                "seen_in_training": p.seen_in_training,
                "unlike_training": p.farthest.unlike if p.farthest else None,
                "training_distance": p.farthest.distance if p.farthest else None,
            }
            for p in patients
        ]
    )
    write_text(run.root / "scores.csv", csv_text(frame))


def flag_unlike_training(
    patients: Sequence[ScoredPatient], prepared: Mapping[str, PreparedSlide], run: RunFolder
) -> dict[str, PreparedSlide]:
    """Flag slides that are unlike the model's training slides, and write ``slides.csv`` anew."""
    flagged = dict(prepared)
    for patient in patients:
        for slide, found in patient.likeness.items():
            flagged[slide] = _judged(prepared[slide], found)
    write_slides_table(list(flagged.values()), run)
    return flagged


def _judged(slide: PreparedSlide, found: Likeness) -> PreparedSlide:
    distance = None if found.distance is None else round(found.distance, 4)
    if not found.unlike:
        return replace(slide, training_distance=distance)
    most = ", ".join(f"{name} {apart:+.1f} SD" for name, apart in found.most)
    reason = (
        f"expected a slide like those the model was trained on (distance up to {found.limit:.2f}), found "
        f"one at {found.distance:.2f} ({most}); its risk is not to be relied on"
    )
    return replace(
        slide,
        status="flagged",
        code=slide.code or "unlike-training",
        reason=slide.reason or reason,
        flags=(*slide.flags, "unlike-training"),
        training_distance=distance,
    )

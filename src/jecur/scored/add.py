"""Score slides into a folder of scores: added, replaced by slide, patients who are touched pooled anew.

Whatever is done to the tables is done at once: they are written beside, then put in place. A process
killed between leaves what the next one needs to go on.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from jecur.mil.passport import admit_model
from jecur.model.file import Bundle
from jecur.pipeline import score_slides
from jecur.runs.files import refused_as_said
from jecur.runs.folder import RunFolder, write_json
from jecur.runs.progress import Progress
from jecur.scored.earlier import SCORES, SLIDES, TILES, Earlier, Row, read_earlier, settle
from jecur.scored.given import Given, GivenSlide
from jecur.scored.merge import Addition, Merged, merge, write_tables
from jecur.scored.page_names import PAGE, PAGES, page_names

__all__ = ["ScoreFolder", "add_scores"]

_PART, _READY, _FACTS = "adding", ".ready", "facts.json"


@dataclass(frozen=True, slots=True)
class ScoreFolder:
    """A folder of scores after a command.

    Parameters
    ----------
    run
        The folder.
    bundle
        The model.
    merged
        All that it holds now.
    given
        Ids of the slides that were given.
    """

    run: RunFolder
    bundle: Bundle
    merged: Merged
    given: tuple[str, ...]
    pages: Mapping[str, Path] = field(default_factory=dict)
    """Patient -> page, of those written."""

    @property
    def n_failed(self) -> int:
        """Slides given that have no score."""
        return sum(self.merged.slides[slide]["status"] == "failed" for slide in self.given)


def add_scores(  # noqa: PLR0913 -- whom to score, where to, and what to write
    given: Given,
    model: Path,
    run: RunFolder,
    *,
    workers: int,
    progress: Progress,
    keep_tiles: bool = False,
    pages: bool = False,
) -> ScoreFolder:
    """Score slides with a model file and put them beside what the folder holds.

    Parameters
    ----------
    given
        Who is to be scored.
    model
        A ``.jecur`` file.
    run
        A new folder, or one with scores of the same model. Slides given again are replaced; every
        patient with such a slide is pooled anew from all theirs; no other row changes.
    workers
        Processes that prepare slides, and threads that score.
    progress
        Shows bars and messages.

    keep_tiles
        As `jecur.pipeline.score_slides`.
    pages
        Write a page for each patient of these slides. Pages that are there are written anew without being
        asked for when their patient is touched.

    Raises
    ------
    RunFolderError
        As `jecur.scored.earlier.read_earlier`; nothing is written then.
    """
    bundle = admit_model(model)
    _put_in_place(run)
    earlier = read_earlier(run, bundle.sha256, model.name)
    slides, notes = settle(given, earlier)
    for note in (*given.notes, *notes):
        progress.say(note)
    part = run.part(_PART)
    orders = [(one.patient, one.entry) for one in slides]
    scored = score_slides(
        orders,
        model,
        part,
        workers=workers,
        progress=progress,
        keep_tiles=keep_tiles,
        scale=earlier.scale,
    )
    folder, paths = _paths(given, slides, earlier)
    tiles = pd.read_parquet(part.root / TILES)
    added = Addition(scored.slides, scored.patients, tiles, given.left_out, paths)
    merged = merge(earlier, added, model, bundle)
    for patient in merged.gone:
        progress.say(f"{patient}: has no slide any more; their row is gone")
    for said in _same_slides(merged):
        progress.say(said)
    write_tables(merged, run.root / _READY)
    written = _write_pages(run, merged, bundle, folder, progress, everybody=pages)
    scale = scored.scale
    manifest = {
        "model": model.name,
        "model_sha256": bundle.sha256,
        "virtual_model": bundle.card.virtual,
        "slides": ".",
        "color_scale": [scale.low, scale.center, scale.high] if scale else None,
        "command": "score",
    }
    seen = os.path.relpath(folder, run.root.resolve())
    names = page_names(earlier.patients)
    gone = [name for p, name in names.items() if not merged.patients.get(p, {}).get("risk")]
    write_json(run.root / _READY / _FACTS, {"manifest": manifest, "seen": seen, "gone": gone})
    _put_in_place(run)
    return ScoreFolder(run, bundle, merged, tuple(one.entry.id for one in slides), written)


def _same_slides(merged: Merged) -> Iterator[str]:
    """Tell of one file that was scored as a slide of several patients."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in merged.slides.values():
        if row.get("content"):
            found.setdefault((row["content"], row.get("core", "")), []).append(row)
    for rows in found.values():
        patients = {row["patient_id"] for row in rows}
        if len(patients) > 1 and patients & set(merged.touched):
            named = ", ".join(f"{row['slide']} of {row['patient_id']}" for row in rows[:4])
            yield (
                f"{named}: expected a slide of one patient, found the same file; if it was copied under "
                "another name by mistake, one of these risks is another patient's [duplicate-slide]"
            )


def _write_pages(
    run: RunFolder,
    merged: Merged,
    bundle: Bundle,
    folder: Path,
    progress: Progress,
    *,
    everybody: bool,
) -> dict[str, Path]:
    """Write pages of touched patients: all of them, or those who have one already; return where they go."""
    names = page_names(merged.patients)
    known = [p for p in merged.touched if (run.root / PAGES / names[p] / PAGE).is_file()]
    wanted = merged.touched if everybody else known
    ready, places = run.root / _READY / PAGES, (run.slide_folder(""), folder)
    if not wanted:
        return {}
    from jecur.scored.pages import write_pages  # noqa: PLC0415 (drawing loads slowly)

    written = write_pages(wanted, merged, bundle, places, ready, progress)
    return {p: run.root / PAGES / path.relative_to(ready) for p, path in written.items()}


def _paths(
    given: Given, slides: Sequence[GivenSlide], earlier: Earlier
) -> tuple[Path, dict[str, str]]:
    """Deepest folder of all slides, old and new, and the path of each from there."""
    new = given.folder.resolve()
    old = earlier.folder or new
    folder = Path(os.path.commonpath([old, new]))
    paths = {
        name: Path(os.path.relpath(old / row["path"], folder)).as_posix() if row.get("path") else ""
        for name, row in earlier.slides.items()
    }
    paths |= {
        one.entry.id: Path(os.path.relpath(new / one.entry.named, folder)).as_posix()
        for one in slides
    }
    return folder, paths


def _put_in_place(run: RunFolder) -> None:
    """Put tables that are ready into their place, also those that a killed process left."""
    ready = run.root / _READY
    try:
        facts = json.loads((ready / _FACTS).read_text(encoding="utf-8"))
    except OSError:  # none, or not whole
        shutil.rmtree(ready, ignore_errors=True)
        return
    with refused_as_said(run.root):
        for name in (SLIDES, SCORES, TILES):
            if (ready / name).is_file():
                (ready / name).replace(run.root / name)
        for name in facts["gone"]:
            shutil.rmtree(run.root / PAGES / name, ignore_errors=True)
        for page in sorted((ready / PAGES).glob(f"*/{PAGE}")):
            place = run.root / PAGES / page.parent.name
            place.mkdir(parents=True, exist_ok=True)
            page.replace(place / PAGE)
        shutil.rmtree(run.root / "parts", ignore_errors=True)
    run.log_slide_folder(run.root / facts["seen"])
    run.write_manifest(facts["manifest"])
    shutil.rmtree(ready, ignore_errors=True)

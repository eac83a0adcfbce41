"""One model on one division: trained now, or taken up as it was finished."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

import jecur
from jecur.errors import JecurError, TrainingError
from jecur.rivals.bench import Bench, Division, Rival, RivalScores
from jecur.rivals.cost import measured
from jecur.runs.folder import fingerprint, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jecur.cohort.cohort import Patient

__all__ = ["STAGE", "scores_of"]

STAGE = "model"


def scores_of(rival: Rival, bench: Bench, division: Division) -> tuple[str, RivalScores]:
    """Train one model on one division, or take up what was finished; its mark and its scores.

    Raises
    ------
    JecurError
        As `Rival.train`; the division is named.
    """
    part = bench.run.part(rival.name).part(division.name)
    path, mark = part.root / "model-scores.json", _mark(rival, bench, division)
    if part.is_finished(STAGE, mark):
        return mark, _read(path)
    bench.progress.say(f"{rival.title}, {division.name}: {len(division.training)} to train on")
    try:
        with measured() as cost:
            scores = rival.train(bench, division, part)
    except JecurError as error:
        raise error.within(division.name) from error
    _refuse_not_finite(rival, scores)
    write_text(path, msgspec.json.encode(scores, order="deterministic").decode())
    bench.run.log(
        STAGE, model=rival.name, division=division.name, mark=mark,
        seconds=round(cost.seconds, 2), peak_mib=round(cost.peak_mib),
    )  # fmt: skip
    part.mark_stage(STAGE, mark, [path])
    # patients in the order in which they are taken up later: sums to the last bit
    return mark, _read(path)


def _read(path: Path) -> RivalScores:
    return msgspec.json.decode(path.read_bytes(), type=RivalScores)


def _mark(rival: Rival, bench: Bench, division: Division) -> str:
    """Fingerprint of everything that decides a model's scores; outcomes of those held out decide nothing."""
    trained_on = (*division.training, *division.tuning)
    everybody: Sequence[Patient] = (*trained_on, *division.held_out)
    followed = [[p.id, p.months, p.event, p.competing] for p in trained_on]
    slides = [
        [
            (entry.id, bench.run.bag_sha256(entry.id))
            for entry in p.slides
            if entry.id in bench.prepared and bench.prepared[entry.id].usable
        ]
        for p in everybody
    ]
    return fingerprint(
        rival.name,
        rival.inputs(bench),
        bench.recipe,
        followed,
        [p.id for p in division.held_out],
        [dict(p.covariates) for p in everybody],
        slides,
        jecur.__version__,
    )


def _refuse_not_finite(rival: Rival, scores: RivalScores) -> None:
    values = [*scores.held_out.values(), *scores.training.values(), scores.cutoff]
    if not np.isfinite(values).all():
        raise TrainingError(
            f"{rival.name}: expected finite scores, found others; the model is damaged, and has no place "
            "in the comparison"
        )

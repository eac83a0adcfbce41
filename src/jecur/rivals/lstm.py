"""Bychkov 2018: frozen features of the tiles, in scan order, through an LSTM."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jecur.arrays import FeatureArray, IntVector
from jecur.cohort.cohort import Patient
from jecur.mil.bag import bag_file, open_bag
from jecur.rivals.bench import Bench, Division, RivalScores, follow_up, locked_scores
from jecur.rivals.described import described_bench
from jecur.rivals.networks import require_torch
from jecur.runs.folder import RunFolder, atomic_path
from jecur.settings import StudySettings, preset_training

if TYPE_CHECKING:
    from jecur.training.sequence import SequenceModel

__all__ = ["TileSequence"]


@dataclass(frozen=True, slots=True)
class TileSequence:
    """An LSTM over tiles in the order in which a slide is scanned."""

    name: str = "lstm"
    title: str = "LSTM (Bychkov 2018)"
    version: int = field(default=2)
    """Of the recipe: a change makes finished models of another one stale."""

    def require(self, study: StudySettings, divisions: Sequence[Division]) -> None:
        """Need torch, and patients of both outcomes."""
        del study
        require_torch()
        for division in divisions:
            follow_up((*division.training, *division.tuning))

    def inputs(self, bench: Bench) -> tuple[object, ...]:
        """Give the recipe's version and the seed."""
        return (self.version, bench.study.training.seed)

    def train(self, bench: Bench, division: Division, part: RunFolder) -> RivalScores:
        """Train by Cox's partial likelihood of small groups, then score everybody."""
        from safetensors.torch import save_file  # noqa: PLC0415 - torch only where it is needed

        from jecur.training.sequence import (  # noqa: PLC0415
            SequenceRecipe,
            score_sequences,
            train_sequences,
        )

        bench = described_bench(bench, preset_training("jecur", seed=bench.study.training.seed))
        trained_on, bags = _bags(bench, (*division.training, *division.tuning))
        held_out, unseen = _bags(bench, division.held_out)
        months, event = follow_up(trained_on)
        recipe, seed = SequenceRecipe(), bench.study.training.seed
        model: SequenceModel = train_sequences(bags, months, event, recipe, seed=seed)
        with atomic_path(part.root / "lstm.safetensors") as temporary:
            state = {k: v.cpu().contiguous() for k, v in model.state_dict().items()}
            save_file(state, temporary)
        return locked_scores(
            dict(zip(_ids(held_out), score_sequences(model, unseen, recipe), strict=True)),
            dict(zip(_ids(trained_on), score_sequences(model, bags, recipe), strict=True)),
            {key: float(value) for key, value in asdict(recipe).items()},
        )


def _bags(
    bench: Bench, patients: Sequence[Patient]
) -> tuple[tuple[Patient, ...], list[FeatureArray]]:
    """Patients with a bag, and their features in scan order, slide after slide."""
    found = []
    for p in patients:
        folders = [
            bench.run.slide_folder(e.id)
            for e in p.slides
            if e.id in bench.prepared and bench.prepared[e.id].usable
        ]
        if folders:
            parts = open_bag([bag_file(folder) for folder in folders]).parts
            ordered = [
                np.asarray(part)[_scan_order(folder)]
                for part, folder in zip(parts, folders, strict=True)
            ]
            found.append((p, np.concatenate(ordered)))
    return tuple(p for p, _ in found), [bag for _, bag in found]


def _scan_order(folder: Path) -> IntVector:
    """Rows of a slide's bag from left to right, line after line: files of features come in any order."""
    places = pd.read_parquet(folder / "tiles.parquet", columns=["x", "y"])
    order: IntVector = np.lexsort((places["x"], places["y"]))
    return order


def _ids(patients: Sequence[Patient]) -> list[str]:
    return [p.id for p in patients]

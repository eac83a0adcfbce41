"""Agreement of a nuclei network with outlined fields: per field, per organ, with intervals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from jecur.nuclei.agreement import Agreement, measure_agreement
from jecur.nuclei.segmentation import NucleiModel
from jecur.runs.folder import write_text
from jecur.training.nuclei.data import read_fields

__all__ = ["Estimate", "FieldAgreement", "NucleiEvaluation", "evaluate_nuclei"]

ORGAN_OF_SITE = {
    "A7": "breast", "AC": "breast", "AO": "breast", "AR": "breast", "E2": "breast",
    "FG": "brain", "HT": "brain",
    "A6": "colon", "AY": "colon", "NH": "colon",
    "2Z": "kidney", "B0": "kidney", "GL": "kidney", "HE": "kidney", "IZ": "kidney",
    "CH": "prostate", "EJ": "prostate", "G9": "prostate", "HC": "prostate",
    "CU": "bladder", "ZF": "bladder",
    "DK": "bladder", "G2": "bladder",
    "KB": "stomach", "RD": "stomach",
    "18": "lung", "21": "lung", "38": "lung", "44": "lung", "49": "lung", "50": "lung", "69": "lung",
}  # fmt: skip
"""TCGA tissue source sites of MoNuSeg; its "liver" images are lung cancers (TCGA-LUSC, -LUAD)."""

BOOTSTRAP_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class FieldAgreement:
    """One field of a split."""

    name: str
    organ: str
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean over fields with its 95 % percentile bootstrap interval over fields."""

    mean: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class NucleiEvaluation:
    """A network on one split."""

    split: str
    threshold: float
    fields: tuple[FieldAgreement, ...]

    def values(self, measure: str, *, organ: str | None = None) -> list[float]:
        """One measure (a name of `Agreement`) of every field, or of one organ's fields."""
        return [
            float(getattr(field.agreement, measure))
            for field in self.fields
            if organ in (None, field.organ)
        ]

    def estimate(self, measure: str, *, seed: int = 0) -> Estimate:
        """Mean of one measure over the fields, with its interval."""
        return bootstrap_mean(self.values(measure), rng=np.random.default_rng(seed))

    def summary(self) -> dict[str, object]:
        """Gather what goes into the card: counts, estimates, Dice of each organ and field."""
        measures = ("dice", "aji", "panoptic_quality", "detection_quality", "precision", "recall")
        rounded = {
            name: {k: round(v, 4) for k, v in asdict(self.estimate(name)).items()}
            for name in measures
        }
        organs = sorted({field.organ for field in self.fields})
        return {
            "n_fields": len(self.fields),
            "n_nuclei": sum(field.agreement.n_true for field in self.fields),
            "threshold": self.threshold,
            **rounded,
            "dice_by_organ": {
                organ: round(float(np.mean(self.values("dice", organ=organ))), 4)
                for organ in organs
            },
            "dice_by_field": {f.name: round(f.agreement.dice, 4) for f in self.fields},
        }

    def headline(self) -> dict[str, Any]:
        """Gather what `jecur nuclei evaluate --json` prints: n, means, and their intervals."""
        measures = {"dice": "dice", "aji": "aji", "pq": "panoptic_quality"}
        measures |= {"precision": "precision", "recall": "recall"}
        estimates = {name: self.estimate(measure) for name, measure in measures.items()}
        return {
            "split": self.split,
            "n": len(self.fields),
            "n_nuclei": sum(field.agreement.n_true for field in self.fields),
            **{name: estimate.mean for name, estimate in estimates.items()},
            "intervals": {name: [e.lower, e.upper] for name, e in estimates.items()},
            "level": 0.95,
            "threshold": self.threshold,
        }

    def write_csv(self, path: Path) -> Path:
        """Write one row an image, every measure of `Agreement`."""
        names = [f.name for f in fields(Agreement)]
        rows = [",".join(["image", "organ", *names])]
        rows += [
            ",".join([f.name, f.organ, *(f"{getattr(f.agreement, name):.6g}" for name in names)])
            for f in self.fields
        ]
        return write_text(path, "\n".join(rows) + "\n")


def evaluate_nuclei(
    data: Path, split: str, model: NucleiModel, *, threshold: float = 0.5
) -> NucleiEvaluation:
    """Run the network on every field of a split and compare with the outlines.

    Colors are used as they are: nothing is normalized. Fields are resampled to the network's scale.

    Parameters
    ----------
    data
        Folder with ``split.csv``, see `jecur.training.nuclei.data`.
    split
        A value of its ``split`` column.
    model
        The network.
    threshold
        Probability at and above which a pixel is nucleus.
    """
    found = []
    for field in read_fields(data, split, um_per_px=model.um_per_px):
        probability = model.map(field.rgb[None])[0]
        agreement = measure_agreement(
            probability, field.labels, threshold=threshold, um_per_px=model.um_per_px
        )
        found.append(FieldAgreement(field.name, _organ(field.name), agreement))
    return NucleiEvaluation(split, threshold, tuple(found))


def bootstrap_mean(values: Sequence[float], *, rng: np.random.Generator) -> Estimate:
    """Mean and its 95 % percentile interval, resampling the values with replacement."""
    array = np.asarray(values, dtype=np.float64)
    means = array[rng.integers(len(array), size=(BOOTSTRAP_DRAWS, len(array)))].mean(axis=1)
    lower, upper = np.quantile(means, [0.025, 0.975])
    return Estimate(float(array.mean()), float(lower), float(upper))


def _organ(name: str) -> str:
    parts = name.split("-")
    return ORGAN_OF_SITE.get(parts[1], "unknown") if len(parts) > 1 else "unknown"

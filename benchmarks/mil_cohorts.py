"""Poolings, losses and channels side by side on virtual cohorts with a planted and with no effect.

Stage ``prepare`` draws the cohorts and stores, for every patient, the bag and the tiles' frozen
features of the shipped starting encoder. Stage ``table`` trains every pooling and loss on the
training patients' features and scores the validation patients once. Stage ``encoder`` trains the
whole encoder with the presets, as many as the time given allows.

    python benchmarks/mil_cohorts.py prepare --out COHORTS --seeds 1 2 3 4 5
    python benchmarks/mil_cohorts.py table --out COHORTS --seeds 1 2 3 4 5
    python benchmarks/mil_cohorts.py encoder --out COHORTS --seeds 1 2 3 --minutes 20

The null cohort of a seed has the same patients and the same slides, and follow-up that does not
depend on the tissue: `jecur.simulate` draws both from streams that the effect does not touch.
"""

import argparse
import tempfile
import time
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch.nn import functional

from jecur.artifacts import RunFolder
from jecur.cohort.cohort import read_cohort
from jecur.demo import DEMO_TRAINING, study_of_virtual_cohort
from jecur.engine import SilentProgress
from jecur.errors import NotEstimableError
from jecur.mil.bag import open_bag
from jecur.mil.pooling import pool_scores
from jecur.nuclei.features import nuclear_feature_table
from jecur.preparation import SlideOrder, prepare_slide, recipe_of_study
from jecur.settings import SimulationSettings, TrainingSettings
from jecur.simulate.cohort import draw_patients, simulate_cohort
from jecur.survival.auc import time_dependent_auc
from jecur.survival.concordance import concordance
from jecur.survival.cox import fit_cox
from jecur.survival.elastic_net import fit_elastic_net_by_folds
from jecur.training.loop import LabeledBag, train_encoder
from jecur.training.losses import cutoff_cross_entropy
from jecur.training.mobilenet import build_encoder

EFFECT = (0.8, 0.8, 0.8, -0.8)
"""Log hazard ratios of the demonstration."""


def cohort_settings(seed: int, *, null: bool) -> SimulationSettings:
    return SimulationSettings(
        n_training=120,
        n_validation=200,
        seed=seed,
        size_px=896,
        log_hazard_per_sd=EFFECT,
        null=null,
    )


def prepare(out: Path, seed: int) -> None:
    """Slides, bags and features of one cohort; nothing if they are there."""
    folder = out / f"seed{seed}"
    target = folder / "features.npz"
    if target.exists():
        return
    start = time.monotonic()
    simulate_cohort(cohort_settings(seed, null=False), folder / "cohort")
    study = study_of_virtual_cohort("Bags", TrainingSettings())
    recipe, run = recipe_of_study(study), RunFolder.open(folder / "run")
    encoders = {
        channels: build_encoder("mobilenetv2_100", channels=channels, start="builtin", seed=0)
        .eval()
        .to(memory_format=torch.channels_last)
        for channels in (3, 4)
    }
    patients, sizes, nuclei = [], [], []
    features: dict[int, list[np.ndarray]] = {3: [], 4: []}
    for patient in read_cohort(study.cohort, folder / "cohort").patients:
        for entry in patient.slides:
            order = SlideOrder(entry.id, patient.id, entry.path, entry.mpp, recipe, run)
            prepare_slide(order)
        bag = open_bag([run.slide_folder(entry.id) / "bag.npy" for entry in patient.slides])
        tiles = bag.take(range(len(bag)))
        patients.append(patient.id)
        sizes.append(len(tiles))
        nuclei.append(nuclear_feature_table(tiles))
        for channels, encoder in encoders.items():
            with torch.inference_mode():
                found = encoder.features(torch.from_numpy(tiles[..., :channels].copy()))
            features[channels].append(found.numpy().astype(np.float32))
    np.savez(
        target,
        patients=patients,
        sizes=sizes,
        rgb=np.concatenate(features[3]),
        rgb_nuclei=np.concatenate(features[4]),
        nuclei=np.concatenate(nuclei),
    )
    print(f"seed {seed}: {sum(sizes)} tiles, {time.monotonic() - start:.0f} s", flush=True)


@dataclass(frozen=True)
class Features:
    """Frozen features of a cohort, padded to the largest bag."""

    x: torch.Tensor
    """(n, tiles, d), standardized by the training patients' tiles."""
    mask: torch.Tensor
    """(n, tiles) a tile is there."""


@dataclass(frozen=True)
class Follow:
    months: np.ndarray
    event: np.ndarray
    training: np.ndarray


def load(out: Path, seed: int, *, null: bool) -> tuple[dict[str, Features], np.ndarray, Follow]:
    stored = np.load(out / f"seed{seed}" / "features.npz")
    table = draw_patients(cohort_settings(seed, null=null)).table.set_index("patient_id")
    table = table.loc[stored["patients"].tolist()]
    role = (table["role"] == "training").to_numpy()
    follow = Follow(table["months"].to_numpy(float), table["recurrence"].to_numpy() == 1, role)
    sizes = stored["sizes"]
    owner = np.repeat(np.arange(len(sizes)), sizes)
    place = np.concatenate([np.arange(n) for n in sizes])
    mask = torch.zeros(len(sizes), int(sizes.max()), dtype=torch.bool)
    mask[owner, place] = True
    found = {}
    for name in ("rgb", "rgb_nuclei"):
        raw = stored[name]
        learnt = raw[role[owner]]
        scaled = (raw - learnt.mean(0)) / np.maximum(learnt.std(0), 1e-3)
        x = torch.zeros(*mask.shape, raw.shape[1])
        x[owner, place] = torch.from_numpy(scaled.astype(np.float32))
        found[name] = Features(x, mask)
    per_patient = [stored["nuclei"][owner == k] for k in range(len(sizes))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a patient whose tiles all lack a measurement
        nuclei = np.array([np.r_[np.nanmean(v, 0), np.nanstd(v, 0)] for v in per_patient])
    middle = np.nanmedian(nuclei[role], axis=0)
    return found, np.where(np.isfinite(nuclei), nuclei, middle), follow


def cohort_table(out: Path, seeds: list[int]) -> None:
    """Every pooling and loss on frozen features; one line a row, pooled over seeds."""
    rows = []
    for null in (False, True):
        for name in ROWS:
            for channels in ("rgb", "rgb_nuclei"):
                start = time.monotonic()
                risks, follows = [], []
                for seed in seeds:
                    features, nuclei, follow = load_once(out, seed, null)
                    risks.append(predict(name, features[channels], nuclei, follow, seed))
                    follows.append(follow)
                seconds = (time.monotonic() - start) / len(seeds)
                row = summarize(risks, follows)
                rows.append((null, name, channels, row))
                text = line(name, channels, row, seconds)
                print(("null " if null else "planted ") + text, flush=True)
                if name.startswith("nuclear"):
                    break
    for null in (False, True):
        by = {(n, c): r for k, n, c, r in rows if k == null}
        print("\nfourth channel, difference of concordance" + (" (null)" if null else ""))
        for name in ROWS:
            if (name, "rgb_nuclei") in by:
                three, four = by[name, "rgb"], by[name, "rgb_nuclei"]
                influence = four["influence"] - three["influence"]
                difference = four["c"][0] - three["c"][0]
                error = 1.96 * float(np.sqrt(np.sum(influence**2)))
                print(
                    f"| {name} | {three['c'][0]:.3f} | {four['c'][0]:.3f} | {difference:+.3f} "
                    f"({difference - error:+.3f} to {difference + error:+.3f}) |"
                )


@cache
def load_once(out: Path, seed: int, null: bool):
    return load(out, seed, null=null)


POOLINGS = (
    "generalized-mean",
    "mean",
    "max",
    "log-sum-exp",
    "noisy-and",
    "top-bottom",
    "attention",
)
LOSSES = ("cutoff", "cross-entropy", "cox")
ROWS = (
    *(f"{pooling}, {loss}" for pooling in POOLINGS for loss in LOSSES),
    "tile labels, cross-entropy",
    "nuclear features, elastic-net Cox",
)
CUTOFF, STEPS, RATE, L2 = 0.4457, 200, 1e-3, 0.02
"""Fixed beforehand for every row; nothing is chosen by what is printed."""


class Head(torch.nn.Module):
    """Frozen features of a bag -> one score."""

    def __init__(self, pooling: str, d: int) -> None:
        super().__init__()
        self.pooling = pooling
        self.score = torch.nn.Linear(d, 1)
        torch.nn.init.normal_(self.score.weight, std=0.5 / d**0.5)
        torch.nn.init.zeros_(self.score.bias)
        if pooling == "attention":
            self.v, self.u = torch.nn.Linear(d, 32), torch.nn.Linear(d, 32)
            self.w = torch.nn.Linear(32, 1)
        if pooling == "top-bottom":
            self.mlp = torch.nn.Sequential(
                torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
            )

    def forward(self, flat, mask):
        """(all tiles, d) and where they belong, (n, tiles) -> (n,) scores."""
        s = spread_out(self.score(flat), mask)  # (n, tiles)
        count = mask.sum(1)
        low, high = s.masked_fill(~mask, -1e4), s.masked_fill(~mask, 1e4)
        match self.pooling:
            case "mean":
                return (s * mask).sum(1) / count
            case "generalized-mean":
                m = (s.sign() * s.abs() ** 3 * mask).sum(1) / count
                return m * (m * m + 1e-6) ** (-1 / 3)
            case "max":
                return low.amax(1)
            case "log-sum-exp":
                return torch.logsumexp(low, 1) - count.log()
            case "noisy-and":
                share = (torch.sigmoid(s) * mask).sum(1) / count
                a, b = 10.0, 0.5
                f = [torch.sigmoid(torch.as_tensor(a * (v - b))) for v in (0.0, 1.0)]
                p = ((torch.sigmoid(a * (share - b)) - f[0]) / (f[1] - f[0])).clamp(1e-6, 1 - 1e-6)
                return torch.logit(p)
            case "top-bottom":
                ends = torch.cat([low.topk(2, 1)[0], -(-high).topk(2, 1)[0]], 1)
                # one tile alone stands for both of its end
                ends = torch.where(ends.abs() > 9e3, ends[:, [0, 0, 2, 2]], ends)
                return self.mlp(ends).squeeze(-1)
            case "attention":
                gate = self.w(torch.tanh(self.v(flat)) * torch.sigmoid(self.u(flat)))
                gate = spread_out(gate, mask)
                return (torch.softmax(gate.masked_fill(~mask, -1e4), 1) * s).sum(1)


def spread_out(values, mask):
    """(all tiles, 1) -> (n, tiles), 0 where there is no tile."""
    return torch.zeros(mask.shape).masked_scatter(mask, values.flatten())


def bag_loss(kind: str, score, label, follow: Follow, rows):
    if kind == "cox":
        order = np.lexsort((~follow.event[rows], follow.months[rows]))[::-1].copy()
        eta, seen = score[order], torch.from_numpy(follow.event[rows][order])
        return -(eta - torch.logcumsumexp(eta, 0))[seen].mean()
    if kind == "cross-entropy":
        return functional.binary_cross_entropy_with_logits(score, label)
    both = [cutoff_cross_entropy(score, poor, cutoff=CUTOFF) for poor in (True, False)]
    return torch.where(label > 0, *both).mean()


def predict(name: str, features: Features, nuclei: np.ndarray, follow: Follow, seed: int):
    """Risk score of everybody in the validation role, and the threshold of high risk."""
    unseen = ~follow.training
    if name.startswith("nuclear"):
        rows = follow.training
        rng = np.random.default_rng(seed)
        model = fit_elastic_net_by_folds(
            nuclei[rows], follow.months[rows], follow.event[rows], rng=rng
        )
        return model.risk(nuclei[unseen]), float(np.median(model.risk(nuclei[rows])))
    pooling, loss = name.split(", ")
    poor = follow.event & (follow.months < 19.2)
    distinct = poor | (follow.months >= 48.0)
    rows = np.flatnonzero(follow.training & (distinct | (loss == "cox")))
    torch.manual_seed(seed)
    mask = features.mask[rows]
    x = features.x[rows][mask]
    label = torch.from_numpy(poor[rows].astype(np.float32))
    tiles = pooling == "tile labels"
    head = Head("mean" if tiles else pooling, x.shape[-1])
    optimizer = torch.optim.Adam(head.parameters(), lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        if tiles:
            s = head.score(x).squeeze(-1)
            value = functional.binary_cross_entropy_with_logits(
                s, label[:, None].expand(mask.shape)[mask]
            )
        else:
            value = bag_loss(loss, head(x, mask), label, follow, rows)
        kernels = sum(p.square().sum() for p in head.parameters() if p.ndim > 1)
        (value + L2 * kernels).backward()
        optimizer.step()
    with torch.no_grad():
        risk = head(features.x[features.mask], features.mask).numpy().astype(float)
    threshold = {"cutoff": float(np.log(CUTOFF / (1 - CUTOFF))), "cross-entropy": 0.0}.get(
        loss, float(np.median(risk[rows]))
    )
    return risk[unseen], threshold


def summarize(risks, follows) -> dict:
    """Pairs and risk sets within a seed; n = validation patients of all seeds."""
    unseen = [~f.training for f in follows]
    months = np.concatenate([f.months[u] for f, u in zip(follows, unseen, strict=True)])
    event = np.concatenate([f.event[u] for f, u in zip(follows, unseen, strict=True)])
    stratum = np.repeat(np.arange(len(risks)), [len(r) for r, _ in risks])
    risk = np.concatenate([r for r, _ in risks])
    high = np.concatenate([r > t for r, t in risks])
    found = concordance(risk, months, event, strata=stratum)
    by_seed = [
        concordance(risk[stratum == k], months[stratum == k], event[stratum == k]).estimate
        for k in range(len(risks))
    ]
    auc = np.array(
        [
            time_dependent_auc(
                risk[stratum == k], months[stratum == k], event[stratum == k], [24, 48]
            ).estimate
            for k in range(len(risks))
        ]
    )
    try:
        ratio = fit_cox(high[:, None].astype(float), months, event, names=("high",), strata=stratum)
        hazard = ratio.hazard_ratios()[0]
        text = f"{hazard.estimate:.2f} ({hazard.lower:.2f}-{hazard.upper:.2f})"
    except NotEstimableError:
        text = "not estimable"
    return {
        "c": (found.estimate, found.lower, found.upper),
        "influence": found.influence,
        "range": (min(by_seed), max(by_seed)),
        "auc": auc.mean(0),
        "hr": text,
    }


def line(name: str, channels: str, row: dict, seconds: float) -> str:
    c, spread, auc = row["c"], row["range"], row["auc"]
    return (
        f"| {name} | {'3' if channels == 'rgb' else '4'} | {c[0]:.3f} ({c[1]:.3f}-{c[2]:.3f}) | "
        f"{spread[0]:.3f}-{spread[1]:.3f} | {auc[0]:.3f} | {auc[1]:.3f} | {row['hr']} | "
        f"{seconds / 60:.2f} |"
    )


def encoder_table(out: Path, seeds: list[int], minutes: float) -> None:
    """Whole encoder with the demonstration's recipe, both channels of a seed, while time allows."""
    began, found = time.monotonic(), {"rgb": [], "rgb+nuclei": []}
    follows = []
    for seed in seeds:
        if time.monotonic() - began > 60 * minutes:
            break
        follow = load_once(out, seed, False)[2]
        follows.append(follow)
        for channels, so_far in found.items():
            start = time.monotonic()
            so_far.append(train_whole(out, seed, follow, channels))
            row = summarize([so_far[-1]], [follow])
            print(
                line(
                    f"seed {seed}, demonstration's recipe",
                    channels.replace("+", "_"),
                    row,
                    time.monotonic() - start,
                ),
                flush=True,
            )
    for channels, risks in found.items():
        row = summarize(risks, follows)
        name = f"all {len(follows)} seeds, demonstration's recipe"
        print(line(name, channels.replace("+", "_"), row, time.monotonic() - began), flush=True)


def train_whole(out: Path, seed: int, follow: Follow, channels: str):
    stored = np.load(out / f"seed{seed}" / "features.npz")
    run = RunFolder.open(out / f"seed{seed}" / "run")
    bags = [open_bag([run.slide_folder(p) / "bag.npy"]) for p in stored["patients"].tolist()]
    poor = follow.event & (follow.months < 19.2)
    rows = np.flatnonzero(follow.training & (poor | (follow.months >= 48.0)))
    settings = msgspec.structs.replace(DEMO_TRAINING, seed=seed, channels=channels)
    with tempfile.TemporaryDirectory() as folder:
        encoder = train_encoder(
            [LabeledBag(str(k), bags[k], bool(poor[k])) for k in rows],
            [],
            settings,
            checkpoints=Path(folder),
            mark="benchmark",
            progress=SilentProgress(),
        ).encoder
    risk = []
    for k in np.flatnonzero(~follow.training):
        tiles = bags[k].take(range(len(bags[k])))[..., : settings.n_channels]
        with torch.inference_mode():
            scores = encoder(torch.from_numpy(np.ascontiguousarray(tiles)))
        risk.append(pool_scores(scores.numpy()))
    return np.array(risk), float(np.log(CUTOFF / (1 - CUTOFF)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=("prepare", "table", "encoder"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--minutes", type=float, default=10.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for seed in arguments.seeds:
        prepare(arguments.out, seed)
    if arguments.stage == "encoder":
        encoder_table(arguments.out, arguments.seeds, arguments.minutes)
    if arguments.stage == "table":
        cohort_table(arguments.out, arguments.seeds)


if __name__ == "__main__":
    main()

"""Folds of patients: every patient in one fold, events spread evenly, whole sites if asked.

Laboratories stain and scan each in its own way, and a network can tell them apart. A model
that is judged on patients of a laboratory it was trained on may owe its result to that [1]_; with
``site_preserving`` all patients of a site are in one fold.

Folds of patients are drawn at random within those with and those without the event. Folds of
sites are chosen to make, over folds f with E_f events and C_f patients without ::

    imbalance = sum_f (E_f / E - 1 / k)^2 + (C_f / C - 1 / k)^2

as small as possible: over all partitions of the sites where these are few, otherwise from several
greedy starts, largest site first, improved by moving a site or exchanging two until nothing helps.

References
----------
.. [1] F. M. Howard et al. The impact of site-specific digital histology signatures on deep
   learning model accuracy and bias. Nat. Commun. 12, 4423, 2021.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jecur.arrays import IntVector, Matrix
from jecur.cohort.cohort import Patient
from jecur.cohort.plausible.words import alike, one_id, spelled_out
from jecur.errors import TableError

__all__ = ["Folds", "site_of", "split_patients"]

MAX_PARTITIONS = 60_000
"""Site partitions that are all tried; 10 sites in 5 folds are 42,525."""
N_STARTS = 12
"""Greedy starts where there are more."""
_TCGA = re.compile(r"TCGA-([0-9A-Z]{2})-[0-9A-Z]{4}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Folds:
    """Which fold each patient is held out in."""

    fold_of: IntVector
    """(n,) from 0 to n_folds - 1, in the order of the patients."""
    n_folds: int
    imbalance: float
    """The sum above; 0 is perfect balance."""
    method: str
    """How they were chosen, in words."""


def site_of(patient: Patient) -> str:
    """Site of a patient: the table's, or the tissue source site of a TCGA barcode.

    Raises
    ------
    TableError
        If neither says.
    """
    site = patient.site.strip()
    barcode = _TCGA.match(patient.id)
    if site:
        return site
    if barcode:
        return barcode.group(1)
    raise TableError(
        f"{patient.id}: expected a site for every patient, found none; name the column under "
        "[cohort.columns] site and fill it, or do without site-preserving folds",
        code="unknown-site",
    )


def split_patients(
    patients: Sequence[Patient], *, n_folds: int, site_preserving: bool, seed: int
) -> Folds:
    """Assign patients to folds; the same seed gives the same folds.

    Parameters
    ----------
    patients
        Each once.
    n_folds
        k >= 2.
    site_preserving
        Keep all patients of a site in one fold.
    seed
        Of the draw, or of ties between equally good assignments of sites.

    Raises
    ------
    TableError
        If there are too few patients, events or sites for so many folds, or a site is unknown.
    """
    event = np.array([p.event for p in patients], dtype=np.int64)
    _check(event, n_folds)
    rng = np.random.default_rng([seed, n_folds])
    if not site_preserving:
        fold_of = _deal(event, n_folds, rng)
        counts = np.stack([event, 1 - event], axis=1).astype(np.float64)
        method = "patients at random, within those with and those without the event"
        return Folds(fold_of, n_folds, _imbalance(_totals(fold_of, counts, n_folds)), method)
    names, site = np.unique([site_of(p) for p in patients], return_inverse=True)
    if twice := alike(names.tolist(), one_id):
        raise TableError(
            f"expected each site in one spelling for site-preserving folds, found {spelled_out(twice[0])}, "
            "which could be held out apart; spell it in one way in the table",
            code="unknown-site",
        )
    if len(names) < n_folds:
        raise TableError(
            f"expected at least {n_folds} sites for {n_folds} site-preserving folds, found "
            f"{len(names)} ({', '.join(names)}); ask for fewer folds",
            code="too-few-sites",
        )
    counts = np.zeros((len(names), 2))
    np.add.at(counts, (site, 1 - event), 1.0)
    few = _n_partitions(len(names), n_folds) <= MAX_PARTITIONS
    search = _best_partition if few else _good_partition
    fold_of_site, imbalance = search(counts, n_folds, rng)
    _check_folds(_totals(fold_of_site, counts, n_folds), counts, names.tolist(), n_folds)
    how = "the best of all partitions" if few else f"the best of {N_STARTS} greedy starts, improved"
    return Folds(
        fold_of_site[site], n_folds, imbalance, f"{len(names)} sites kept whole, events even: {how}"
    )


def _check(event: IntVector, n_folds: int) -> None:
    n, n_events = event.size, int(event.sum())
    if n_folds < 2:
        raise TableError(f"expected at least 2 folds, found {n_folds}; ask for 5")
    if min(n_events, n - n_events) < n_folds:
        raise TableError(
            f"expected at least {n_folds} patients with and {n_folds} without the event for "
            f"{n_folds} folds, found {n_events} and {n - n_events}; ask for fewer folds",
            code="too-few-patients",
        )


def _check_folds(totals: Matrix, counts: Matrix, names: Sequence[str], n_folds: int) -> None:
    """Refuse folds without an event: a model could be neither trained nor judged."""
    empty = np.flatnonzero(totals[:, 0] == 0)
    if len(empty):
        with_events = ", ".join(n for n, (e, _) in zip(names, counts, strict=True) if e)
        raise TableError(
            f"expected an event in each of {n_folds} site-preserving folds, found "
            f"{len(empty)} without (sites with events: {with_events}); ask for fewer folds",
            code="too-few-sites",
        )


def _deal(event: IntVector, n_folds: int, rng: np.random.Generator) -> IntVector:
    """Deal events, then the rest, round the folds: sizes and events differ by one at most."""
    order = np.concatenate([rng.permutation(np.flatnonzero(event == e)) for e in (1, 0)])
    fold_of = np.empty(event.size, dtype=np.int64)
    fold_of[order] = np.arange(event.size) % n_folds
    return fold_of


def _totals(fold_of: IntVector, counts: Matrix, n_folds: int) -> Matrix:
    """Events and patients without, (n_folds, 2), as sums over items of (m, 2) counts."""
    totals = np.zeros((n_folds, 2))
    np.add.at(totals, fold_of, counts)
    return totals


def _imbalance(totals: Matrix) -> float:
    shares = totals / np.maximum(totals.sum(axis=0), 1.0)
    # A fold without an event is worse than any other fault.
    return float(np.sum((shares - 1.0 / len(totals)) ** 2) + 4.0 * np.sum(totals[:, 0] == 0))


def _n_partitions(n: int, k: int) -> int:
    """Ways to put n sites into k unnamed, non-empty folds (Stirling, second kind)."""
    row = [1] + [0] * k
    for _ in range(n):
        row = [0] + [row[j - 1] + j * row[j] for j in range(1, k + 1)]
    return row[k]


def _partitions(n: int, k: int) -> Iterator[list[int]]:
    """Every partition of n items into k non-empty parts, once."""

    def grow(prefix: list[int], used: int) -> Iterator[list[int]]:
        if len(prefix) == n:
            yield prefix
            return
        must_open = n - len(prefix) == k - used
        for part in range(used if must_open else 0, min(used + 1, k)):
            yield from grow([*prefix, part], max(used, part + 1))

    return grow([], 0)


def _best_partition(
    counts: Matrix, n_folds: int, rng: np.random.Generator
) -> tuple[IntVector, float]:
    order = rng.permutation(len(counts))
    best, least = np.zeros(len(counts), dtype=np.int64), np.inf
    for parts in _partitions(len(counts), n_folds):
        fold_of = np.array(parts, dtype=np.int64)
        value = _imbalance(_totals(fold_of, counts[order], n_folds))
        if value < least - 1e-12:
            best, least = fold_of, value
    found = np.empty_like(best)
    found[order] = best
    return found, float(least)


def _good_partition(
    counts: Matrix, n_folds: int, rng: np.random.Generator
) -> tuple[IntVector, float]:
    starts = [_improve(_greedy(counts, n_folds, rng), counts, n_folds) for _ in range(N_STARTS)]
    return min(starts, key=lambda start: start[1])


def _greedy(counts: Matrix, n_folds: int, rng: np.random.Generator) -> IntVector:
    """Largest site first, each into the fold where it disturbs least; ties and order jittered."""
    size = counts.sum(axis=1) * rng.uniform(0.8, 1.25, len(counts))
    target = np.maximum(counts.sum(axis=0), 1.0) / n_folds
    totals, fold_of = np.zeros((n_folds, 2)), np.zeros(len(counts), dtype=np.int64)
    for place, item in enumerate(np.argsort(-size)):
        cost = np.sum(((totals + counts[item]) / target - 1) ** 2 - (totals / target - 1) ** 2, 1)
        fold = place if place < n_folds else int(np.argmin(cost))  # the first ones open the folds
        fold_of[item] = fold
        totals[fold] += counts[item]
    return fold_of


def _improve(fold_of: IntVector, counts: Matrix, n_folds: int) -> tuple[IntVector, float]:
    """Move one site or exchange two while that lowers the imbalance and empties no fold."""
    value = _imbalance(_totals(fold_of, counts, n_folds))
    while True:
        best, least = fold_of, value - 1e-12
        for other in _neighbors(fold_of, n_folds):
            found = _imbalance(_totals(other, counts, n_folds))
            if found < least:
                best, least = other, found
        if best is fold_of:
            return fold_of, value
        fold_of, value = best, least


def _neighbors(fold_of: IntVector, n_folds: int) -> Iterator[IntVector]:
    sizes = np.bincount(fold_of, minlength=n_folds)
    for i, own in enumerate(fold_of):
        for fold in range(n_folds):
            if fold != own and sizes[own] > 1:
                moved = fold_of.copy()
                moved[i] = fold
                yield moved
        for j in range(i):
            if fold_of[j] != own:
                swapped = fold_of.copy()
                swapped[i], swapped[j] = fold_of[j], own
                yield swapped

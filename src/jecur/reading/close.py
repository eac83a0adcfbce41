"""Close a blinded review: open the key, join it with what everybody answered, write what was found."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np

from jecur.errors import RunFolderError, SettingsError
from jecur.explain.review import (
    CLOSED,
    KEY,
    KeyTile,
    ReviewPlan,
    begun_sheets,
    key_folder,
    read_closed,
    read_key,
    read_plan,
)
from jecur.explain.review_sheet import read_comments, read_sheet
from jecur.reading.answers import ANSWERS, AnswerFile, reading_of
from jecur.reading.order import INITIALS, begun_orders, reviewer_folder
from jecur.report.review import add_review, review_entries
from jecur.runs.files import fingerprint, sha256_file, write_private
from jecur.runs.folder import LOG, MANIFEST, RunFolder, write_json
from jecur.runs.log import read_events
from jecur.settings import ConsensusRule, StatisticsSettings, make_settings
from jecur.statistics.reviewers import (
    ClosedReview,
    Reading,
    compare_readings,
    consensus_of,
    describe_reading,
)
from jecur.statistics.tile_features import compare_tile_features

__all__ = ["Closing", "close_review"]

RESULTS = ("statistics.json", "crossval.json")


@dataclass(frozen=True, slots=True)
class Closing:
    """A closed review, and whether the report that is there shows it."""

    review: ClosedReview
    in_report: bool


@dataclass(frozen=True, slots=True)
class _Answered:
    readings: tuple[Reading, ...]
    unfinished: tuple[str, ...]
    sha256: dict[str, str]


def close_review(
    run: RunFolder, *, consensus: ConsensusRule | None = None, unfinished: bool = False
) -> Closing:
    """Join the answers of all reviewers with the key, and write tables, statistics and report.

    Closing again finds the same; answers that changed after the key was opened are refused.

    Parameters
    ----------
    run
        Folder of a run whose tiles were reviewed, on the screen or on paper.
    consensus
        The rule, if it is to be checked that it is the one stated; it cannot be changed here.
    unfinished
        Take reviews that have not come to their end as they are.

    Raises
    ------
    RunFolderError
        With code ``no-review``, ``review-unfinished`` or ``review-closed``.
    SettingsError
        With code ``consensus-stated`` if another rule is asked for than was stated.
    """
    plan, key = read_plan(run.root), _read_whole_key(run.root)
    rule = _stated_rule(plan, consensus)
    said = _answered(run.root, key, plan.features)
    if said.unfinished and not unfinished:
        raise RunFolderError(
            f"expected every review to be finished, found {', '.join(said.unfinished)} not to be; finish, "
            "or close with --unfinished, which the report then says",
            code="review-unfinished",
        )
    settings = _statistics_settings(run.root)
    patient = np.array([tile.patient for tile in key], dtype=str)
    joined = consensus_of(said.readings, plan.features, rule)
    seen = np.array([any(np.isfinite(v[k]) for r in said.readings for v in r.first.values())
                     for k in range(len(key))])  # fmt: skip
    review = ClosedReview(
        reviewers=tuple(describe_reading(reading) for reading in said.readings),
        rule=rule,
        agreement=compare_readings(said.readings, plan.features, patient, level=settings.level),
        features=compare_tile_features(
            {name: values[seen] for name, values in joined.items()},
            np.array([tile.end == "high" for tile in key], dtype=np.bool_)[seen],
            patient[seen],
            settings,
        ),
        level=settings.level,
        n_unfinished=len(said.unfinished),
        answers=fingerprint(said.sha256),
    )
    _refuse_other_answers(review, run.root)
    return _written(review, run, said)


def _read_whole_key(root: Path) -> tuple[KeyTile, ...]:
    """Read the key, if it is the one that the run wrote."""
    path = key_folder(root) / KEY
    known = [str(event.get("sha256")) for event in read_events(root / LOG, "review-key")]
    if known and path.is_file() and sha256_file(path) != known[-1]:
        raise RunFolderError(
            f"expected the key as the run wrote it in {path}, found another one; restore the file from "
            "a copy",
            code="damaged-review",
        )
    return read_key(path)


def _written(review: ClosedReview, run: RunFolder, said: _Answered) -> Closing:
    write_private(key_folder(run.root) / CLOSED, msgspec.json.encode(review).decode() + "\n")
    for path in (run.root / name for name in RESULTS):
        if path.is_file():
            write_json(path, json.loads(path.read_text("utf-8")) | review_entries(review))
    in_report = add_review(review, run.root)
    run.log("review-closed", answers=said.sha256, rule=review.rule)
    run.renew_manifest()
    return Closing(review, in_report)


def _stated_rule(plan: ReviewPlan, asked: str | None) -> ConsensusRule:
    if asked is not None and asked != plan.consensus:
        raise SettingsError(
            f"expected the rule that was stated before the review, {plan.consensus!r}, found {asked!r}; "
            "leave --consensus out",
            code="consensus-stated",
        )
    rules: tuple[ConsensusRule, ...] = get_args(ConsensusRule)
    return next(rule for rule in rules if rule == plan.consensus)


def _answered(root: Path, key: Sequence[KeyTile], features: Sequence[str]) -> _Answered:
    """Everybody who began: on the screen in the order of their beginning, then on paper by name."""
    tiles = [tile.name for tile in key]
    readings, unfinished, digests = [], [], {}
    for order in begun_orders(root):
        said = AnswerFile(reviewer_folder(root, order.reviewer) / ANSWERS, order, features)
        if not said.answers:
            continue
        readings.append(reading_of(said, tiles))
        digests[order.reviewer] = said.sha256
        if not said.finished:
            unfinished.append(order.reviewer)
    seen: dict[str, Path] = {}
    for sheet in begun_sheets(root):
        name = _initials_of(sheet)
        _refuse_copy(sheet, seen, tiles, features)
        if name.upper() in {known.upper() for known in digests}:
            raise RunFolderError(
                f"expected each reviewer once, found {name!r} on the screen and in {sheet.name}; give "
                "the sheet other initials",
                code="review-twice",
            )
        reading = _of_sheet(sheet, name, tiles, features)
        readings.append(reading)
        digests[name] = sha256_file(sheet)
        if any(np.isnan(v).any() for v in reading.first.values()):
            unfinished.append(name)
    if not readings:
        raise RunFolderError(
            "expected answers of at least one reviewer, found none; review the tiles first: jecur review "
            "RUN --reviewer INITIALS",
            code="no-review",
        )
    return _Answered(tuple(readings), tuple(unfinished), digests)


def _refuse_copy(
    sheet: Path, seen: dict[str, Path], tiles: Sequence[str], features: Sequence[str]
) -> None:
    """Refuse a sheet that says what another says of every tile, in answers and comments: a copy of it."""
    said = {name: values.tolist() for name, values in read_sheet(sheet, tiles, features).items()}
    content = fingerprint([repr(said), sorted(read_comments(sheet).items())])
    other = seen.setdefault(content, sheet)
    if other is not sheet:
        raise RunFolderError(
            f"expected each reviewer once, found {other.name} and {sheet.name} to say the same of every "
            "tile; take the copy away, or, if two people agree in everything, write so as a comment into "
            "one of them",
            code="review-twice",
        )


def _initials_of(sheet: Path) -> str:
    """Take initials from a sheet's name; a copy under another name would be one more reviewer who agrees."""
    found = re.fullmatch(f"(?i:review)(?:-({INITIALS.pattern}))?", sheet.stem, re.ASCII)
    if found is None:
        raise SettingsError(
            f"expected sheets called review or review-AB, AB being initials of one to eight letters and "
            f"digits, found {sheet.name!r} in {sheet.parent}; rename it, or take it away",
            code="bad-initials",
        )
    return found[1] or "sheet"


def _of_sheet(sheet: Path, name: str, tiles: Sequence[str], features: Sequence[str]) -> Reading:
    first = read_sheet(sheet, tiles, features)
    again = {feature: np.full(len(tiles), np.nan) for feature in features}
    return Reading(name, first, again, np.array([]))


def _statistics_settings(root: Path) -> StatisticsSettings:
    facts = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    study = facts.get("study", {})
    return make_settings(study.get("statistics", {}), StatisticsSettings, "statistics")


def _refuse_other_answers(review: ClosedReview, root: Path) -> None:
    before = read_closed(root)
    if before is not None and before.answers != review.answers:
        raise RunFolderError(
            "expected the answers with which this review was closed, found others: they were given after the "
            f"key was opened; put them back, or remove {key_folder(root) / CLOSED} and say in the paper "
            "that the review was opened twice",
            code="review-closed",
        )

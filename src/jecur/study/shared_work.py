"""Any number of plain jobs prepare the slides of one study: each takes what nobody has.

No job talks to another: a slide is claimed by a lock (`jecur.runs.claims`), what came of it lies beside
the lock, and whoever ends last writes the table.
"""

import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from msgspec import convert, to_builtins

from jecur.errors import JecurError, RunFolderError, SlideError, SystemRefusedError
from jecur.runs.claims import Claims, LeaseWatch, live_claims
from jecur.runs.device import devices_in_use
from jecur.runs.folder import RunFolder
from jecur.runs.log import read_log
from jecur.runs.progress import Progress
from jecur.runs.shared_results import SlideResult, read_results, write_plan, write_result
from jecur.runs.workers import Failure, run_all
from jecur.settings import StudySettings
from jecur.study.bag_form import in_bags
from jecur.study.cohort_slides import as_ordered, limit_of, study_slides
from jecur.study.devices import record_slides
from jecur.study.model_name import goes_beside, refuse_other_study
from jecur.study.prepare import prepare_slide
from jecur.study.slide_task import PreparedSlide, SlideTask, write_slides_table

__all__ = ["Share", "work_along"]

_TRIES = 3
"""So many processes may die over a slide."""
_LOOK_S = 3.0
"""How often a worker that has nothing to do looks whether another has died."""

Elsewhere = Literal["elsewhere"]


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker did."""

    prepared: int
    failed: int
    by_others: int
    """Slides that were done before, or meanwhile, by others."""
    failed_in_all: int
    """Slides of the study that have failed, whoever tried them."""
    wrote_table: bool
    """Whether it was the last to end, and wrote ``slides.csv``."""


@dataclass(frozen=True, slots=True)
class _Offer:
    """A slide that may be free; crosses process borders."""

    order: SlideTask
    claims: Claims
    expired: int = 0


def work_along(  # noqa: PLR0913 -- the study, who works and how a slide is claimed
    study: StudySettings,
    folder: Path,
    root: Path,
    *,
    workers: int,
    progress: Progress,
    everybody: bool = False,
    lease: bool = False,
) -> Share:
    """Prepare slides of a study that no other worker has, until none is left.

    A slide whose worker dies is taken over; one over which three processes died has failed
    (``crashed``). A slide that failed is left as it is: the next command on the whole study tries it again.

    Parameters
    ----------
    study, folder, workers, progress
        As `jecur.pipeline.run_study`.
    root
        The run folder that all workers share.
    everybody
        As `jecur.study.cohort_slides.prepare_study`.
    lease
        Claim by leases even where there are locks.

    Raises
    ------
    RunFolderError
        If a run is writing there, or the folder holds the results of another command.
    """
    refuse_other_study("prepare", study, RunFolder.join(root))
    claims = Claims.of_this_job(root, lease=lease)
    with claims.presence():
        run = RunFolder.join(root)  # once more: now no run begins
        record_slides(run, log=False)
        orders = [
            replace(o, run=run) for o in study_slides(study, folder, root, everybody=everybody)
        ]
        if orders:
            recipe = orders[0].recipe
            orders = in_bags(orders, study.bags, recipe, root, progress=progress)
        write_plan(root, [order.slide for order in orders])
        try:
            own = _work_off(orders, claims, study, workers=workers, progress=progress)
        finally:
            claims.give_back()
    failed = sum(status == "failed" for status in own)
    others = len(orders) - len(own)
    known = read_results(root)
    lost = sum(o.slide in known and known[o.slide].status == "failed" for o in orders)
    return Share(len(own) - failed, failed, others, lost, _settle(study, orders, root))


def _work_off(
    orders: Sequence[SlideTask],
    claims: Claims,
    study: StudySettings,
    *,
    workers: int,
    progress: Progress,
) -> list[str]:
    """Take slides until all are done; return how those that were taken here ended."""
    own: list[str] = []
    watch = LeaseWatch(claims.root)
    left = list(orders)
    offers = [_Offer(order, claims, watch.expired(order.slide)) for order in left]
    while left:
        for offer, ended in _take(offers, study, workers=workers, progress=progress):
            left.remove(offer.order)
            own += [ended] if ended else []
        if left:
            time.sleep(_LOOK_S)
        known = read_results(claims.root)
        left = [order for order in left if not _is_done(known.get(order.slide), order)]
        held = live_claims(claims.root)
        offers = [
            _Offer(order, claims, expired)
            for order in left
            if (expired := watch.expired(order.slide)) or order.slide not in held
        ]
    return own


def _take(
    offers: Sequence[_Offer], study: StudySettings, *, workers: int, progress: Progress
) -> Iterator[tuple[_Offer, str]]:
    """Prepare what is free; yield each slide that is done, and its status if that was here."""
    for outcome in run_all(
        prepare_offered,
        offers,
        workers=workers,
        progress=progress,
        title="Preparing slides",
        limit_s=partial(_limit_s, study),
    ):
        offer, result = outcome.item, outcome.result
        if result == "elsewhere":
            continue
        if isinstance(result, Failure):
            progress.say(f"{offer.order.slide}: {result.error.message} [{result.error.code}]")
            row = PreparedSlide.failed(offer.order, result.error, result.error.code)
            _write_result(offer, row, outcome.seconds, trace=result.trace)
            result = row
        elif isinstance(result, SlideResult):  # another had done it
            yield offer, ""
            continue
        elif result.status == "failed":
            progress.say(f"{offer.order.slide}: {result.reason} [{result.code}]")
        yield offer, result.status


def _limit_s(study: StudySettings, offer: _Offer) -> float:
    return limit_of(study.compute, offer.order)


def prepare_offered(offer: _Offer) -> "PreparedSlide | SlideResult | Elsewhere":
    """Prepare a slide if nobody has it and nobody has done it."""
    order = offer.order
    with offer.claims.work(order.slide, expired=offer.expired) as holder:
        if holder is None:
            return "elsewhere"
        known = read_results(offer.claims.root, order.slide).get(order.slide)
        if known is not None and _is_done(known, order):
            return known
        began = time.monotonic()
        prepared = _prepare(order, holder.deaths)
        _write_result(offer, prepared, time.monotonic() - began)
        return prepared


def _prepare(order: SlideTask, deaths: int) -> PreparedSlide:
    if deaths >= _TRIES:
        error = SlideError(
            f"expected a worker that comes to the end of this slide, found that {deaths} died over it; the "
            "file is damaged, or the job has too little memory or time",
            code="crashed",
        )
        return PreparedSlide.failed(order, error, error.code)
    try:
        return prepare_slide(order)
    except SystemRefusedError:
        raise
    except JecurError as error:
        return PreparedSlide.failed(order, error, error.code)


def _is_done(known: SlideResult | None, order: SlideTask) -> bool:
    """Whether a result is that of the same work and, if it did not fail, the slide's files were finished."""
    if known is None or known.mark != order.mark:
        return False
    failed = known.status == "failed"
    return failed or order.run.finished_slide(order.slide, known.mark) is not None


def _write_result(offer: _Offer, row: PreparedSlide, seconds: float, trace: str = "") -> None:
    order = offer.order
    result = SlideResult(
        slide=order.slide,
        mark=order.mark,
        status=row.status,
        seconds=round(seconds, 3),
        host=platform.node(),
        pid=os.getpid(),
        row=to_builtins(row),
        trace=trace,
    )
    write_result(offer.claims.root, result)


def _settle(study: StudySettings, orders: Sequence[SlideTask], root: Path) -> bool:
    """Write log and ``slides.csv`` for all workers, if no other is left to do it."""
    try:
        run = RunFolder.open(root)
    except RunFolderError:
        return False
    results = read_results(root)
    told = {(e.get("slide"), e.get("ended")) for e in read_log(root / "log.jsonl").events}
    new = [r for r in results.values() if (r.slide, r.at) not in told]
    if new:
        run.log("study", name=study.name)
        run.log("device", part="slides", device=devices_in_use().slides)
    for r in new:
        if r.status == "failed":
            why = r.row.get("code")
            run.log("slide-failed", slide=r.slide, code=why, trace=r.trace)
        run.log(
            "slide",
            slide=r.slide,
            status=r.status,
            seconds=r.seconds,
            host=r.host,
            pid=r.pid,
            ended=r.at,
        )
    run.log("workers-ended", slides=len(results))
    rows = [
        as_ordered(convert(results[o.slide].row, PreparedSlide), o)
        for o in orders
        if o.slide in results
    ]
    if len(rows) == len(orders) and not goes_beside("prepare", run):
        write_slides_table(rows, run)
    return True

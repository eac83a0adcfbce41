"""The last box of the patient flow: what became of those analyzed."""

from collections.abc import Sequence
from dataclasses import replace

from jecur.report.content import FlowStep, Reason
from jecur.report.wording import competing_words, event_words
from jecur.statistics.cross_validated import HeldOutStatistics
from jecur.statistics.results import StudyStatistics

__all__ = ["flow_with_outcomes"]


def flow_with_outcomes(
    steps: Sequence[FlowStep], statistics: StudyStatistics | HeldOutStatistics | None
) -> tuple[FlowStep, ...]:
    """Add events, competing events and those free of both to the box of those analyzed."""
    if statistics is None or not steps:
        return tuple(steps)
    event = event_words(statistics.endpoint_name)[0]
    found = [Reason(f"with {event}", statistics.events)]
    if statistics.n_competing is not None:
        other = competing_words(statistics.endpoint_name)
        found.append(Reason(f"with {other} (competing)", statistics.n_competing))
    free = statistics.n - sum(reason.n for reason in found)
    ended = "free of both" if statistics.n_competing is not None else f"without {event}"
    found.append(Reason(f"{ended} at last contact (censored)", free))
    return (*steps[:-1], replace(steps[-1], outcomes=tuple(found)))

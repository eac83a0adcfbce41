"""The finding in one plain sentence, with the numbers behind it; never more than they carry."""

from jecur.printable import counted
from jecur.report.views import KeyNumber, Verdict
from jecur.report.wording import (
    MOST_WRITTEN_OUT,
    competing_words,
    event_words,
    format_interval,
    format_limits,
    format_number,
    format_percent,
    format_ratio,
    p_sentence,
)
from jecur.statistics.results import Reported, StudyStatistics

__all__ = ["give_verdict", "interval_words", "key_numbers"]


def give_verdict(statistics: StudyStatistics | None, reason: str, *, virtual: bool) -> Verdict:
    """Say what the comparison of high with low risk shows.

    Parameters
    ----------
    statistics
        None if there are none.
    reason
        Why there are none.
    virtual
        Whether the patients were made by a program; the sentence then says so.
    """
    if statistics is None:
        detail = reason or "No follow-up was given."
        return Verdict("Patients were scored; outcome was not analyzed.", detail, "unknown")
    ratio = statistics.hazard_ratio
    if ratio.estimate is None or ratio.lower is None or ratio.upper is None:
        return Verdict(
            "High and low risk cannot be compared in these patients.",
            f"{_sentence(ratio.reason or 'the hazard ratio is not estimable')} {_counts(statistics)}",
            "unknown",
        )
    who = "virtual patients" if virtual else "patients"
    did = event_words(statistics.endpoint_name)[1]
    percent = f"{100 * ratio.level:g}\u00a0% CI"
    least, most = format_limits(ratio.estimate, ratio.lower, ratio.upper)
    interval = f"{format_ratio(ratio.estimate)} ({percent} {least}–{most})"
    detail = (
        f"{_log_rank(statistics)}{_counts(statistics)}{_competing(statistics)}"
        f"{_hazards_warning(statistics)}"
        f"{_few_events(statistics)}"
    )
    if ratio.lower > 1:
        digits = 1 if ratio.lower >= 1.15 else 2
        times, low, high = (
            _multiple(v, digits) for v in (ratio.estimate, ratio.lower, ratio.upper)
        )
        low = least if digits == 2 else low
        headline = f"High-risk {who} {did} {times} times as fast ({percent} {low}–{high})."
        return Verdict(
            headline, f"Hazard ratio, high versus low risk: {interval}. {detail}", "shown"
        )
    if ratio.upper < 1:
        headline = f"High-risk {who} {did} later than low-risk ones: hazard ratio {interval}."
        return Verdict(
            headline, f"The direction is the reverse of that expected. {detail}", "reversed"
        )
    headline = f"No difference between high-risk and low-risk {who} was shown."
    detail = (
        f"Hazard ratio {interval}. The interval holds 1: these patients neither show a "
        f"difference nor rule one out. {detail}"
    )
    return Verdict(headline, detail, "none")


def key_numbers(statistics: StudyStatistics | None) -> tuple[KeyNumber, ...]:
    """Return the numbers of the head of the page; what is not estimable says so."""
    if statistics is None:
        return ()
    event = event_words(statistics.endpoint_name)[0]
    auc = next((c.landmark for c in statistics.auc), None)
    counts = f"{statistics.events} with {event}"
    if statistics.competing is not None:
        other = competing_words(statistics.endpoint_name)
        counts += f", {statistics.competing.n_competing} with {other}"
    numbers = [
        KeyNumber("Patients", str(statistics.n), counts),
        _number("Hazard ratio", statistics.hazard_ratio, "high versus low risk"),
        _number("Harrell’s C", statistics.concordance, "of the continuous risk"),
        _number("Median follow-up", statistics.median_follow_up, "months, reverse Kaplan–Meier"),
    ]
    if auc is not None:
        interval = _range(auc.lower, auc.upper)
        value = "not estimable" if auc.estimate is None else format_number(auc.estimate)
        note = f"{interval} at {auc.months:g} months; {auc.n_at_risk} at risk"
        numbers.insert(3, KeyNumber("AUC", value, auc.reason or note))
    return tuple(numbers)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def _multiple(ratio: float, digits: int) -> str:
    if ratio < 10:
        return f"{ratio:.{digits}f}"
    return f"{ratio:.0f}" if ratio < MOST_WRITTEN_OUT else format_ratio(ratio)


def _number(label: str, reported: Reported, note: str) -> KeyNumber:
    if reported.estimate is None:
        return KeyNumber(label, "not estimable", reported.reason or "")
    months = label.startswith("Median")
    value = format_number(reported.estimate, 1) if months else format_ratio(reported.estimate)
    limits = _range(reported.lower, reported.upper)
    if label == "Hazard ratio" and reported.lower is not None and reported.upper is not None:
        limits = "–".join(format_limits(reported.estimate, reported.lower, reported.upper))
    return KeyNumber(label, value, f"{limits}; {note}")


def _range(lower: float | None, upper: float | None) -> str:
    ends = [format_ratio(v) if v is not None else "not reached" for v in (lower, upper)]
    return f"{ends[0]}–{ends[1]}" if lower is not None or upper is not None else "no interval"


def _log_rank(statistics: StudyStatistics) -> str:
    test = statistics.logrank
    return f"Log-rank {p_sentence(test.p)}. " if test.p is not None else ""


def _counts(statistics: StudyStatistics) -> str:
    event = event_words(statistics.endpoint_name)[0]
    parts = [
        f"{group.events} of {group.n} {group.name}-risk patients "
        f"({format_percent(group.events / group.n)})"
        for group in statistics.groups
        if group.n
    ]
    return f"{event.capitalize()} was seen in {' and '.join(parts)}." if parts else ""


def _competing(statistics: StudyStatistics) -> str:
    """Competing deaths, and the probabilities that take them into account."""
    if statistics.competing is None:
        return ""
    event, other = (
        event_words(statistics.endpoint_name)[0],
        competing_words(statistics.endpoint_name),
    )
    k = _landmark(statistics)
    shown = [
        f"{format_percent(found.incidence)} at {group.name} risk"
        for group in statistics.groups
        for found in group.incidence_at[k : k + 1]
        if found.incidence is not None
    ]
    by = (
        f" Cumulative incidence of {event} by month {statistics.horizons_months[k]:g}: "
        f"{' and '.join(shown)}."
        if shown
        else ""
    )
    return (
        f" {other.capitalize()}, a competing event, ended the follow-up of "
        f"{counted(statistics.competing.n_competing, 'patient')}; the hazard ratio is cause-specific.{by}"
    )


def _landmark(statistics: StudyStatistics) -> int:
    """Index of the horizon nearest to the landmark."""
    gaps = [abs(h - statistics.landmark_months) for h in statistics.horizons_months]
    return gaps.index(min(gaps))


def _hazards_warning(statistics: StudyStatistics) -> str:
    p = statistics.proportional_hazards.p
    if p is None or p >= 0.05:
        return ""
    return (
        f" The ratio changes over time (proportional hazards {p_sentence(p)}): read it as an "
        "average."
    )


def _few_events(statistics: StudyStatistics) -> str:
    return "".join(f" {c.text}" for c in statistics.cautions if c.place == "headline")


def interval_words(reported: Reported) -> str:
    """Return "2.40 (1.62–3.55)", or the reason why there is no number."""
    if reported.estimate is None or reported.lower is None or reported.upper is None:
        return f"not estimable: {reported.reason or 'unknown'}"
    return format_interval(reported.estimate, reported.lower, reported.upper)

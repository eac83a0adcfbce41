"""The model card for people: what the model is, trained on whom, for what, how well, and its limits.

Every field stands in the card itself, which is attached to the report and printed by
``jecur model show --json``.
"""

from collections.abc import Mapping
from typing import Any

from jecur.printable import counted, plain_number

__all__ = ["model_page"]

_POOLING = {
    "generalized-mean": "sign-preserving generalized mean",
    "mean": "mean",
    "attention": "gated attention",
    "noisy-and": "noisy-and",
    "log-sum-exp": "log-sum-exp",
    "max": "maximum",
}


def model_page(card: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the lines of the card that people ask for: (heading, text).

    Parameters
    ----------
    card
        The card as plain mappings, as it stands in the model file; a part that is missing is left out.
    """
    if not {"cutoff", "endpoint", "cohort"} <= card.keys():
        return ()
    lines = (
        ("Name", str(card.get("name", ""))),
        ("Use", str(card.get("intended_use", ""))),
        ("Virtual", _virtual(card)),
        ("What it does", _what(card)),
        ("Endpoint", f"{card['endpoint']['kind']}: {card['endpoint']['definition']}"),
        ("Direction", str(card.get("direction", ""))),
        (
            "Cut-off",
            f"high risk above {plain_number(card['cutoff'])}; {card.get('cutoff_source', '')}",
        ),
        ("Trained on", _trained_on(card)),
        ("Metrics", _metrics(card.get("metrics", {}))),
        ("Limits", _limits(card)),
        ("Licence", str(card.get("licence", ""))),
        ("Made", f"{card.get('created', '')} by jecur {card.get('jecur', '')}"),
    )
    return tuple((heading, text) for heading, text in lines if text)


def _virtual(card: Mapping[str, Any]) -> str:
    if not card.get("virtual"):
        return ""
    return "Trained on simulated patients: its risks mean nothing for real slides."


def _what(card: Mapping[str, Any]) -> str:
    pooling = card.get("pooling", {})
    name = str(pooling.get("kind", ""))
    exponent = f" (exponent {pooling['exponent']:g})" if pooling.get("exponent") else ""
    pooled = f"pooled over all tiles of a patient by {_POOLING.get(name, name)}{exponent}"
    shape = card.get("input", {}).get("shape")
    if not shape:
        width = card.get("input", {}).get("width", "")
        return f"Scores tiles described by {width} features of another network, {pooled}."
    side, channels = card["tile"]["side_um"], card.get("channels", shape[2])
    nuclei = " and a map of nuclei" if channels == 4 else ""
    return (
        f"Scores tiles of {side:g} um ({shape[0]} px), colors normalized{nuclei}, with "
        f"{card.get('encoder', '')}; {pooled}."
    )


def _trained_on(card: Mapping[str, Any]) -> str:
    cohort = card["cohort"]
    cox = card.get("training", {}).get("loss", {}).get("name") == "cox"
    without, with_ = (
        ("without event so far", "with event") if cox else ("good outcome", "poor outcome")
    )
    selected = str(cohort["selection"]).partition("; n_good")[0]  # said above, in words
    tuning = f"; {cohort['n_tuning']} patients to monitor training" if cohort["n_tuning"] else ""
    return (
        f"{counted(cohort['n_good'] + cohort['n_poor'], 'patient')} ({cohort['n_good']} {without}, "
        f"{cohort['n_poor']} {with_}), {counted(cohort['n_tiles'], 'tile')}{tuning}. "
        f"{selected[:1].upper()}{selected[1:]}."
    )


def _metrics(metrics: Mapping[str, Any]) -> str:
    found = metrics.get("concordance")
    if not found:
        return str(metrics.get("why") or metrics.get("note") or "")
    limits = (
        f" (95 % CI {found['lower']:.3f}-{found['upper']:.3f})"
        if found.get("lower") is not None and found.get("upper") is not None
        else ""
    )
    who = f"{metrics.get('n')} tuning patients, {metrics.get('n_events')} with event"
    return f"Harrell's C {found['estimate']:.3f}{limits} in {who}. {metrics.get('note', '')}"


def _limits(card: Mapping[str, Any]) -> str:
    told = (
        " A slide far from those it was trained on is flagged unlike-training."
        if card.get("looks")
        else ""
    )
    return (
        "As good as the cohort it was trained on, and not shown beyond it: other hospitals, scanners, "
        f"stains and treatments need a validation of their own.{told}"
    )

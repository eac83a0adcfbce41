"""Try a proposed study before it is written: it must read the table it was made from."""

import tempfile
from pathlib import Path

import msgspec

from jecur.cohort.cohort import read_cohort
from jecur.intake.propose import SLIDE_LIST, Proposal
from jecur.intake.write import list_text, study_text
from jecur.runs.folder import write_text
from jecur.settings import read_study

__all__ = ["check_proposal"]


def check_proposal(proposal: Proposal, folder: Path) -> list[str]:
    """Read settings and table as a run would.

    Returns
    -------
    list
        What whoever made the table should know; roles and events.

    Raises
    ------
    JecurError
        Everything that a run would refuse of the table, at once.
    """
    with tempfile.TemporaryDirectory() as there:
        trial = Path(there)
        write_text(trial / "study.toml", study_text(proposal))
        write_text(trial / SLIDE_LIST, list_text(proposal))
        settings = read_study(trial / "study.toml").cohort
        here = folder.resolve()
        settings = msgspec.structs.replace(
            settings,
            table=str((here / settings.table).resolve()),
            slide_folder=str((here / settings.slide_folder).resolve()),
        )
        cohort = read_cohort(settings, trial)
    counts = {
        role: (sum(p.event for p in cohort.of_role(role)), len(cohort.of_role(role)))
        for role in ("training", "tuning", "validation")
    }  # fmt: skip
    if settings.split is None and not settings.columns.role:
        counts = {"": counts["validation"]}
    said = [
        f"{n} {role} patients, {events} with the event".replace("  ", " ")
        for role, (events, n) in counts.items()
        if n
    ]
    left = [f"{e.patient} is left out: {e.reason}" for e in cohort.excluded]
    return [*cohort.remarks, *left, "; ".join(said) + "."]

"""A whole cohort looked over before any long run: table, slides, and whether they fit together."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from jecur.cohort.cohort import Cohort, Patient, Role, SlideEntry
from jecur.cohort.slide_names import stem_of
from jecur.errors import SlideError
from jecur.mil.feature_file import FEATURE_SUFFIXES
from jecur.preview.slide import preview_slide
from jecur.preview.view import default_recipe
from jecur.printable import counted
from jecur.report.shown import Shown
from jecur.runs.progress import Progress
from jecur.settings import Recipe
from jecur.slide.content import content_digest
from jecur.slide.reader import open_slide
from jecur.study.findings import Finding

__all__ = ["CohortPreview", "Finding", "preview_cohort"]

_OUTLYING_MPP = 1.5
"""Times the cohort's median scale, or below it: a 40x among 20x slides is told, not refused."""
_OVERRIDE_TOLERANCE = 0.05
_FEW_EVENTS = 10


@dataclass(frozen=True, slots=True, repr=False)
class CohortPreview(Shown):
    """What was found.

    Parameters
    ----------
    n_patients, n_excluded
        Patients a study would use, and those it would leave out.
    events
        Role -> (events, patients).
    n_slides, n_unreadable
        Slides named in the table, and those that cannot be opened.
    findings
        Errors first.
    outcomes
        A line each role, or each fold: patients and events.
    expected
        Tiles, disk and time in one line; "" if they were not asked for.
    devices
        Where a run would see slides and train, in one line; "" if that was not asked for.
    """

    n_patients: int
    n_excluded: int
    events: dict[str, tuple[int, int]]
    n_slides: int
    n_unreadable: int
    findings: tuple[Finding, ...]
    outcomes: tuple[str, ...] = ()
    expected: str = ""
    devices: str = ""

    def lines(self) -> list[str]:
        """Say it in a few lines, findings left out."""
        roles = ", ".join(f"{role} {e} of {n}" for role, (e, n) in self.events.items() if n)
        counts = (
            f"{counted(self.n_patients, 'patient')} used, {self.n_excluded} left out; "
            f"{counted(self.n_slides, 'slide')}, {self.n_unreadable} unreadable. Events: {roles or 'none'}."
        )
        return [*self.outcomes, *filter(None, (self.expected, self.devices)), counts]

    def said(self) -> tuple[str, str, None]:
        """Give the counts, and what was found, a line each."""
        *others, counts = self.lines()
        found = [f"{f.severity}: {f.subject}: {f.message} [{f.code}]" for f in self.findings]
        return counts, "\n".join([*others, *found]), None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def preview_cohort(
    cohort: Cohort, *, progress: Progress, recipe: Recipe | None = None
) -> CohortPreview:
    """Open every slide and hold it against the table.

    Parameters
    ----------
    cohort
        As `jecur.cohort.cohort.read_cohort` returns it.
    progress
        Draws a bar: one step a slide.
    recipe
        Read every tile too and give the verdict of a run under these settings; None: slides are
        opened, and no tile is read. Feature files are read whole either way.
    """
    entries = [(patient, entry) for patient in cohort.patients for entry in patient.slides]
    findings: list[Finding] = []
    scales: dict[str, float] = {}
    digests: dict[str, list[tuple[Patient, SlideEntry]]] = defaultdict(list)
    n_unreadable = 0
    with progress.task("Opening slides", len(entries)) as advance:
        for patient, entry in entries:
            told, mpp = _told(entry, recipe)
            n_unreadable += any(finding.severity == "error" for finding in told)
            findings += told
            if mpp is not None:
                scales[entry.id] = mpp
            digest = content_digest(entry.path)
            if digest != "absent":
                core = f" {entry.core.core}" if entry.core else ""
                digests[digest + core].append((patient, entry))
            advance()
    findings += _outliers(scales)
    findings += [found for group in digests.values() for found in _same_file(group)]
    findings += _same_stem([entry for _, entry in entries])
    findings += _unmatched(cohort)
    findings += [Finding("warning", d.code, d.column, d.message) for d in cohort.doubts]
    findings += [Finding("warning", "table-note", cohort.source, note) for note in cohort.notes]
    findings += _few_events(cohort)
    findings.sort(key=lambda f: (f.severity, f.code, f.subject))
    return CohortPreview(
        n_patients=len(cohort.patients),
        n_excluded=len(cohort.excluded),
        events=_events(cohort),
        n_slides=len(entries),
        n_unreadable=n_unreadable,
        findings=tuple(findings),
    )


def _told(entry: SlideEntry, recipe: Recipe | None) -> tuple[list[Finding], float | None]:
    """Say what a run would say of a slide, as far as it is looked at, and its scale."""
    if recipe is None and entry.path.suffix.lower() not in FEATURE_SUFFIXES:
        try:
            with open_slide(entry.path, mpp=entry.mpp) as slide:
                notes = [
                    Finding("warning", code, entry.id, told)
                    for code, told in slide.notes
                    if code != "mpp-override"  # told by `_override` with what to do
                ]
                return notes + _override(entry), slide.mpp
        except SlideError as error:
            return [Finding("error", error.code, entry.id, error.message)], None
    found = preview_slide(
        entry.path,
        recipe or default_recipe(),
        mpp=entry.mpp,
        annotation=entry.annotation,
        core=entry.core,
    )
    if found.status == "failed":
        return [Finding("error", found.code, entry.id, found.reason)], None
    flags = [
        Finding("warning", flag, entry.id, f"scored, and flagged {flag}: see docs/slides.md")
        for flag in found.flags
        if flag != "mpp-override"
    ]
    return flags + _override(entry), found.mpp


def _override(entry: SlideEntry) -> list[Finding]:
    """Tell an mpp in the table that contradicts the file's own."""
    if entry.mpp is None or entry.path.suffix.lower() in FEATURE_SUFFIXES:
        return []
    try:
        with open_slide(entry.path) as slide:
            own = slide.mpp
    except SlideError:  # the file is silent or wrong: that is what the override is for
        return []
    if abs(entry.mpp / own - 1.0) <= _OVERRIDE_TOLERANCE:
        return []
    message = (
        f"expected the table's {entry.mpp:g} um/px to be the file's, found {own:.4g} there; "
        "the table is followed: make sure it is right"
    )
    return [Finding("warning", "mpp-override", entry.id, message)]


def _outliers(scales: dict[str, float]) -> list[Finding]:
    if len(scales) < 3:
        return []
    middle = median(scales.values())
    return [
        Finding(
            "warning",
            "mpp-outlier",
            name,
            f"expected about {middle:.3g} um/px as in most slides, found {mpp:.3g}; "
            "look whether it is true",
        )
        for name, mpp in scales.items()
        if not 1 / _OUTLYING_MPP <= mpp / middle <= _OUTLYING_MPP
    ]


def _same_file(group: Sequence[tuple[Patient, SlideEntry]]) -> list[Finding]:
    if len(group) < 2:
        return []
    names = ", ".join(entry.id for _, entry in group)
    patients = {patient.id for patient, _ in group}
    found = [Finding("error" if len(patients) > 1 else "warning", "same-file", names, "")]
    where = f"{len(patients)} patients" if len(patients) > 1 else "one patient"
    message = (
        f"expected different files, found the same bytes {len(group)} times under {where}; "
        "keep one, or correct the table"
    )
    return [Finding(f.severity, f.code, f.subject, message) for f in found]


def _same_stem(entries: Sequence[SlideEntry]) -> list[Finding]:
    ids: dict[str, set[str]] = defaultdict(set)
    for path, entry in {entry.path: entry for entry in entries}.items():
        ids[stem_of(path.name).casefold()].add(entry.id if entry.core is None else path.name)
    return [
        Finding(
            "warning",
            "duplicate-stem",
            stem,
            f"expected one slide of this name, found {len(names)} (other folders, extensions or "
            f"case); they are told apart as {', '.join(sorted(names))}: make sure each belongs to "
            "its patient",
        )
        for stem, names in ids.items()
        if len(names) > 1
    ]


def _unmatched(cohort: Cohort) -> list[Finding]:
    slides = [
        Finding(
            "warning",
            "unmatched-slide",
            name,
            "expected a patient for every slide file, found none that names it; add it to the "
            "table or leave it out",
        )
        for name in cohort.unmatched_slides
    ]
    patients = [
        Finding("warning", "excluded-patient", e.patient, f"left out: {e.reason}")
        for e in cohort.excluded
    ]
    return slides + patients


def _events(cohort: Cohort) -> dict[str, tuple[int, int]]:
    roles: tuple[Role, ...] = ("training", "tuning", "validation")
    of_role = {role: cohort.of_role(role) for role in roles}
    return {role: (sum(p.event for p in group), len(group)) for role, group in of_role.items()}


def _few_events(cohort: Cohort) -> list[Finding]:
    return [
        Finding(
            "warning",
            "few-events",
            role,
            f"expected at least {_FEW_EVENTS} events among the {role} patients for anything to be "
            f"estimated, found {events} of {n}",
        )
        for role, (events, n) in _events(cohort).items()
        if n and events < _FEW_EVENTS
    ]

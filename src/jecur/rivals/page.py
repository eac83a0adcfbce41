"""From a comparison to its page and files."""

from pathlib import Path
from typing import TYPE_CHECKING

from jecur.cohort.endpoint import endpoint_definition
from jecur.printable import counted
from jecur.report.comparison import ComparisonContent, write_comparison_page
from jecur.report.wording import RESEARCH_USE_ONLY
from jecur.runs.folder import RunFolder, fingerprint, write_json
from jecur.settings import CompareSettings, StudySettings
from jecur.statistics.results import to_json_dict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jecur.rivals.compare import Compared

__all__ = ["write_comparison"]


def _left_out(n: int) -> str:
    if n == 0:
        return "No patient was left out."
    return f"{counted(n, 'patient')} left out, each with a reason (exclusions.csv)."


def write_comparison(
    found: "Compared",
    remarks: "Sequence[str]",
    run: RunFolder,
    study: StudySettings,
    settings: CompareSettings,
) -> Path:
    """Write ``compare.json``, ``compare.md``, ``report.html``, tables and figure; return the page."""
    endpoint = study.cohort.endpoint
    write_json(
        run.root / "compare.json",
        {
            "study": study.name,
            "intended_use": RESEARCH_USE_ONLY,
            "virtual": study.virtual,
            "endpoint": {"kind": endpoint.kind, "definition": endpoint_definition(endpoint)},
            "division": found.how,
            "failed": dict(found.failed),
            "remarks": list(remarks),
            "comparison": to_json_dict(found.comparison),
        },
    )
    virtual = "Virtual cohort: slides, patients and follow-up were simulated."
    content = ComparisonContent(
        title=study.name,
        created=run.day_begun("report", fingerprint(study, settings)),
        endpoint_name=endpoint.kind,
        endpoint_definition=endpoint_definition(endpoint),
        banner=virtual if study.virtual else "",
        comparison=found.comparison,
        costs={
            name: (cost.seconds / 60, round(cost.peak_mib)) for name, cost in found.costs.items()
        },
        failed=found.failed,
        how=found.how,
        statements=(
            RESEARCH_USE_ONLY,
            _left_out(len(found.excluded)),
            "The cut-off of each model was fixed on the patients it was trained on.",
            *remarks,
        ),
    )
    return write_comparison_page(content, run.root)

"""The command evaluate: any score, Jecur's own or external, through every statistic."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.markup import escape

from jecur.cli.console import OK, AsJson, app, console, tell_cautions
from jecur.printable import counted

if TYPE_CHECKING:
    from jecur.evaluation.given import Evaluation

__all__ = ["evaluate", "tell_evaluation"]


@app.command
def evaluate(
    *,
    scores: Path,
    study: Path,
    out: Path,
    clinical: Path | None = None,
    tiles: Path | None = None,
    tile_key: Path | None = None,
    column: str = "risk",
    patient: str = "patient_id",
    higher: Literal["worse", "better"] | None = None,
    high_value: str = "",
    cutoff: float | None = None,
    probability: Annotated[bool | None, Parameter(negative="--no-probability")] = None,
    label: str = "",
    as_json: AsJson = False,
) -> int:
    """Evaluate a column of scores against follow-up: statistics, tables, figures and a report.

    The scores may be Jecur's (scores.csv of a run) or external; no slide and no model is needed.

    Example: jecur evaluate --scores theirs.csv --column risk_score --higher worse --study study.toml
    --clinical clinical.csv --out evaluation

    Parameters
    ----------
    scores
        CSV, TSV or Excel; one row a patient. With a column "fold" (and "repeat"), as jecur crossval
        writes it, one row a patient and repeat: patients are then compared within folds only.
    study
        Study file: columns, endpoint, covariates and statistics.
    out
        Folder for statistics.json, tables, figures, report.html and exclusions.csv.
    clinical
        Clinical table in place of the one the study file names.
    tiles
        Features recorded in tiles (patient_id, end = high or low, one 0/1 column a feature), or a
        filled review sheet (RUN/review/review.csv).
    tile_key
        Key of a review sheet that does not lie in its run: RUN/private/review/key.csv.
    column
        The score: numbers, or two texts that name the groups.
    patient
        Column of patient identifiers in the table of scores.
    higher
        Whether a higher number is worse or better; needed for every column but risk.
    high_value
        Text that means high risk, where the column holds two texts.
    cutoff
        High risk lies beyond it; fixed before these patients were seen. Without it: the median.
    probability
        The score is a probability of the event by the landmark.
    label
        Name of the score in tables and figures.
    as_json
        Print one JSON object and nothing else.
    """
    from jecur.evaluation.given import ScoreFiles, evaluate_scores
    from jecur.runs.folder import RunFolder
    from jecur.settings import ScoreSettings, read_study

    score = ScoreSettings(
        patient=patient,
        column=column,
        higher=higher or "",
        high_value=high_value,
        cutoff=cutoff,
        probability=probability,
        label=label,
    )
    run = RunFolder.open(out)
    run.refuse_other_command("evaluate")
    found = evaluate_scores(
        ScoreFiles(scores, clinical, tiles, tile_key),
        read_study(study),
        study.resolve().parent,
        score,
        run,
    )
    tell_evaluation(found, as_json=as_json)
    return OK


def tell_evaluation(found: "Evaluation", *, as_json: bool) -> None:
    """Say what an evaluation found, or print it as one JSON object."""
    from jecur.statistics.results import StudyStatistics, to_json_dict

    if as_json:
        console.print_json(
            data={
                "n_in_table": found.n_in_table,
                "n_excluded": len(found.excluded),
                "remarks": list(found.remarks),
                "rule": found.groups.rule,
                **to_json_dict(found.statistics),
                "report": str(found.report),
            }
        )
        return
    for remark in found.remarks:
        console.print(f"[yellow]warning[/] {escape(remark)}", soft_wrap=True)
    console.print(f"[bold]{escape(found.verdict.headline)}[/]", soft_wrap=True)
    console.print(escape(found.verdict.detail), soft_wrap=True)
    if isinstance(found.statistics, StudyStatistics):
        tell_cautions(found.statistics)
    console.print(
        f"{counted(found.n_in_table, 'patient')} in the table: "
        f"{found.n_in_table - len(found.excluded)} analyzed, {len(found.excluded)} left out "
        f"(exclusions.csv says why). {escape(found.groups.rule)}",
        soft_wrap=True,
    )
    console.print(f"Research use only. Report: {escape(str(found.report))}", soft_wrap=True)

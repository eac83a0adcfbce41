"""Models to compare with: baselines that a network should beat."""

from pathlib import Path

from cyclopts import App

from jecur.cli.console import OK, AsJson, app, console
from jecur.cli.evaluate import tell_evaluation

__all__ = ["nuclear_features"]

baseline_app = App(name="baseline", help="Models to compare with.")
app.command(baseline_app)


@baseline_app.command
def nuclear_features(
    study: Path,
    *,
    run: Path,
    out: Path,
    as_json: AsJson = False,
) -> int:
    """Fit an elastic-net Cox model of nuclear measurements, and evaluate it like any score.

    Trained on the patients of the training and tuning roles; how strong its penalty is, folds inside them
    choose. The cut-off is their median.

    Example: jecur baseline nuclear-features study.toml --run my-run --out baseline

    Parameters
    ----------
    study
        Study file.
    run
        Run folder whose slides were measured: jecur nuclei features.
    out
        Where scores, tables, figures and the report go.
    as_json
        Print one JSON object and nothing else.
    """
    from jecur.runs.folder import RunFolder
    from jecur.settings import read_study
    from jecur.study.nuclear_baseline import run_nuclear_baseline

    done = run_nuclear_baseline(read_study(study), study.resolve().parent, run, RunFolder.open(out))
    if not as_json:
        console.print(
            f"Trained on {done.n_training} patients, {done.n_events} of them with event; "
            f"{len(done.left_out)} without measured nuclei left out."
        )
        for name, ratio in done.hazard_ratios.items():
            console.print(f"  {name}: hazard ratio {ratio:.2f} per standard deviation")
    tell_evaluation(done.evaluation, as_json=as_json)
    return OK

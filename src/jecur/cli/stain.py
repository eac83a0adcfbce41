"""Commands on stains: estimate, normalize, preview."""

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.markup import escape

from jecur.cli.console import OK, SOME_FAILED, app, console, errors

__all__ = ["estimate", "normalize", "preview"]

stain_app = App(name="stain", help="Stains: estimate, normalize images, preview a cohort.")
app.command(stain_app)

AsJson = Annotated[bool, Parameter(name="--json", negative="")]
Method = Literal["vahadane", "macenko", "reinhard", "iche"]


@stain_app.command
def estimate(
    path: Path,
    *,
    method: Literal["vahadane", "macenko"] = "vahadane",
    mpp: float | None = None,
    as_json: AsJson = False,
) -> int:
    """Estimate the stains of an image or slide; exit code 3 if they are refused.

    Example: jecur stain estimate slide.svs --json

    Parameters
    ----------
    path
        PNG or JPEG of H&E, or a slide.
    method
        How the stain matrix is found.
    mpp
        Micrometers per pixel of a slide that does not say.
    as_json
        Print JSON and nothing else.
    """
    from jecur.errors import SlideError
    from jecur.preview.stain import describe_stain, stain_of
    from jecur.settings import StainSettings

    settings = StainSettings(method=method)
    try:
        found = describe_stain(path, stain_of(path, settings, mpp=mpp), settings)
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
    images: list[Path], *, out: Path, target: str = "builtin", method: Method = "vahadane"
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
        Image or slide to look like, or "builtin".
    method
        vahadane, macenko, reinhard or iche.
    """
    from jecur.cohort.slide_names import file_ids
    from jecur.errors import SlideError
    from jecur.preview.stain import normalize_image, reference_of
    from jecur.settings import StainSettings

    settings = StainSettings(method=method)
    reference = reference_of(target, settings)
    single = len(images) == 1 and out.suffix.lower() == ".png"
    (out.parent if single else out).mkdir(parents=True, exist_ok=True)
    worst = OK
    for path, name in zip(images, file_ids(images), strict=True):
        picture = out if single else out / f"{name}.png"
        try:
            normalize_image(path, picture, reference, settings)
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
    target: str = "builtin",
    method: Method = "vahadane",
    mpp: float | None = None,
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
        Image or slide to look like, or "builtin".
    method
        vahadane, macenko, reinhard or iche.
    mpp
        Micrometers per pixel of slides that do not say.
    """
    from jecur.preview.stain import contact_sheet, reference_of
    from jecur.settings import StainSettings

    settings = StainSettings(method=method)
    rows = contact_sheet(paths, out, reference_of(target, settings), settings, mpp=mpp)
    for row in rows:
        if row.code:
            errors.print(f"[red]refused:[/] {escape(row.name)} \\[{row.code}]", soft_wrap=True)
    console.print(escape(str(out)), soft_wrap=True)
    return SOME_FAILED if any(row.code for row in rows) else OK

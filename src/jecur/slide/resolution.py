"""How many micrometers a level-0 pixel is, and whether that can be true.

A tile is 128 um whatever the scanner, so a wrong scale silently changes everything that
follows. Nothing is guessed without a name: the source of the number travels with the slide.
"""

import math

from jecur.errors import SlideError
from jecur.slide.source import MppSource, Note, Scale

__all__ = [
    "LARGEST_MPP",
    "SMALLEST_MPP",
    "contradiction",
    "overridden",
    "resolve_mpp",
    "scales_disagree",
]

SMALLEST_MPP = 0.1
"""Below this, um/px, no bright-field slide scanner works (100x oil is about 0.1)."""
LARGEST_MPP = 2.0
"""Above this, um/px, nuclei cannot be seen (5x is about 2)."""
_LARGEST_ANISOTROPY = 1.05
_LARGEST_CONTRADICTION = 1.3
_MPP_TIMES_OBJECTIVE = 10.0
"""20x is about 0.5 um/px and 40x about 0.25, the scanners' common convention."""
_CONVENTIONAL_VENDORS = frozenset({"aperio", "hamamatsu", "leica", "philips", "ventana"})
"""Scanners that keep the convention. 3DHISTECH does not: a camera adapter behind a 20x lens
gives 0.24 um/px, and its files say 20x."""
_LARGEST_DISAGREEMENT = 1.05
_ROUNDING = 1.005
"""Two fields of one file that differ by less were rounded differently."""
_OBJECTIVES = (5.0, 100.0)
_REMEDY = "give the true value with --mpp or an mpp column in the slide table"


def resolve_mpp(
    scale: Scale, vendor: str, *, override: float | None, name: str
) -> tuple[float, MppSource]:
    """Decide on micrometers per level-0 pixel.

    In order: the user's value, the file's own, 10 / objective. The file's value must lie within
    0.1 to 2 um/px, agree between x and y within 5 %, and within 30 % with the objective where the
    scanner keeps the convention.

    Parameters
    ----------
    scale
        What the file says.
    vendor
        Scanner family as the reader names it.
    override
        The user's value, or None.
    name
        Base name of the file, for messages.

    Returns
    -------
    tuple of float and str
        Micrometers per level-0 pixel, and where it comes from.

    Raises
    ------
    SlideError
        "no-mpp" if no scale is stated, "implausible-mpp" if the stated one cannot be true.
    """
    if override is not None:
        _require_range(override, name)
        return override, "override"
    if scale.mpp_x is not None and scale.mpp_y is not None:
        mpp = _agreed(scale.mpp_x, scale.mpp_y, name)
        _require_range(mpp, name)
        if vendor in _CONVENTIONAL_VENDORS:
            _require_objective(mpp, scale.objective, name)
        return mpp, scale.source
    if scale.objective is not None and _OBJECTIVES[0] <= scale.objective <= _OBJECTIVES[1]:
        return _MPP_TIMES_OBJECTIVE / scale.objective, "objective"
    raise SlideError(
        f"{name}: expected micrometers per pixel in the file, found none; {_REMEDY}",
        code="no-mpp",
    )


def contradiction(scale: Scale, *, override: float | None, name: str) -> tuple[Note, ...]:
    """Compare the file's own scale with the resolution tags beside it.

    Tags that cannot be a scanner's scale (72 dpi) say nothing of it. With the user's own value
    the difference is reported and not refused.

    Parameters
    ----------
    scale
        What the file says.
    override
        The user's value, or None.
    name
        Base name of the file, for messages.

    Returns
    -------
    tuple of tuple of str
        The flag "scale-contradiction" with a phrase, or nothing.

    Raises
    ------
    SlideError
        With code "scale-contradiction" where they differ by more than 5 %.
    """
    tag, own = scale.tag_mpp, scale.mpp_x
    if tag is None or own is None or not SMALLEST_MPP <= tag <= LARGEST_MPP or not own > 0.0:
        return ()
    ratio = max(tag / own, own / tag)
    if ratio <= _ROUNDING:
        return ()
    both = f"{own:.4g} um/px in the metadata, {tag:.4g} in the resolution tags"
    if scales_disagree(tag, own) and override is None:
        raise SlideError(
            f"{name}: expected one scale, found {both}; {_REMEDY}", code="scale-contradiction"
        )
    return (("scale-contradiction", both),)


def scales_disagree(one: float, other: float) -> bool:
    """Whether two scales, um/px above 0, differ by more than 5 %: more than rounding and print make."""
    return max(one / other, other / one) > _LARGEST_DISAGREEMENT


def overridden(scale: Scale, vendor: str, *, override: float | None, name: str) -> tuple[Note, ...]:
    """Tell a user's value that differs from the file's own, where the file's own can be true.

    Parameters
    ----------
    scale, vendor, override, name
        As `resolve_mpp` takes them.

    Returns
    -------
    tuple of tuple of str
        The flag "mpp-override" with a phrase, or nothing.
    """
    if override is None:
        return ()
    try:
        own, source = resolve_mpp(scale, vendor, override=None, name=name)
    except SlideError:  # silent or wrong: that is what the user's value is for
        return ()
    if source == "objective" or not scales_disagree(override, own):
        return ()
    return (("mpp-override", f"{override:.4g} um/px given and taken, {own:.4g} in the file"),)


def _agreed(mpp_x: float, mpp_y: float, name: str) -> float:
    smaller, larger = sorted((mpp_x, mpp_y))
    if not smaller > 0.0:
        found = f"{mpp_x:g}" if mpp_x == mpp_y else f"{mpp_x:g} x {mpp_y:g}"
        raise SlideError(
            f"{name}: expected micrometers per pixel above 0, found {found}; {_REMEDY}",
            code="implausible-mpp",
        )
    if larger / smaller > _LARGEST_ANISOTROPY:
        raise SlideError(
            f"{name}: expected square pixels, found {mpp_x:.4g} x {mpp_y:.4g} um; {_REMEDY}",
            code="implausible-mpp",
        )
    return (mpp_x + mpp_y) / 2.0


def _require_range(mpp: float, name: str) -> None:
    if not SMALLEST_MPP <= mpp <= LARGEST_MPP:
        raise SlideError(
            f"{name}: expected {SMALLEST_MPP} to {LARGEST_MPP} um/px, found {mpp:.4g}; {_REMEDY}",
            code="implausible-mpp",
        )


def _require_objective(mpp: float, objective: float | None, name: str) -> None:
    if objective is None or not 0.0 < objective < math.inf:
        return
    expected = _MPP_TIMES_OBJECTIVE / objective
    if not 1.0 / _LARGEST_CONTRADICTION <= mpp / expected <= _LARGEST_CONTRADICTION:
        raise SlideError(
            f"{name}: expected about {expected:.3g} um/px at {objective:g}x, found {mpp:.4g}; "
            f"{_REMEDY}",
            code="implausible-mpp",
        )

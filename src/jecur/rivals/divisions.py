"""Who is trained on and who is scored: the folds of a cross-validation, or the roles of the study."""

from collections.abc import Sequence

from jecur.cohort.cohort import Exclusion, Patient
from jecur.cohort.splits import split_patients
from jecur.errors import TableError
from jecur.rivals.bench import Division
from jecur.settings import CompareSettings
from jecur.study.cohort_slides import PreparedCohort, usable_slides

__all__ = ["divide_patients", "usable_patients"]


def divide_patients(
    patients: Sequence[Patient], settings: CompareSettings
) -> tuple[tuple[Division, ...], str]:
    """Divide patients, and say how.

    Raises
    ------
    TableError
        If the folds asked for cannot be made; with code ``no-roles`` if there is nobody to train on or to
        validate on.
    """
    of_role = {
        role: tuple(p for p in patients if p.role == role)
        for role in ("training", "tuning", "validation")
    }
    if not settings.folds:
        training, unseen = of_role["training"], of_role["validation"]
        if not training or not unseen:
            raise TableError(
                f"expected training and validation patients, found {len(training)} and {len(unseen)}; "
                "ask for --folds 5, which needs no roles",
                code="no-roles",
            )
        one = Division("validation", 1, training, of_role["tuning"], unseen)
        return (one,), "trained on the training role, scored on the validation role"
    others = [p for p in patients if p.role != "validation"]
    folds = split_patients(
        others,
        n_folds=settings.folds,
        site_preserving=settings.site_preserving,
        seed=settings.seed,
    )
    divisions = tuple(
        Division(
            f"fold-{k + 1}",
            k + 1,
            tuple(p for p, of in zip(others, folds.fold_of, strict=True) if of != k),
            (),
            tuple(p for p, of in zip(others, folds.fold_of, strict=True) if of == k),
        )
        for k in range(settings.folds)
    )
    return divisions, f"{settings.folds} folds: {folds.method}"


def usable_patients(
    ready: PreparedCohort, settings: CompareSettings
) -> tuple[list[Patient], list[Exclusion]]:
    """Patients with a bag, whom every model can be given; the others with their reason."""
    used, excluded = [], list(ready.cohort.excluded)
    for patient in ready.cohort.patients:
        if settings.folds and patient.role == "validation":
            reason = "validation role: kept apart from the folds"
        elif usable_slides([(patient.id, patient.slides)], ready.prepared):
            used.append(patient)
            continue
        else:
            codes = sorted({ready.prepared[e.id].code or "no-tiles" for e in patient.slides})
            reason = f"no usable slide: {', '.join(codes)}"
        excluded.append(Exclusion(patient.id, patient.role, reason))
    return used, excluded

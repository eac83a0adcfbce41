"""Virtual patients: latent tissue features, covariates, and follow-up drawn from a hazard.

The hazard of patient i is::

    h_i(t) = h0(t) exp(eta_i),   eta_i = sum_k beta_k z_ik + clinical_i

with Weibull ``h0`` and ``z`` the four features standardized by their known mean and standard
deviation. Follow-up ends at recurrence, at an administrative date or at random loss.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr

from jecur.arrays import BoolVector, IntVector, Matrix, Vector
from jecur.errors import SimulationError
from jecur.settings import SimulationSettings

__all__ = ["FEATURE_MEAN", "FEATURE_SD", "VirtualPatients", "concordance", "draw_cohort"]

_BETA_SHAPE = 1.3
FEATURE_MEAN = 0.5
"""Mean of each feature, which follows Beta(1.3, 1.3)."""
FEATURE_SD = float(np.sqrt(0.25 / (2 * _BETA_SHAPE + 1)))
"""Standard deviation of each feature."""

_STAGES = ("I", "II", "III")
_STAGE_CUTS = (0.0, 0.95)
_STAGE_LOG_HAZARD = np.array([0.0, 0.20, 0.45])
_INVASIONS = ("none", "micro", "macro")
_INVASION_CUTS = (0.35, 1.4)
_INVASION_LOG_HAZARD = np.array([0.0, 0.25, 0.50])
_AFP_LOG_HAZARD = 0.12
"""Per standard deviation of log AFP."""
_SIZE_LOG_HAZARD = 0.12
"""Per standard deviation of log tumor size."""


@dataclass(frozen=True, slots=True)
class VirtualPatients:
    """A drawn cohort: what a study sees, and the truth behind it."""

    table: pd.DataFrame
    """One row a patient: patient_id, site, role, months, recurrence, covariates."""
    features: Matrix
    """(n, 4) latent features in [0, 1]: stroma, atypia, hyperchromasia, immune."""
    log_hazard: Vector
    """(n,) true linear predictor eta."""
    feature_log_hazard: Vector
    """(n,) its part that the tissue plants."""
    betas: Vector
    """(4,) planted log hazard ratio per standard deviation of each feature."""
    site: IntVector
    """(n,) index of the site."""
    arrangement: Vector | None = None
    """(n,) planted arrangement in [0, 1]: disorder of the architecture, or how far lymphocytes lie apart;
    None where none is planted."""


def draw_cohort(settings: SimulationSettings, rng: np.random.Generator) -> VirtualPatients:
    """Draw a cohort's patients; no slide is rendered.

    Parameters
    ----------
    settings
        Sizes of the roles, effects, follow-up.
    rng
        Draws everything.

    Returns
    -------
    VirtualPatients
        The table as a study would see it, and the truth.

    Raises
    ------
    SimulationError
        If there is no patient, or follow-up ends before it may begin to.
    """
    n = settings.n_training + settings.n_validation
    low, high = settings.follow_up_months
    if n == 0:
        raise SimulationError("expected at least one patient, found none; set n_training")
    if low > high:
        raise SimulationError(
            f"expected follow_up_months to rise, found ({low}, {high}); exchange them"
        )
    latent = rng.standard_normal((n, 4))
    features = _beta(latent)
    planted = _planted(settings)
    betas = np.zeros(4) if settings.null else planted
    from_tissue = (features - FEATURE_MEAN) / FEATURE_SD @ betas
    norm = float(np.linalg.norm(planted))
    toward = latent @ planted / norm if norm else np.zeros(n)
    arrangement = None
    if settings.plant in ("architecture", "til"):
        toward = rng.spawn(1)[0].standard_normal(n)  # the other draws stay as they are
        arrangement = _beta(toward)
        effect = 0.0 if settings.null else settings.plant_log_hazard
        from_tissue = from_tissue + effect * (arrangement - FEATURE_MEAN) / FEATURE_SD
    if settings.plant == "til":  # room for every lymphocyte on either side, whatever the slide
        features = features * [0.4, 1.0, 1.0, 0.4] + [0.3, 0.0, 0.0, 0.15]
    covariates, from_covariates = _covariates(settings, toward, rng)
    log_hazard = from_tissue + settings.clinical_effect * from_covariates
    months, recurrence = _follow_up(settings, log_hazard, rng)
    site = rng.choice(settings.n_sites, size=n, p=_site_shares(settings.n_sites))
    role = np.repeat(["training", "validation"], [settings.n_training, settings.n_validation])
    width = max(4, len(str(n)))
    table = pd.DataFrame(
        {
            "patient_id": [f"V-{k + 1:0{width}d}" for k in range(n)],
            "site": [f"site-{chr(ord('A') + k)}" for k in site],
            "role": role,
            "months": months,
            "recurrence": recurrence.astype(np.int64),
            **covariates,
        }
    )
    return VirtualPatients(table, features, log_hazard, from_tissue, betas, site, arrangement)


def concordance(risk: Vector, months: Vector, event: BoolVector) -> float:
    """Harrell's concordance of a risk (higher = earlier), ties in risk one half; NaN if no pair.

    A pair counts if the earlier of the two times is an event; an event at the time at which
    another patient is censored comes first.
    """
    concordant = pairs = 0.0
    for k in np.flatnonzero(event):
        later = (months > months[k]) | ((months == months[k]) & ~event)
        pairs += float(later.sum())
        concordant += float((risk[later] < risk[k]).sum() + 0.5 * (risk[later] == risk[k]).sum())
    return concordant / pairs if pairs else float("nan")


def _site_shares(n_sites: int) -> Vector:
    """Unequal shares: each site has four fifths of the patients of the one before."""
    share = 0.8 ** np.arange(n_sites)
    shares: Vector = share / share.sum()
    return shares


def _beta(latent: Matrix | Vector) -> NDArray[np.float64]:
    """Features in [0, 1] of latent normal values."""
    features: NDArray[np.float64] = betaincinv(_BETA_SHAPE, _BETA_SHAPE, ndtr(latent))
    return features


def _planted(settings: SimulationSettings) -> Vector:
    """(4,) log hazard ratios of the features under the plant."""
    return {
        "tissue": np.array(settings.log_hazard_per_sd),
        "stroma": np.array([settings.plant_log_hazard, 0.0, 0.0, 0.0]),
        "atypia": np.array([0.0, settings.plant_log_hazard, 0.0, 0.0]),
        "architecture": np.zeros(4),
        "til": np.zeros(4),
    }[settings.plant]


def _covariates(
    settings: SimulationSettings, toward: Vector, rng: np.random.Generator
) -> tuple[dict[str, object], Vector]:
    """Columns of the table and their centered log hazard, (n,).

    Severity leans on the tissue by ``clinical_correlation`` (0 under the null, or follow-up
    would depend on the tissue through it); stage, invasion, AFP and size lean on severity.
    """
    n = len(toward)
    lean = 0.0 if settings.null or not toward.any() else settings.clinical_correlation
    severity = lean * toward + np.sqrt(1 - lean**2) * rng.standard_normal(n)
    stage_z, invasion_z, afp_z, size_z = (
        0.6 * severity + 0.8 * rng.standard_normal(n) for _ in range(4)
    )
    stage = np.digitize(stage_z, _STAGE_CUTS)
    invasion = np.digitize(invasion_z, _INVASION_CUTS)
    columns: dict[str, object] = {
        "age": np.clip(np.rint(rng.normal(62.0, 10.5, n)), 24, 88).astype(np.int64),
        "sex": np.where(rng.uniform(size=n) < 0.74, "male", "female"),
        "afp_ng_ml": np.maximum(0.1, np.round(np.exp(3.2 + 2.0 * afp_z), 1)),  # limit of detection
        "stage": np.array(_STAGES)[stage],
        "vascular_invasion": np.array(_INVASIONS)[invasion],
        "tumor_size_cm": np.round(np.clip(np.exp(1.4 + 0.55 * size_z), 0.8, 22.0), 1),
    }
    effect = _STAGE_LOG_HAZARD[stage] + _INVASION_LOG_HAZARD[invasion]
    effect = effect + _AFP_LOG_HAZARD * afp_z + _SIZE_LOG_HAZARD * size_z
    return columns, effect - effect.mean()


def _follow_up(
    settings: SimulationSettings, log_hazard: Vector, rng: np.random.Generator
) -> tuple[Vector, BoolVector]:
    """Months (to two decimals, at least 0.05) and whether recurrence ended them."""
    n = log_hazard.size
    scale = settings.median_months / np.log(2.0) ** (1.0 / settings.weibull_shape)
    cumulative = rng.exponential(size=n) * np.exp(-log_hazard)
    recurrence = scale * cumulative ** (1.0 / settings.weibull_shape)
    end = rng.uniform(*settings.follow_up_months, size=n)
    lost = rng.exponential(size=n) / settings.loss_per_month if settings.loss_per_month else end
    censored = np.minimum(end, lost)
    months = np.maximum(np.round(np.minimum(recurrence, censored), 2), 0.05)
    return months, recurrence <= censored

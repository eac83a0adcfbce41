"""Settings of virtual cohorts."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from jecur.settings.base import Count, CountOrZero, Positive, Stage

__all__ = ["Plant", "SimulationSettings"]

Plant = Literal["tissue", "architecture", "til", "stroma", "atypia"]
"""What the hazard hangs on: four features, how nuclei stand, where lymphocytes lie, one feature alone."""


class SimulationSettings(Stage, frozen=True):
    """Virtual cohorts: slides with planted features, follow-up that depends on them."""

    n_training: CountOrZero = 120
    """Patients with the role "training"."""
    n_validation: CountOrZero = 80
    """Patients with the role "validation"."""
    slides_per_patient: Annotated[int, Meta(ge=1, le=8)] = 1
    """Slides of each patient."""
    seed: Annotated[int, Meta(ge=0)] = 0
    """Seed of everything; the number of workers changes nothing."""
    null: bool = False
    """Plant no effect of the tissue: its features leave the hazard alone (covariates stay)."""
    drawings: CountOrZero = 0
    """Patients, the first of those with the role "training", on whose slides tumor and stroma are drawn."""
    workers: Count = 1
    """Processes that render slides."""
    size_px: Annotated[int, Meta(ge=512, le=32_768)] = 2048
    """Side of a slide, pixels."""
    um_per_px: Annotated[float, Meta(ge=0.2, le=1.5)] = 0.5
    """Scale of a slide; 0.5 is a 20x scan."""
    tissue_fraction: Annotated[float, Meta(ge=0.05, le=0.8)] = 0.45
    """Share of a slide that is tissue."""
    jpeg_quality: Annotated[int, Meta(ge=30, le=100)] = 87
    """Quality of the slides' JPEG tiles."""
    heterogeneity: Annotated[float, Meta(ge=0, le=1)] = 0.3
    """Standard deviation of a feature's local value over a slide where its mean is 1/2."""
    slide_spread: Annotated[float, Meta(ge=0, le=0.5)] = 0.03
    """Standard deviation of a slide's feature around its patient's."""
    n_sites: Annotated[int, Meta(ge=1, le=26)] = 4
    """Laboratories, each with its own stain; they have no effect on the hazard."""
    site_angle_deg: Annotated[float, Meta(ge=0, le=15)] = 4.0
    """Typical turn of a site's stain vectors, degrees."""
    slide_angle_deg: Annotated[float, Meta(ge=0, le=10)] = 1.5
    """Typical further turn of a slide's stain vectors, degrees."""
    site_intensity_sd: Annotated[float, Meta(ge=0, le=0.5)] = 0.12
    """Standard deviation of the log stain intensity between sites."""
    slide_intensity_sd: Annotated[float, Meta(ge=0, le=0.5)] = 0.06
    """The same between slides of a site."""
    log_hazard_per_sd: tuple[float, float, float, float] = (0.6, 0.65, 0.6, -0.6)
    """Log hazard ratio per standard deviation: stroma, atypia, hyperchromasia, immune."""
    plant: Plant = "tissue"
    """What of the tissue the hazard hangs on. tissue: the four features by ``log_hazard_per_sd``.
    architecture: how hepatocytes and fibers are arranged, the same nuclei. til: lymphocytes apart from the
    hepatocytes or among them, as many. stroma: its share alone. atypia: size, inequality and outline of
    nuclei alone. What is not planted varies all the same."""
    plant_log_hazard: float = 0.9
    """Log hazard ratio per standard deviation of what is planted, where it is not ``tissue``."""
    clinical_effect: Annotated[float, Meta(ge=0)] = 1.0
    """Factor on the log hazard ratios of the clinical covariates; 0 makes them inert."""
    clinical_correlation: Annotated[float, Meta(ge=0, lt=1)] = 0.25
    """Correlation of clinical severity with the tissue's hazard; taken as 0 where ``null``."""
    median_months: Positive = 40.0
    """Median time to recurrence of the patient at the mean of all factors, months."""
    weibull_shape: Positive = 0.95
    """Shape of the baseline hazard; below 1 it falls with time."""
    follow_up_months: tuple[Positive, Positive] = (48.0, 96.0)
    """Administrative end of follow-up, uniform between these, months."""
    loss_per_month: Annotated[float, Meta(ge=0)] = 0.004
    """Rate of random loss to follow-up."""

    def contradictions(self) -> Iterator[str]:
        """Yield an end of follow-up before its start."""
        first, last = self.follow_up_months
        if last < first:
            yield f"expected follow_up_months to rise, found {first:g} and {last:g}"

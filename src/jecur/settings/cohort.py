"""Settings of the cohort: columns, endpoint, roles, covariates."""

from typing import Literal

from jecur.settings.base import Stage

__all__ = [
    "CohortSettings",
    "ColumnSettings",
    "Covariate",
    "EndpointKind",
    "EndpointSettings",
    "RoleValues",
]


class ColumnSettings(Stage, frozen=True):
    """The user's own column names in the clinical table: one row a patient."""

    patient: str = "patient_id"
    """Patient identifier, read as text: ``007`` stays ``007``."""
    time: str = "time"
    """Follow-up time to the event or to censoring."""
    event: str = "event"
    """Event indicator, coded as `EndpointSettings` declares."""
    role: str = "role"
    """Training, tuning or validation, coded as `CohortSettings.roles` declares."""
    slide: str = "slide"
    """Slide file name or names, separated by ``;``, under `CohortSettings.slide_folder`."""
    site: str = ""
    """Hospital or tissue-source site; empty if unknown."""
    mpp: str = ""
    """Micrometers per pixel that overrides the slide file's; empty if there is no such column."""


EndpointKind = Literal[
    "recurrence-free survival",
    "time to recurrence",
    "overall survival",
    "disease-specific survival",
]


class EndpointSettings(Stage, frozen=True):
    """What the time runs to, and how the table codes it. Nothing is guessed."""

    kind: EndpointKind
    """Recurrence-free survival counts death as an event; time to recurrence censors it."""
    unit: Literal["days", "weeks", "months", "years"]
    """Unit of the time column."""
    event_values: tuple[str, ...]
    """Texts in the event column that mean the event happened."""
    censored_values: tuple[str, ...]
    """Texts in the event column that mean it had not by the end of follow-up."""
    definition: str = ""
    """Printed wherever a number appears; a sentence made from ``kind`` if empty."""


class RoleValues(Stage, frozen=True):
    """Texts in the role column for each role."""

    training: tuple[str, ...] = ("training", "train")
    tuning: tuple[str, ...] = ("tuning",)
    validation: tuple[str, ...] = ("validation", "test", "external validation")


class Covariate(Stage, frozen=True):
    """A clinical factor to set beside the classifier."""

    column: str
    """Column in the clinical table."""
    label: str = ""
    """Name in tables and figures; the column's if empty."""
    kind: Literal["numeric", "categorical"] = "numeric"
    levels: tuple[str, ...] = ()
    """Categorical: the levels in order, the first being the reference. Others are refused."""
    unit: str = ""
    """Numeric: the unit, for axis and table."""
    split_at: float | None = None
    """Numeric: where stratified analyses cut it; the median if not given."""
    missing_values: tuple[str, ...] = ("", "NA")
    """Texts that mean unknown in this column."""


class CohortSettings(Stage, frozen=True):
    """Patients, their follow-up, and the slides they have."""

    endpoint: EndpointSettings
    table: str = "clinical.csv"
    """CSV, TSV or Excel file; relative to the study file."""
    slide_folder: str = "slides"
    """Folder that holds every slide named in the table; relative to the study file."""
    columns: ColumnSettings = ColumnSettings()
    roles: RoleValues = RoleValues()
    covariates: tuple[Covariate, ...] = ()
    missing_values: tuple[str, ...] = ("", "NA")
    """Texts that mean unknown in the time, event and role columns."""

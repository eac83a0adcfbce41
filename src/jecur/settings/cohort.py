"""Settings of the cohort: columns, endpoint, roles, covariates."""

from collections.abc import Iterator
from datetime import date
from typing import Literal

from jecur.settings.base import Count, CountOrZero, Fraction, Positive, Probability, Seed, Stage

__all__ = [
    "CohortSettings",
    "ColumnSettings",
    "Covariate",
    "DateSettings",
    "EndpointKind",
    "EndpointSettings",
    "FactorScale",
    "RoleValues",
    "SplitSettings",
    "TableFormat",
    "TcgaEndpoint",
    "TcgaSettings",
    "TissueArrayMap",
]


class TableFormat(Stage, frozen=True):
    """How the table's file is written. What is left empty is found, told, and refused in doubt."""

    encoding: str = ""
    """Such as ``utf-8``, ``utf-16``, ``latin-1``; empty: a mark, else UTF-8, else Windows-1252."""
    delimiter: Literal["", ",", ";", "\t", "|"] = ""
    """Between cells; empty: what cuts the heading into most cells."""
    decimal: Literal["", ".", ","] = ""
    """Decimal mark; empty: a point, or what each column clearly uses in ``;`` files and in others that hold
    decimal commas."""
    sheet: str = ""
    """Excel: name of the sheet; the first if empty."""
    heading_row: CountOrZero = 0
    """Row of the column names, as a spreadsheet numbers it; 0: the first that is not empty. Rows above it
    are not read."""
    ignored_rows: tuple[Count, ...] = ()
    """Rows below the heading that are no patients (a legend, a sum), as a spreadsheet numbers them."""


class ColumnSettings(Stage, frozen=True):
    """The user's own column names in the clinical table: one row a patient."""

    patient: str = "patient_id"
    """Patient identifier, read as text: ``007`` stays ``007``."""
    time: str = "time"
    """Follow-up time to the event or to censoring."""
    event: str = "event"
    """Event indicator, coded as `EndpointSettings` declares."""
    role: str = "role"
    """Training, tuning or validation, coded as `CohortSettings.roles` declares; if empty, everybody
    is a validation patient."""
    slide: str = "slide"
    """Slide file name or names, separated by ``;``, under `CohortSettings.slide_folder`; if empty,
    patients need no slide (statistics of a table alone)."""
    site: str = ""
    """Hospital or tissue-source site; empty if unknown."""
    mpp: str = ""
    """Micrometers per pixel that overrides the slide file's; empty if there is no such column."""
    annotation: str = ""
    """File of drawn regions under `CohortSettings.annotation_folder`, one for each slide in the
    same order, separated by ``;``; empty: found by the slide's name."""


EndpointKind = Literal[
    "recurrence-free survival",
    "time to recurrence",
    "overall survival",
    "disease-specific survival",
]


class DateSettings(Stage, frozen=True):
    """Columns of dates from which time and event are derived, in place of `ColumnSettings.time`."""

    surgery: str
    """Start of the clock: resection or transplantation."""
    last_contact: str
    """Last day the patient was known to be alive."""
    recurrence: str = ""
    """First recurrence. Not used for overall survival."""
    death: str = ""
    """Death of any cause. If neither recurrence nor death is named, ``last_contact`` is the day on which
    follow-up ended, with the event or without, and the event column says which."""
    format: str = "%Y-%m-%d"
    """As in Python's ``strptime``: ``%d.%m.%Y``, ``%m/%d/%Y``. Excel's own date cells need none."""
    never_values: tuple[str, ...] = ("",)
    """Texts in the recurrence and death columns that mean it did not happen; other
    `CohortSettings.missing_values` mean unknown, and leave the patient out."""


class EndpointSettings(Stage, frozen=True):
    """What the time runs to, and how the table codes it. Nothing is guessed."""

    kind: EndpointKind
    """Recurrence-free survival counts death as an event; time to recurrence does not."""
    unit: Literal["", "days", "weeks", "months", "years"] = ""
    """Unit of the time column; needed unless ``dates`` are given."""
    event_values: tuple[str, ...] = ()
    """Texts in the event column that mean the event happened; needed unless ``dates`` are given."""
    censored_values: tuple[str, ...] = ()
    """Texts in the event column that mean it had not by the end of follow-up."""
    competing_values: tuple[str, ...] = ()
    """Texts in the event column that mean death without the event (time to recurrence: without
    recurrence; disease-specific survival: from another cause)."""
    competing_death: Literal["censors", "competes"] = "censors"
    """Death without the event ends follow-up like any censoring, or is a competing risk, which
    cumulative incidence and Fine-Gray models then see."""
    dates: DateSettings | None = None
    """Derive time and event from dates."""
    time_zero: Literal["exclude", "keep"] = "exclude"
    """Patients whose follow-up is 0: left out with that reason, or kept (they count in n, and are
    never at risk at an event). R and the published TCGA tables keep them."""
    definition: str = ""
    """Printed wherever a number appears; a sentence made from ``kind`` if empty."""

    def contradictions(self) -> Iterator[str]:
        """Yield what the endpoint lacks, or cannot mean."""
        lacking = [name for name in ("unit", "event_values") if not getattr(self, name)]
        if self.dates is None and lacking:
            yield f"expected `{'` and `'.join(lacking)}`, or [cohort.endpoint.dates], found none"
        whole = self.kind in {"recurrence-free survival", "overall survival"}
        if whole and (self.competing_values or self.competing_death == "competes"):
            yield (
                f"expected no competing death for {self.kind}, in which death is an event; "
                "list its texts under event_values"
            )


class RoleValues(Stage, frozen=True):
    """Texts in the role column for each role."""

    training: tuple[str, ...] = ("training", "train")
    tuning: tuple[str, ...] = ("tuning",)
    validation: tuple[str, ...] = ("validation", "test", "external validation")


FactorScale = Literal["linear", "log2", "log10"]


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
    """Numeric: where subgroup analyses cut it, in the table's own numbers; the median if not given."""
    scale: FactorScale = "linear"
    """Numeric: on which scale it enters every model. ``log2`` gives the hazard ratio per doubling,
    ``log10`` per tenfold; both need values above 0. Subgroups and baseline table stay as measured."""
    per: Positive | None = None
    """Numeric, linear: the hazard ratio is that of so many units (``per = 100``: per 100 ng/ml); of
    one unit if left out."""
    missing_values: tuple[str, ...] = ("", "NA")
    """Texts that mean unknown in this column."""
    beyond_limit: Literal["refuse", "limit", "missing"] = "refuse"
    """Numeric: what ``<2`` and ``>1000``, values beyond what the laboratory measures, count as: the limit
    itself, or unknown. How many there were is told."""

    def contradictions(self) -> Iterator[str]:
        """Yield what a factor of this kind has not, and texts with two meanings."""
        for name, none in (
            ("scale", "linear"),
            ("per", None),
            ("split_at", None),
            ("beyond_limit", "refuse"),
        ):
            value = getattr(self, name)
            if self.kind == "categorical" and value != none:
                yield f"expected no {name} for {self.column!r}, which is categorical, found {value!r}"
        if self.kind == "numeric" and self.levels:
            yield (
                f"expected no levels for {self.column!r}, which is numeric, found {self.levels!r}; write "
                'kind = "categorical" if they are levels'
            )
        for text in dict.fromkeys(self.levels):
            if self.levels.count(text) > 1:
                yield f"expected each level of {self.column!r} once, found {text!r} again"
            if text in self.missing_values:
                yield (
                    f"expected {text!r} of {self.column!r} in levels or in missing_values, found it in both"
                )
        if self.scale != "linear" and self.per is not None:
            step = {"log2": "doubling", "log10": "tenfold increase"}[self.scale]
            yield (
                f"expected `scale` or `per` for {self.column!r}, found both; with {self.scale} the "
                f"hazard ratio is that of a {step}"
            )


class TissueArrayMap(Stage, frozen=True):
    """One slide of a tissue array and the map that says which core is whose."""

    slide: str
    """Slide file under `CohortSettings.slide_folder`."""
    map: str
    """Core map with ``patient_id`` filled in (CSV or Excel, or GeoJSON); relative to the study."""
    mpp: Positive | None = None
    """Micrometers per pixel that overrides the slide file's."""


class SplitSettings(Stage, frozen=True):
    """Who is a validation patient, where the table does not say. Patients are divided, never slides."""

    by: Literal["fraction", "site", "date"] = "fraction"
    """``fraction``: drawn at random, with and without the event alike; ``site``: whole sites;
    ``date``: whoever was treated from a day on."""
    validation_fraction: Probability = 0.3
    """By fraction: share of the patients with, and of those without the event."""
    tuning_fraction: Fraction = 0.0
    """Share of the remaining patients with, and of those without the event, who get the tuning role."""
    validation_sites: tuple[str, ...] = ()
    """By site: texts of the site column; all other sites train."""
    date_column: str = ""
    """By date: the column; empty takes the day of surgery of ``[cohort.endpoint.dates]``."""
    date_format: str = ""
    """By date: as Python's ``strptime`` has it; empty takes that of ``[cohort.endpoint.dates]``, or
    ``%Y-%m-%d``."""
    validation_from: str = ""
    """By date: the first day of the validation patients, as ``2015-01-31``."""
    seed: Seed = 0
    """Of the draw: the same patients and seed give the same roles, whatever the order of the rows."""

    def contradictions(self) -> Iterator[str]:
        """Yield what the way of dividing lacks."""
        if self.by == "site" and not self.validation_sites:
            yield 'expected validation_sites for by = "site", found none; name the sites that validate'
        if self.by == "date":
            try:
                date.fromisoformat(self.validation_from)
            except ValueError:
                yield (
                    'expected validation_from for by = "date", a day such as 2015-01-31, found '
                    f"{self.validation_from!r}"
                )


class CohortSettings(Stage, frozen=True):
    """Patients, their follow-up, and the slides they have."""

    endpoint: EndpointSettings
    table: str = "clinical.csv"
    """CSV, TSV or Excel file; relative to the study file."""
    format: TableFormat = TableFormat()
    slide_folder: str = "slides"
    """Folder that holds every slide named in the table; relative to the study file."""
    tissue_arrays: tuple[TissueArrayMap, ...] = ()
    """Slides of tissue arrays: each core is a slide of the patient that its map names."""
    annotation_folder: str = ""
    """Folder of drawn regions, relative to the study file: ``.geojson``, ``.json`` or ``.xml`` under
    the slides' names, in the same subfolders as the slides. See ``[annotations]``."""
    columns: ColumnSettings = ColumnSettings()
    slide_list: str = ""
    """Table of slides, one row each: ``slide`` (file under `slide_folder`), ``patient_id``, and if need be
    ``mpp``; relative to the study file. Rows without a patient are slides left out on purpose. It takes the
    place of the slide column of the clinical table."""
    repeated_patients: Literal["refuse", "join"] = "refuse"
    """Several rows of one patient are refused, or joined into one: their slides are put together, and all
    else that is used must agree."""
    roles: RoleValues = RoleValues()
    split: SplitSettings | None = None
    """Divide the patients here, where the table has no column of roles."""
    covariates: tuple[Covariate, ...] = ()
    missing_values: tuple[str, ...] = ("", "NA")
    """Texts that mean unknown in the time, event, role and site columns."""
    implausible: Literal["refuse", "warn"] = "refuse"
    """Values that no patient can have (an age of 999, a last contact in the future, AFP of -1): refused,
    or, where they are true after all, told and kept."""

    def contradictions(self) -> Iterator[str]:
        """Yield factors named twice, or that are the follow-up itself."""
        columns = [covariate.column for covariate in self.covariates]
        for name in sorted({name for name in columns if columns.count(name) > 1}):
            yield f"expected each column once among the covariates, found {name!r} again"
        labels = list({c.column: c.label or c.column for c in self.covariates}.values())
        for label in sorted({label for label in labels if labels.count(label) > 1}):
            yield (
                f"expected another label for each covariate, found {label!r} again; tables could not tell "
                "them apart"
            )
        taken = {self.columns.patient: "patient"}
        if self.endpoint.dates is None:
            taken |= {self.columns.time: "time", self.columns.event: "event"}
        for name in columns:
            if name in taken:
                yield (
                    f"expected no covariate that is the {taken[name]} column, found {name!r}; take it out "
                    "of the covariates"
                )
        if self.split is None:
            return
        if self.columns.role:
            yield (
                f"expected roles from a column or from [cohort.split], found both ({self.columns.role!r}); "
                'write role = "" under [cohort.columns], or take [cohort.split] out'
            )
        if self.split.by == "site" and not self.columns.site:
            yield (
                'expected a site column for [cohort.split] by = "site", found none; name it under '
                "[cohort.columns]"
            )
        if self.split.by == "date" and not (self.split.date_column or self.endpoint.dates):
            yield 'expected date_column for [cohort.split] by = "date", found none'


TcgaEndpoint = Literal["dfs", "recurrence", "rfs", "os", "dfi", "pfi"]


class TcgaSettings(Stage, frozen=True):
    """Which patients of TCGA-LIHC, and what their time runs to."""

    endpoint: TcgaEndpoint = "dfs"
    """cBioPortal: ``dfs``, ``os``; BCR biotab: ``recurrence``, ``rfs``; TCGA-CDR: ``dfi``, ``pfi``."""
    histology: Literal["all", "hcc"] = "all"
    """``hcc`` leaves out fibrolamellar and mixed carcinoma."""
    residual: Literal["all", "exclude-r1-r2"] = "all"
    """``exclude-r1-r2`` keeps R0, RX and unknown: with ``hcc``, the paper's 302 patients and 165
    recurrences."""
    afp_cut: Positive = 20.0
    """AFP above this is positive, ng/ml. The paper does not tell its own cut; 15, 20, 400 and the
    laboratory's own limit give hazard ratios of 1.34, 1.27, 1.07 and 1.35 where it prints 1.38."""

"""Endpoints of TCGA-LIHC: which file each is from, and what it really is.

Every reader returns a frame indexed by patient: ``time``, ``event`` (one of `EVENT`, `CENSORED`,
`COMPETING`), ``reason`` (why there is none, "" if there is).
"""

import re
from pathlib import Path

import pandas as pd

from jecur.cohort.table import Table, name_rows
from jecur.cohort.tcga.files import MISSING, read_biotab
from jecur.errors import EndpointError
from jecur.settings import EndpointKind, EndpointSettings, TcgaEndpoint

__all__ = [
    "CENSORED",
    "COMPETING",
    "EVENT",
    "biotab_days",
    "biotab_endpoint",
    "cbioportal_endpoint",
    "cdr_endpoint",
    "contradictions",
    "endpoint_settings",
]

EVENT, CENSORED, COMPETING = "event", "censored", "death without recurrence"

_KINDS: dict[TcgaEndpoint, EndpointKind] = {
    "dfs": "time to recurrence",
    "recurrence": "time to recurrence",
    "rfs": "recurrence-free survival",
    "os": "overall survival",
    "dfi": "time to recurrence",
    "pfi": "time to recurrence",
}
_DEFINITIONS: dict[TcgaEndpoint, str] = {
    "dfs": (
        "cBioPortal DFS_MONTHS: months from diagnosis to a new tumor event or progression; patients "
        "who died without one have no DFS in that file and are left out, not censored"
    ),
    "recurrence": (
        "days from diagnosis to the first new tumor event of the BCR biotab files; death without "
        "one censors"
    ),
    "rfs": (
        "days from diagnosis to the first new tumor event of the BCR biotab files or death of any "
        "cause, whichever is first"
    ),
    "os": "cBioPortal OS_MONTHS: months from diagnosis to death of any cause",
    "dfi": (
        "TCGA-CDR disease-free interval: days from diagnosis to a new tumor event, of patients who "
        "were free of disease after treatment; death without one censors"
    ),
    "pfi": (
        "TCGA-CDR progression-free interval: days from diagnosis to a new tumor event or death "
        "with tumor; other death censors"
    ),
}
_STATUS = re.compile(r"(?:([01]):)?(.+)")
_TEXTS = {"DiseaseFree": "0", "Recurred/Progressed": "1", "LIVING": "0", "DECEASED": "1"}


def endpoint_settings(endpoint: TcgaEndpoint) -> EndpointSettings:
    """Say in a study file how `time` and `event` of the written table are coded."""
    return EndpointSettings(
        kind=_KINDS[endpoint],
        unit="months" if endpoint in {"dfs", "os"} else "days",
        event_values=(EVENT,),
        censored_values=(CENSORED,),
        competing_values=(COMPETING,) if endpoint == "recurrence" else (),
        time_zero="keep",
        definition=_DEFINITIONS[endpoint],
    )


def cbioportal_endpoint(table: Table, prefix: str) -> pd.DataFrame:
    """Read ``DFS`` or ``OS``, with and without ``0:`` and ``1:`` in front of the status.

    Raises
    ------
    EndpointError
        If a status is neither; names column and rows.
    """
    status = table.column(f"{prefix}_STATUS", "status")
    codes = {text: _code(text) for text in status.unique() if text not in MISSING}
    strange = status[status.isin([text for text, code in codes.items() if code is None])]
    if len(strange):
        raise EndpointError(
            f"{table.name}: expected 0:DiseaseFree, 1:Recurred/Progressed, 0:LIVING or 1:DECEASED, "
            f"with or without the number, in column '{status.name}', found {strange.iloc[0]!r} in "
            f"{name_rows(strange.index)}; give the file as downloaded"
        )
    unknown = status.isin(MISSING)
    event = status.map({t: EVENT if code == "1" else CENSORED for t, code in codes.items()})
    time = table.numbers(f"{prefix}_MONTHS", "time", MISSING)
    return _frame(table.column("PATIENT_ID", "patient"), time, event, unknown)


def cdr_endpoint(table: Table, name: str) -> pd.DataFrame:
    """Read ``DFI`` or ``PFI`` of TCGA-CDR, in days."""
    status = table.column(name, "status")
    strange = status[~status.isin(("0", "1", *MISSING, "#N/A"))]
    if len(strange):
        raise EndpointError(
            f"{table.name}: expected 0 or 1 in column '{name}', found {strange.iloc[0]!r} in "
            f"{name_rows(strange.index)}; give the file as downloaded"
        )
    time = table.numbers(f"{name}.time", "time", (*MISSING, "#N/A"))
    event = status.map({"1": EVENT, "0": CENSORED})
    return _frame(table.column("bcr_patient_barcode", "patient"), time, event, event.isna())


def biotab_days(folder: Path) -> pd.DataFrame:
    """Days of each patient from the patient, follow-up and new-tumor-event tables.

    Returns
    -------
    pandas.DataFrame
        Indexed by patient; float days from diagnosis, NaN where not told: recurrence_day (first
        new tumor event), recurrence_day_not_new_primary, death_day, last_contact_day.
    """
    patients = read_biotab(folder, "patient")
    follow_ups = read_biotab(folder, "follow_up_v4.0")
    events = [read_biotab(folder, "nte"), read_biotab(folder, "follow_up_v4.0_nte")]
    day = pd.concat([_days(t, "new_tumor_event_dx_days_to") for t in events])
    kind = pd.concat([_by_patient(t, "new_tumor_event_type") for t in events])
    recurred = day[(kind != "New Primary Tumor").to_numpy()]

    def latest(column: str) -> pd.Series:
        both = pd.concat([_days(patients, column), _days(follow_ups, column)])
        return both.groupby(level=0).max()

    days = pd.DataFrame(index=_by_patient(patients, "bcr_patient_barcode").index)
    days["recurrence_day"] = day.groupby(level=0).min()
    days["recurrence_day_not_new_primary"] = recurred.groupby(level=0).min()
    days["death_day"] = latest("death_days_to")
    days["last_contact_day"] = latest("last_contact_days_to")
    return days


def biotab_endpoint(days: pd.DataFrame, endpoint: TcgaEndpoint) -> pd.DataFrame:
    """Derive ``recurrence`` or ``rfs`` from `biotab_days`.

    The clock stops at the first new tumor event, else at the last day of contact or death. A
    patient of neither is left out.
    """
    end = days[["last_contact_day", "death_day"]].max(axis=1)
    recurred, died = days["recurrence_day"].notna(), days["death_day"].notna()
    event = pd.Series(CENSORED, index=days.index)
    event[died] = EVENT if endpoint == "rfs" else COMPETING
    event[recurred] = EVENT
    time = days["recurrence_day"].fillna(end)
    patients = pd.Series(days.index, index=days.index)
    frame = _frame(patients, time, event, pd.Series(data=False, index=days.index))
    frame.loc[end.isna(), "reason"] = "no day of last contact or death"
    return frame


def contradictions(folder: Path, frame: pd.DataFrame, endpoint: TcgaEndpoint) -> list[str]:
    """Say for whom the BCR biotab files contradict the endpoint that is read from them.

    Parameters
    ----------
    folder
        Of the biotab tables.
    frame
        Patients with an endpoint, of `biotab_endpoint`.
    endpoint
        "recurrence" or "rfs".
    """
    days = biotab_days(folder).reindex(frame.index)
    end = days[["last_contact_day", "death_day"]].max(axis=1)
    told = _told_of_event(folder) & set(frame.index[days["recurrence_day"].isna()])
    without = "death alone ends it" if endpoint == "rfs" else "counted as free of recurrence"
    found = {
        f"a new tumor event without a day ({without})": sorted(told),
        "a new tumor event after the last contact or death (its day is taken)": _those(
            days["recurrence_day"] > end
        ),
        "a contact after death (the last day is taken)": _those(
            days["last_contact_day"] > days["death_day"]
        ),
        "a day before diagnosis": _those((days < 0).any(axis=1)),
    }
    return [f"{len(who)} with {what}: {', '.join(who)}" for what, who in found.items() if who]


def _told_of_event(folder: Path) -> set[str]:
    """Patients of whom any table says that there was a new tumor event, with a day or without."""
    events = pd.concat(
        [
            _by_patient(read_biotab(folder, name), "new_tumor_event_type")
            for name in ("nte", "follow_up_v4.0_nte")
        ]
    )
    said = pd.concat(
        [
            _by_patient(read_biotab(folder, name), "new_tumor_event_dx_indicator")
            for name in ("patient", "follow_up_v4.0")
        ]
    )
    named = events[~events.isin((*MISSING, "No New Tumor Event"))]
    return {str(p) for p in (*named.index, *said.index[said == "YES"])}


def _those(which: pd.Series) -> list[str]:
    return sorted(str(patient) for patient in which.index[which])


def _frame(
    patients: pd.Series, time: pd.Series, event: pd.Series, unknown: pd.Series
) -> pd.DataFrame:
    reason = pd.Series("", index=time.index)
    reason[time.isna()] = "time unknown"
    reason[unknown] = "status unknown"
    columns = {"time": time, "event": event, "reason": reason}
    return pd.DataFrame(columns).set_index(pd.Index(patients, name="patient_id"))


def _code(text: str) -> str | None:
    match = _STATUS.fullmatch(text)
    if match is None:
        return None
    code = _TEXTS.get(match.group(2))
    return code if match.group(1) in (None, code) else None


def _by_patient(table: Table, column: str) -> pd.Series:
    patients = table.column("bcr_patient_barcode", "patient")
    return pd.Series(table.column(column, "value").to_numpy(), index=patients.to_numpy())


def _days(table: Table, column: str) -> pd.Series:
    days = table.numbers(column, "days", MISSING)
    return pd.Series(days.to_numpy(), index=table.column("bcr_patient_barcode", "patient"))

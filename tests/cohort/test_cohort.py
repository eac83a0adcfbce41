"""The cohort: nothing recoded, nobody lost, every refusal names column and row."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jecur.cohort.cohort import Patient, read_cohort
from jecur.cohort.selection import select_distinct_outcome
from jecur.errors import TableError
from jecur.settings import CohortSettings, ColumnSettings, Covariate, EndpointSettings

ENDPOINT = EndpointSettings(
    kind="recurrence-free survival", unit="months", event_values=("1",), censored_values=("0",)
)
HEADING = "patient_id,slide,role,time,event,age,stage\n"


def _read(tmp_path, body, heading=HEADING, **changes):
    (tmp_path / "clinical.csv").write_text(heading + body)
    settings = CohortSettings(
        endpoint=changes.pop("endpoint", ENDPOINT),
        covariates=(
            Covariate(column="age"),
            Covariate(column="stage", kind="categorical", levels=("I", "II")),
        ),
        **changes,
    )
    return read_cohort(settings, tmp_path)


GOOD = "007,a.svs;b.svs,training,12.5,1,60,I\n008,c.svs,validation,40,0,,NA\n"


def test_a_plain_table_is_read_as_it_stands(tmp_path):
    cohort = _read(tmp_path, GOOD)
    first, second = cohort.patients
    assert (first.id, first.role, first.months, first.event) == ("007", "training", 12.5, True)
    assert [s.id for s in first.slides] == ["a", "b"]
    assert first.slides[0].path == (tmp_path / "slides" / "a.svs").resolve()
    assert first.covariates == {"age": 60.0, "stage": "I"}
    assert second.covariates == {"age": None, "stage": None}
    assert cohort.excluded == ()


@pytest.mark.parametrize(
    ("unit", "months"), [("months", 12.0), ("years", 144.0), ("days", 12 * 12 / 365.25)]
)
def test_units_are_converted_as_declared(tmp_path, unit, months):
    endpoint = msgspec.structs.replace(ENDPOINT, unit=unit)
    cohort = _read(tmp_path, "a,a.svs,training,12,1,60,I\n", endpoint=endpoint)
    assert cohort.patients[0].months == pytest.approx(months)


def test_one_may_mean_censored_if_the_study_says_so(tmp_path):
    endpoint = msgspec.structs.replace(ENDPOINT, event_values=("2",), censored_values=("1",))
    cohort = _read(
        tmp_path, "a,a.svs,training,12,1,60,I\nb,b.svs,training,12,2,60,I\n", endpoint=endpoint
    )
    assert [p.event for p in cohort.patients] == [False, True]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("z,z.svs,validation,12,,60,I\n", "event unknown"),
        ("z,z.svs,validation,,1,60,I\n", "time unknown"),
        ("z,z.svs,validation,0,1,60,I\n", "no follow-up: time 0"),
        ("z,z.svs,validation,7.1e-15,1,60,I\n", "no follow-up: time 0"),
        ("z,z.svs,validation,-7.1e-15,1,60,I\n", "no follow-up: time 0"),
        ("z,z.svs,NA,12,1,60,I\n", "role unknown"),
        ("z,,validation,12,1,60,I\n", "no slide named"),
    ],
)
def test_a_patient_that_cannot_be_used_is_excluded_with_the_reason(tmp_path, row, reason):
    cohort = _read(tmp_path, GOOD + row)
    assert [(e.patient, e.reason) for e in cohort.excluded] == [("z", reason)]
    assert len(cohort.patients) == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("007,z.svs,training,12,1,60,I\n", r"'007' in rows 2, 4 \(with different content\)"),
        ("z,a.svs,training,12,1,60,I\n", r"'a.svs' in rows 2 and 4"),
        ("z,z.svs,training,-1,1,60,I\n", "found -1 in row 4"),
        ("z,z.svs,training,12,2,60,I\n", "found '2' in row 4"),
        ("z,z.svs,training,twelve,1,60,I\n", "found 'twelve' in row 4"),
        ("z,z.svs,trainig,12,1,60,I\n", "found 'trainig' in row 4"),
        ("z,z.svs,training,12,1,old,I\n", "column 'age', found 'old' in row 4"),
        ("z,z.svs,training,12,1,60,IV\n", "column 'stage', found 'IV' in row 4"),
        ("z,../../etc/passwd,training,12,1,60,I\n", "inside the slide folder"),
        ("z,/etc/passwd,training,12,1,60,I\n", "inside the slide folder"),
        (",z.svs,training,12,1,60,I\n", "found none in row 4"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(tmp_path, row, message):
    with pytest.raises(TableError, match=message):
        _read(tmp_path, GOOD + row)


def test_the_same_row_twice_is_said_to_be_the_same(tmp_path):
    with pytest.raises(TableError, match="the same"):
        _read(tmp_path, GOOD + GOOD.split("\n", maxsplit=1)[0] + "\n")


def test_slide_files_that_no_patient_names_are_told(tmp_path):
    (tmp_path / "slides" / "more").mkdir(parents=True)
    for name in ("a.svs", "stray.svs", "more/other.NDPI", "notes.txt"):
        (tmp_path / "slides" / name).touch()
    assert _read(tmp_path, GOOD).unmatched_slides == ("more/other.NDPI", "stray.svs")


def test_columns_are_the_users_own(tmp_path):
    cohort = _read(
        tmp_path,
        "x,s/1.svs,training,3,1,50,II\n",
        heading="Pat,File,Set,RFS,Rec,age,stage\n",
        columns=ColumnSettings(patient="Pat", slide="File", role="Set", time="RFS", event="Rec"),
    )
    assert cohort.patients[0].id == "x"
    assert cohort.patients[0].slides[0].id == "s__1"


patients = st.builds(
    lambda i, months, event: Patient(str(i), "training", months, event, "", (), {}),
    st.integers(),
    st.floats(0.01, 200),
    st.booleans(),
)


@given(st.lists(patients, max_size=30))
def test_everybody_is_good_poor_or_excluded(cohort):
    found = select_distinct_outcome(cohort, good_months=48.0, poor_months=19.2)
    assert len(found.good) + len(found.poor) + len(found.excluded) == len(cohort)
    assert all(p.months >= 48 for p in found.good)
    assert all(p.event and p.months < 19.2 for p in found.poor)


def test_borders_of_the_distinct_outcome():
    def outcome(months, event):
        patient = Patient("p", "training", months, event, "", (), {})
        found = select_distinct_outcome([patient], good_months=48.0, poor_months=19.2)
        return "good" if found.good else "poor" if found.poor else found.excluded[0].reason

    assert outcome(48.0, False) == "good"
    assert outcome(np.nextafter(48.0, 0), False).startswith("no distinct outcome: followed less")
    assert outcome(np.nextafter(19.2, 0), True) == "poor"
    assert outcome(19.2, True).startswith("no distinct outcome: event between")
    assert outcome(5.0, False).startswith("no distinct outcome: followed less")

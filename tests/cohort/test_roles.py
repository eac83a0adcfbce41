"""Patients divided where the table does not say who validates; rows that are no patients."""

import numpy as np
import pytest

from jecur.cohort.cohort import read_cohort
from jecur.cohort.roles import divide_patients
from jecur.errors import SettingsError, TableError
from jecur.settings import (
    CohortSettings,
    ColumnSettings,
    Covariate,
    EndpointSettings,
    SplitSettings,
    TableFormat,
)

N = 41
IDS = [f"P{k:02d}" for k in range(N)]
EVENT = [k % 3 == 0 for k in range(N)]
SITES = ["ABC"[k % 3] for k in range(N)]


def roles(split: SplitSettings, order=range(N)) -> dict[str, str | None]:
    found = divide_patients(
        split,
        [IDS[k] for k in order],
        [EVENT[k] for k in order],
        [SITES[k] for k in order],
        [None] * N,
    )
    return {IDS[k]: role for k, role in zip(order, found, strict=True)}


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.75])
def test_a_fraction_is_drawn_with_and_without_the_event_alike(share):
    found = roles(SplitSettings(validation_fraction=share))
    for happened in (True, False):
        group = [found[i] == "validation" for i, e in zip(IDS, EVENT, strict=True) if e == happened]
        assert abs(sum(group) - share * len(group)) <= 0.5


def test_the_order_of_the_rows_changes_nothing_and_the_seed_does():
    shuffled = np.random.default_rng(1).permutation(N).tolist()
    split = SplitSettings(tuning_fraction=0.2)
    assert roles(split) == roles(split, shuffled)
    assert roles(split) != roles(SplitSettings(tuning_fraction=0.2, seed=1))
    assert set(roles(split).values()) == {"training", "tuning", "validation"}


def test_sites_stay_whole_and_one_that_is_nobodys_is_named():
    found = roles(SplitSettings(by="site", validation_sites=("C",)))
    assert {s for i, s in zip(IDS, SITES, strict=True) if found[i] == "validation"} == {"C"}
    with pytest.raises(TableError, match=r"'A', 'B', 'C', found 'D'"):
        roles(SplitSettings(by="site", validation_sites=("D",)))


def table(tmp_path, body: str, heading="id,months,event,site,surgery,afp", **settings):
    (tmp_path / "t.csv").write_text(f"{heading}\n{body}")
    columns = ColumnSettings(
        patient="id",
        time="months",
        event="event",
        site="site",
        role="",
        slide="",
        **settings.pop("columns", {}),
    )
    endpoint = EndpointSettings(
        kind="time to recurrence", unit="months", event_values=("1",), censored_values=("0",)
    )
    plain = CohortSettings(endpoint=endpoint, table="t.csv", columns=columns, **settings)
    return read_cohort(plain, tmp_path)


BODY = "a,5,1,N,2010-01-01,3\nb,50,0,S,2012-01-01,<2\nc,7,1,S,2014-05-05,>500\nd,60,0,,,10\n"


def test_a_date_divides_and_who_has_none_is_left_out_with_the_reason(tmp_path):
    split = SplitSettings(by="date", date_column="surgery", validation_from="2012-01-01")
    found = table(tmp_path, BODY, split=split)
    assert {p.id: p.role for p in found.patients} == {
        "a": "training", "b": "validation", "c": "validation",
    }  # fmt: skip
    assert [(e.patient, e.reason) for e in found.excluded] == [("d", "date unknown")]


@pytest.mark.parametrize(
    ("how", "values"), [("limit", [3, 2, 500, 10]), ("missing", [3, None, None, 10])]
)
def test_limits_of_a_laboratory_count_as_declared_and_are_told(tmp_path, how, values):
    found = table(tmp_path, BODY, covariates=(Covariate(column="afp", beyond_limit=how),))
    assert [p.covariates["afp"] for p in found.patients] == values
    assert "rows 3, 4" in " ".join(found.notes)


def test_limits_are_refused_with_the_setting_that_reads_them(tmp_path):
    with pytest.raises(TableError, match=r"'<2' in row 3, '>500' in row 4.*beyond_limit"):
        table(tmp_path, BODY, covariates=(Covariate(column="afp"),))


def test_title_and_legend_are_no_patients(tmp_path):
    heading = "My study,,,,,\nid,months,event,site,surgery,afp"
    form = TableFormat(heading_row=2, ignored_rows=(7,))
    found = table(tmp_path, BODY + "Legend: x,,,,,\n", heading=heading, format=form)
    assert [p.id for p in found.patients] == ["a", "b", "c", "d"]
    assert "row 7" in found.source
    with pytest.raises(TableError, match="row 9, empty or beyond"):
        table(tmp_path, BODY, format=TableFormat(ignored_rows=(9,)))


def test_a_list_of_slides_joins_them_and_names_patients_it_does_not_know(tmp_path):
    (tmp_path / "list.csv").write_text(
        "slide,patient_id,mpp\na1.svs,a,0.5\nsub/a2.svs,a,\nx.svs,,\n"
    )
    found = table(tmp_path, BODY, slide_list="list.csv")
    slides = {p.id: [(s.path.name, s.mpp) for s in p.slides] for p in found.patients}
    assert slides == {"a": [("a1.svs", 0.5), ("a2.svs", None)]}
    assert {e.reason for e in found.excluded} == {"no slide named"}
    (tmp_path / "slides").mkdir()
    for name in ("x.svs", "y.svs"):
        (tmp_path / "slides" / name).touch()
    assert table(tmp_path, BODY, slide_list="list.csv").unmatched_slides == ("y.svs",)
    (tmp_path / "list.csv").write_text("slide,patient_id\na1.svs,z\n")
    with pytest.raises(TableError, match=r"found 'z' in row 2") as told:
        table(tmp_path, BODY, slide_list="list.csv")
    assert told.value.code == "unknown-patient"


def test_everything_that_is_wrong_is_said_at_once(tmp_path):
    body = "a,five,1,N,,x\na,50,2,S,,3\nc,-7,1,S,,4\n"
    with pytest.raises(TableError) as told:
        table(tmp_path, body, covariates=(Covariate(column="afp"), Covariate(column="bmi")))
    said = [part.message for part in told.value.parts]
    assert len(said) == 5
    for words in ("rows 2, 3", "'2' in row 3", "'five' in row 2", "'x' in row 2", "'bmi'"):
        assert any(words in message for message in said), words


def test_a_split_without_what_it_needs_is_refused():
    endpoint = EndpointSettings(kind="overall survival", unit="days", event_values=("1",))
    for split, words in (
        ({"by": "site"}, "validation_sites"),
        ({"by": "date", "validation_from": "soon"}, "2015-01-31"),
    ):
        with pytest.raises(SettingsError, match=words):
            SplitSettings(**split)
    with pytest.raises(SettingsError, match="found both"):
        CohortSettings(endpoint=endpoint, split=SplitSettings())

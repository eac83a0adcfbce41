"""TCGA-LIHC from the files as downloaded: the cohort R made, with every exclusion told."""

import itertools
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from jecur.cli import OK, USER_ERROR, run
from jecur.cohort.cohort import read_cohort
from jecur.cohort.tcga.endpoint import CENSORED, COMPETING, EVENT
from jecur.cohort.tcga.files import read_biotab, read_cbioportal_patients, read_manifest
from jecur.cohort.tcga.lihc import TcgaFiles, read_tcga_lihc
from jecur.errors import EndpointError, SettingsError, TableError
from jecur.settings import TcgaSettings, read_study

PAPER = {"histology": "hcc", "residual": "exclude-r1-r2"}


@pytest.fixture(scope="session")
def files(test_data):
    folder = test_data / "clinical"
    return TcgaFiles(
        cbioportal=folder / "cbioportal_rw723",
        biotab=folder / "biotab_thedunny",
        cdr=next((folder / "tcga_cdr").glob("*.TCGA-CDR.LIHC.tsv")),
        manifest=folder / "gdc_manifest_hccsurvnet" / "gdc_manifest_tcga_lihc.txt",
    )


def _without_slides(files):
    return TcgaFiles(files.cbioportal, files.biotab, files.cdr)


@pytest.fixture(scope="session")
def everybody(files):
    """R's table and ours, one row a patient, same order; nobody left out of ours but by time."""
    return read_tcga_lihc(_without_slides(files), TcgaSettings(endpoint="recurrence")).frame


@pytest.fixture(scope="session")
def gold_patients(gold):
    return pd.read_csv(
        gold / "data" / "tcga_lihc_patients.csv",
        dtype=str,
        na_values=[""],
        keep_default_na=False,
    ).set_index("patient_id")


@pytest.mark.parametrize(
    ("rule", "settings", "with_slides"),
    [
        ("A_cbio_all", {}, False),
        ("C_cbio_hcc_notR12", PAPER, False),
        ("D_slide", {}, True),
        ("D3_slide_hcc", {"histology": "hcc"}, True),
        ("E_biotab_rec_all", {"endpoint": "recurrence"}, False),
        ("E2_biotab_rec_hcc_notR12", {"endpoint": "recurrence", **PAPER}, False),
        ("F_biotab_rfs_all", {"endpoint": "rfs"}, False),
        ("F2_biotab_rfs_hcc_notR12", {"endpoint": "rfs", **PAPER}, False),
        ("G_cdr_dfi", {"endpoint": "dfi"}, False),
        ("H_cdr_pfi", {"endpoint": "pfi"}, False),
    ],
)
def test_every_rule_has_the_patients_and_events_that_r_counts(
    files, gold, rule, settings, with_slides
):
    chosen = files if with_slides else _without_slides(files)
    cohort = read_tcga_lihc(chosen, TcgaSettings(**settings))
    row = pd.read_csv(gold / "tcga" / "rule_sizes.csv").set_index("rule").loc[rule]
    assert (len(cohort.frame), cohort.events) == (row.n, row.events)
    scale = 1 if settings.get("endpoint", "dfs") == "dfs" else 12 / 365.25
    assert cohort.frame["time"].max() * scale == pytest.approx(row.max_t, rel=1e-12)
    assert (cohort.frame["time"] == 0).sum() == row.n_time0
    assert (cohort.frame["stage_group"] == "").sum() == row.stage_missing
    assert (cohort.frame["any_vascular_invasion"] == "").sum() == row.vi_missing
    assert cohort.frame["afp"].isna().sum() == row.afp_missing


def test_the_flow_adds_up_and_everybody_left_out_has_a_reason(files):
    cohort = read_tcga_lihc(files, TcgaSettings(**PAPER))
    left = [step.left for step in cohort.flow]
    assert left[0] == 377
    assert [a - b for a, b in itertools.pairwise(left)] == [
        step.excluded for step in cohort.flow[1:]
    ]
    assert left[-1] == len(cohort.frame)
    assert len(cohort.excluded) + len(cohort.frame) == 377
    assert all(e.reason for e in cohort.excluded)
    assert len({e.patient for e in cohort.excluded} | set(cohort.frame["patient_id"])) == 377


SAME_TEXT = (
    "sex",
    "histology",
    "grade",
    "residual",
    "stage",
    "vascular_invasion",
    "child_pugh",
    "ishak",
    "surgery",
    "neoadjuvant",
    "prior_malignancy",
    "tumor_status",
    "stage_group",
    "site",
)
GOLD_NAME = {"stage": "stage_raw", "stage_group": "stage3", "site": "tss"}


@pytest.mark.parametrize("column", SAME_TEXT)
def test_covariates_are_those_r_read(everybody, gold_patients, column):
    ours = everybody.set_index("patient_id")[column]
    theirs = gold_patients[GOLD_NAME.get(column, column)].fillna("").reindex(ours.index)
    # R's table has its commas replaced.
    assert ours.str.replace(",", ";").tolist() == theirs.tolist()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("age", "age"),
        ("afp", "afp"),
        ("afp_upper_limit", "afp_uln"),
        ("recurrence_day", "nte_first_day"),
        ("recurrence_day_not_new_primary", "nte_first_day_excl_new_primary"),
        ("death_day", "death_day"),
        ("last_contact_day", "last_contact_day"),
    ],
)
def test_numbers_are_those_r_read(everybody, gold_patients, ours, theirs):
    have = everybody.set_index("patient_id")[ours]
    want = pd.to_numeric(gold_patients[theirs]).reindex(have.index)
    np.testing.assert_array_equal(have.to_numpy(), want.to_numpy())


def test_times_and_events_of_every_patient_are_those_of_r(files, gold_patients):
    for endpoint, time, event in (
        ("dfs", "cbio_dfs_months", "cbio_dfs"),
        ("os", "os_months", "os"),
        ("recurrence", "rec_days", "rec"),
        ("rfs", "rfs_days", "rfs"),
        ("dfi", "cdr_dfi_days", "cdr_dfi"),
        ("pfi", "cdr_pfi_days", "cdr_pfi"),
    ):
        frame = read_tcga_lihc(_without_slides(files), TcgaSettings(endpoint=endpoint)).frame
        theirs = gold_patients.reindex(frame["patient_id"])
        np.testing.assert_array_equal(frame["time"], pd.to_numeric(theirs[time]))
        np.testing.assert_array_equal(frame["event"] == EVENT, theirs[event] == "1")


def test_deaths_without_recurrence_are_told_from_censoring(everybody, gold_patients):
    theirs = gold_patients.reindex(everybody["patient_id"])
    died = theirs["death_day"].notna() & theirs["nte_first_day"].isna()
    assert (everybody["event"] == COMPETING).tolist() == died.tolist()
    assert set(everybody["event"]) == {EVENT, CENSORED, COMPETING}


def test_no_vascular_invasion_is_no_missing_value(everybody):
    assert (everybody["vascular_invasion"] == "None").sum() > 200
    none = everybody[everybody["vascular_invasion"] == "None"]
    assert set(none["any_vascular_invasion"]) == {"no"}


def test_slides_are_those_of_the_manifest(files, gold_patients):
    frame = read_tcga_lihc(files, TcgaSettings()).frame.set_index("patient_id")
    assert frame["slide"].tolist() == gold_patients["dx_slides"].reindex(frame.index).tolist()
    by_id, _ = read_manifest(files.manifest, by_file_id=True)
    plain, _ = read_manifest(files.manifest, by_file_id=False)
    assert {p: [s.split("/")[1] for s in slides] for p, slides in by_id.items()} == plain


def test_command_prints_302_and_165_and_the_study_reads_the_table(files, tmp_path, capfd):
    out = tmp_path / "tcga" / "cohort.csv"
    arguments = ["--cbioportal", str(files.cbioportal), "--out", str(out), "--json"]
    options = ["--histology", "hcc", "--residual", "exclude-r1-r2"]
    assert run(["cohort", "tcga-lihc", *arguments, *options]) == OK
    facts = json.loads(capfd.readouterr().out)
    assert (facts["n"], facts["events"]) == (302, 165)
    assert facts["flow"][-1]["left"] == 302
    assert "left out, not censored" in facts["definition"]
    study = read_study(out.with_name("study.toml"))
    cohort = read_cohort(study.cohort, out.parent)
    assert len(cohort.patients) == 302
    assert sum(p.event for p in cohort.patients) == 165
    assert cohort.excluded == ()
    assert cohort.doubts == ()  # a check that cries wolf over real patients is read by nobody
    made = read_tcga_lihc(TcgaFiles(files.cbioportal), TcgaSettings(**PAPER)).frame
    assert [p.months for p in cohort.patients] == made["time"].tolist()
    stages = [p.covariates["stage_group"] or "" for p in cohort.patients]
    assert stages == made["stage_group"].tolist()
    out.with_name("study.toml").write_text("edited")
    assert run(["cohort", "tcga-lihc", *arguments]) == USER_ERROR
    assert "study-exists" in capfd.readouterr().err


def _edited(files, tmp_path, edit):
    shutil.copytree(files.cbioportal, tmp_path / "portal")
    path = tmp_path / "portal" / "data_clinical_patient.txt"
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    return TcgaFiles(tmp_path / "portal")


def test_status_without_numbers_in_front_is_the_same_cohort(files, tmp_path):
    def bare(text):
        for number, word in (
            ("1", "Recurred/Progressed"),
            ("0", "DiseaseFree"),
            ("0", "LIVING"),
            ("1", "DECEASED"),
        ):
            text = text.replace(f"{number}:{word}", word)
        return text

    plain = _edited(files, tmp_path, bare)
    assert "0:DiseaseFree" not in (plain.cbioportal / "data_clinical_patient.txt").read_text()
    for endpoint in ("dfs", "os"):
        settings = TcgaSettings(endpoint=endpoint)
        want = read_tcga_lihc(TcgaFiles(files.cbioportal), settings).frame
        pd.testing.assert_frame_equal(read_tcga_lihc(plain, settings).frame, want)


def test_a_status_nobody_knows_is_refused_with_its_row(files, tmp_path):
    for k, (old, new) in enumerate(
        [("1:Recurred/Progressed", "2:Recurred"), ("0:DiseaseFree", "1:DiseaseFree")]
    ):
        (tmp_path / str(k)).mkdir()
        wrong = _edited(files, tmp_path / str(k), lambda t, o=old, n=new: t.replace(o, n, 1))
        with pytest.raises(EndpointError, match=rf"'DFS_STATUS', found '{new}' in row \d+"):
            read_tcga_lihc(wrong, TcgaSettings())


def test_months_that_are_no_number_are_refused_with_their_row(files, tmp_path):
    wrong = _edited(files, tmp_path, lambda t: t.replace("\t3.35\n", "\tthree\n", 1))
    with pytest.raises(TableError, match=r"'DFS_MONTHS', found 'three' in row 7"):
        read_tcga_lihc(wrong, TcgaSettings())


def test_a_patient_twice_and_a_broken_row_are_refused(files, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    twice = _edited(files, tmp_path / "a", lambda t: t + t.splitlines()[-1] + "\n")
    with pytest.raises(
        TableError, match=r"each patient once in column 'PATIENT_ID'.*rows 382, 383"
    ):
        read_cbioportal_patients(twice.cbioportal)
    cut = _edited(files, tmp_path / "b", lambda t: t[: t.rindex("\t")] + "\n")
    with pytest.raises(TableError, match=r"74 cells in every row.*row 382"):
        read_cbioportal_patients(cut.cbioportal)


def test_biotab_needs_its_three_heading_rows(files, tmp_path):
    source = next(files.biotab.glob("*clinical_nte_lihc.txt"))
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / source.name).write_text("".join([lines[0], *lines[3:]]), encoding="utf-8")
    with pytest.raises(TableError, match="three heading rows"):
        read_biotab(tmp_path, "nte")
    with pytest.raises(TableError, match="found 0"):
        read_biotab(tmp_path, "patient")


@pytest.mark.parametrize(("endpoint", "option"), [("rfs", "--biotab"), ("dfi", "--cdr")])
def test_an_endpoint_without_its_file_says_which_option_is_missing(files, endpoint, option):
    with pytest.raises(SettingsError, match=option):
        read_tcga_lihc(TcgaFiles(files.cbioportal), TcgaSettings(endpoint=endpoint))

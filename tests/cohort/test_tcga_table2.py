"""The tables of docs/tcga.md: R's numbers, from the files as downloaded, and the page itself."""

import numpy as np
import pandas as pd
import pytest

table2 = pytest.importorskip("benchmarks.tcga_table2", reason="benchmarks are not shipped")
RULE = "C_cbio_hcc_notR12"


@pytest.fixture(scope="session")
def patients(test_data):
    return table2.read(test_data / "clinical")


def test_univariable_table_is_that_of_r(patients, gold):
    theirs = pd.read_csv(gold / "tcga" / "cox_univariable.csv")
    theirs = theirs[(theirs.rule == RULE) & (theirs.ties == "efron")].set_index("term")
    ours = table2.univariable(patients).set_index("term")
    _same(ours, theirs.reindex(ours.index))


def test_multivariable_tables_are_those_of_r(patients, gold):
    theirs = pd.read_csv(gold / "tcga" / "cox_multivariable.csv")
    theirs = theirs[(theirs.rule == RULE) & (theirs.ties == "efron")].set_index(["model", "term"])
    ours = table2.multivariable(patients).set_index(["model", "term"])
    assert len(ours) == len(theirs)
    _same(ours, theirs.reindex(ours.index))
    np.testing.assert_allclose(ours["lrt_p"], theirs["lrt_p"].reindex(ours.index), rtol=1e-8)
    zph = pd.read_csv(gold / "tcga" / "coxzph.csv")
    zph = zph[(zph.rule == RULE) & (zph["transform"] == "km") & zph["terms"]]
    overall = zph[zph.term == "GLOBAL"].set_index("model")["p"]
    np.testing.assert_allclose(
        ours["zph_p"], overall.reindex(ours.index.get_level_values(0)), rtol=1e-6
    )


def _same(ours, theirs):
    assert ours[["n", "events"]].to_numpy().tolist() == theirs[["n", "events"]].to_numpy().tolist()
    np.testing.assert_allclose(np.log(ours["HR"]), theirs["coef"], atol=1e-7)
    np.testing.assert_allclose(np.log(ours["lower"]), np.log(theirs["lo95"]), atol=1e-6)
    np.testing.assert_allclose(np.log(ours["upper"]), np.log(theirs["hi95"]), atol=1e-6)
    np.testing.assert_allclose(ours["z"], theirs["z"], atol=1e-6)


def test_stage_auc_is_that_of_timeroc_with_numbers_at_risk(patients, gold):
    theirs = pd.read_csv(gold / "timeauc" / "tdauc.csv")
    wanted = (theirs.dataset == f"tcga_{RULE}") & (theirs.marker == "stage_num")
    theirs = theirs[wanted & (theirs.method == "timeROC_marginal")]
    ours = table2.stage_auc(patients)
    np.testing.assert_allclose(ours["auc"], theirs["auc"], atol=1e-10)
    assert ours["n_at_risk"].tolist() == theirs["controls"].tolist()  # nobody at the horizon itself
    assert ours["cases"].tolist() == theirs["cases"].tolist()
    np.testing.assert_allclose(ours["se"], theirs["se"], rtol=2e-3)


def test_the_page_prints_what_the_program_computes(test_data):
    page = table2.Path(table2.__file__).parents[1] / "docs" / "tcga.md"
    assert table2.tables(test_data / "clinical").strip() in page.read_text(encoding="utf-8")

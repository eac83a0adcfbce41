"""`jecur evaluate`: a column of scores, ours or not, through every statistic, from the command line."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

from jecur.cli import OK, USER_ERROR, run
from jecur.cohort.table import read_table
from jecur.errors import TableError
from jecur.evaluation.score_table import read_scores, split_by_risk
from jecur.settings import ScoreSettings
from jecur.survival.concordance_index import harrell_concordance
from jecur.survival.cox import fit_cox

N = 90

STUDY = """
name = "Somebody's score"

[cohort]
table = "clinical.csv"

[cohort.columns]
patient = "id"
time = "rfs"
event = "status"
role = ""

[cohort.endpoint]
kind = "recurrence-free survival"
unit = "months"
event_values = ["relapse"]
censored_values = ["none"]
definition = "surgery to relapse or death"

[[cohort.covariates]]
column = "stage"
kind = "categorical"
levels = ["I", "II", "III"]

[[cohort.covariates]]
column = "age"
unit = "years"
"""


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(8)
    score = rng.normal(size=N)
    stage = rng.integers(0, 3, N)
    months = np.ceil(rng.exponential(30 * np.exp(-0.7 * score - 0.3 * stage)))
    end = rng.integers(20, 90, N)
    clinical = pd.DataFrame(
        {
            "id": [f"{k:03d}" for k in range(N)],
            "rfs": np.minimum(months, end),
            "status": np.where(months <= end, "relapse", "none"),
            "stage": np.array(["I", "II", "III"])[stage],
            "age": rng.integers(35, 80, N),
        }
    )
    return clinical, pd.DataFrame({"id": clinical["id"], "signature": score.round(6)})


@pytest.fixture
def study(tables, tmp_path):
    clinical, scores = tables
    (tmp_path / "study.toml").write_text(STUDY)
    clinical.to_csv(tmp_path / "clinical.csv", index=False)
    scores.to_csv(tmp_path / "scores.csv", index=False)
    return tmp_path


def _evaluate(folder, *more, column="signature", higher="worse"):
    declared = ["--higher", higher] if higher else []
    return run([
        "evaluate", "--scores", str(folder / "scores.csv"), "--study", str(folder / "study.toml"),
        "--out", str(folder / "out"), "--patient", "id", "--column", column, *declared, *more,
    ])  # fmt: skip


def _results(folder):
    return json.loads((folder / "out" / "statistics.json").read_text())


def _rewrite(folder, name, change):
    frame = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
    change(frame).to_csv(folder / name, index=False)


def test_everything_is_written_and_the_numbers_are_the_statistics_own(study, tables, capsys):
    clinical, scores = tables
    assert _evaluate(study, "--cutoff", "0.2", "--label", "Their signature", "--json") == OK
    printed = json.loads(capsys.readouterr().out)
    out = study / "out"
    written = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert {
        "statistics.json", "report.html", "exclusions.csv", "tables/univariable.csv",
        "tables/multivariable.csv", "tables/subgroups.csv", "tables/auc.csv", "tables/baseline.csv",
        "tables/checklist.csv", "tables/tables.html", "figures/kaplan_meier.svg",
        "figures/multivariable.svg", "figures/auc.svg", "figures/stratum_1_1.svg",
    } <= written  # fmt: skip
    event = (clinical["status"] == "relapse").to_numpy()
    high = (scores["signature"] > 0.2).to_numpy()
    ratio = fit_cox(high[:, None].astype(float), clinical["rfs"], event, names=("high",))
    (expected,) = ratio.hazard_ratios()
    found = _results(study)["validation"]
    assert found["n"] == printed["n"] == N
    assert found["hazard_ratio"]["estimate"] == pytest.approx(expected.estimate, rel=1e-12)
    assert found["hazard_ratio"]["lower"] == pytest.approx(expected.lower, rel=1e-12)
    c = harrell_concordance(scores["signature"], clinical["rfs"], event)
    assert found["concordance"]["estimate"] == pytest.approx(c.estimate, rel=1e-12)
    page = (out / "report.html").read_text()
    assert "Their signature" in page
    assert "surgery to relapse or death" in page
    assert "Research use only" in page
    assert "given with the scores" in page
    assert "<script" not in page


def test_the_other_direction_gives_the_same_patients_and_the_same_numbers(study):
    assert _evaluate(study, "--cutoff", "0.2") == OK
    straight = _results(study)["validation"]
    _rewrite(study, "scores.csv", lambda f: f.assign(signature=-f["signature"].astype(float)))
    assert _evaluate(study, "--cutoff", "-0.2", higher="better") == OK
    turned = _results(study)["validation"]
    for name in ("hazard_ratio", "concordance", "logrank"):
        assert turned[name] == straight[name]


def test_everybody_is_analyzed_or_listed_with_a_reason(study, capsys):
    def lose(frame):
        frame = frame[~frame["id"].isin(["003", "004"])].copy()
        frame.loc[frame["id"] == "007", "signature"] = "NA"
        stranger = pd.DataFrame({"id": ["900"], "signature": ["0.1"]})
        return pd.concat([frame, stranger])

    _rewrite(study, "scores.csv", lose)
    _rewrite(
        study, "clinical.csv", lambda f: f.assign(status=f["status"].where(f["id"] != "010", ""))
    )
    assert _evaluate(study, "--json") == OK
    printed = json.loads(capsys.readouterr().out)
    with (study / "out" / "exclusions.csv").open(newline="") as file:
        reasons = {row["patient_id"]: row["reason"] for row in csv.DictReader(file)}
    assert set(reasons) == {"003", "004", "007", "010", "900"}
    assert reasons["003"] == "no score"
    assert reasons["007"] == "score missing"
    assert reasons["900"] == "not in the clinical table"
    assert printed["n"] + printed["n_excluded"] == printed["n_in_table"] == N


@pytest.mark.parametrize(
    ("spelled", "left_out"),
    [
        ("True", 1),
        ("TRUE", 1),
        ("true", 1),
        ("1", 1),
        ("False", 0),
        ("FALSE", 0),
        ("0", 0),
        ("", 0),
    ],
)
def test_who_was_trained_on_is_left_out_as_a_spreadsheet_saves_it(tmp_path, spelled, left_out):
    path = tmp_path / "scores.csv"
    path.write_text(f"patient_id,risk,seen_in_training\nA,0.2,False\nB,0.7,{spelled}\n")
    found = read_scores(read_table(path), ScoreSettings())
    assert [bool(why) for why in found.unusable] == [False, bool(left_out)]


@pytest.mark.parametrize("spelled", ["WAHR", "VRAI", "yes", "2", "?"])
def test_a_truth_that_cannot_be_read_is_refused(tmp_path, spelled):
    path = tmp_path / "scores.csv"
    path.write_text(f"patient_id,risk,seen_in_training\nA,0.2,False\nB,0.7,{spelled}\n")
    with pytest.raises(TableError, match="expected True or False in column 'seen_in_training'"):
        read_scores(read_table(path), ScoreSettings())


def test_without_a_cutoff_the_median_is_called_no_locked_cutoff(study):
    assert _evaluate(study) == OK
    assert "no locked cut-off" in _results(study)["score"]["rule"]
    found = _results(study)["validation"]
    assert [group["n"] for group in found["groups"]] == [N // 2, N // 2]


def test_two_texts_are_two_groups_and_nothing_continuous_is_claimed(study):
    _rewrite(
        study,
        "scores.csv",
        lambda f: f.assign(signature=np.where(f["signature"].astype(float) > 0, "bad", "good")),
    )
    assert _evaluate(study, "--high-value", "bad", higher="") == OK
    found = _results(study)
    assert found["score"]["meaning"] == "group"
    assert found["validation"]["hazard_ratio"]["estimate"] > 1
    assert not (study / "out" / "figures" / "risk.svg").exists()


@pytest.mark.parametrize(
    ("name", "change", "more", "said"),
    [
        ("scores.csv", lambda f: pd.concat([f, f[:1]]), [], "'000' in rows 2, 92"),
        ("scores.csv", lambda f: f.assign(signature="high"), [], "signature"),
        ("scores.csv", lambda f: f.rename(columns={"signature": "other"}), [], "signature"),
        ("scores.csv", lambda f: f.assign(id="X" + f["id"]), [], "the same texts"),
        ("scores.csv", lambda f: f, ["--probability"], "between 0 and 1"),
        ("clinical.csv", lambda f: f.assign(status="perhaps"), [], "perhaps"),
        ("clinical.csv", lambda f: f.drop(columns="rfs"), [], "rfs"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_as_declared_is_refused_in_one_line(
    study, capsys, name, change, more, said
):
    _rewrite(study, name, change)
    assert _evaluate(study, *more) == USER_ERROR
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert not (study / "out" / "statistics.json").exists()


def test_a_direction_must_be_declared(study, capsys):
    assert _evaluate(study, higher="") == USER_ERROR
    assert "no-direction" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        ("scores.csv", lambda f: f.assign(signature="1"), ["hazard_ratio"]),
        ("clinical.csv", lambda f: f.assign(status="none"), ["hazard_ratio", "concordance"]),
        ("clinical.csv", lambda f: f.assign(status=["relapse"] + ["none"] * (N - 1)), []),
        ("clinical.csv", lambda f: f.assign(stage="II", age="60"), []),
    ],
    ids=["one-score", "no-event", "one-event", "constant-factors"],
)
def test_what_data_do_not_determine_is_said_not_to_be_estimable(study, name, change, what):
    _rewrite(study, name, change)
    assert _evaluate(study) == OK
    text = (study / "out" / "statistics.json").read_text()
    assert "NaN" not in text
    found = json.loads(text)["validation"]
    assert found["n"] == N
    for statistic in what:
        assert found[statistic]["estimate"] is None
        assert found[statistic]["reason"]
    for row in found["univariable"]:
        ratio = row["hazard_ratio"]
        assert (ratio["estimate"] is None) == bool(ratio["reason"])
        if "age" in change(pd.DataFrame({"status": ["none"] * N})) and row["label"] != "signature":
            assert ratio["estimate"] is None  # a constant factor
    assert (study / "out" / "report.html").exists()


def test_features_of_tiles_are_compared_over_tiles_and_over_patients(study):
    rng = np.random.default_rng(2)
    end = np.repeat(["high", "low"], 60)
    frame = pd.DataFrame(
        {
            "patient_id": [f"{k:03d}" for k in rng.integers(0, 30, 120)],
            "end": end,
            "trabecular": (rng.random(120) < np.where(end == "high", 0.7, 0.2)).astype(int),
            "steatosis": rng.integers(0, 2, 120),
        }
    )
    frame.to_csv(study / "tiles.csv", index=False)
    assert _evaluate(study, "--tiles", str(study / "tiles.csv")) == OK
    features = _results(study)["tile_features"]
    assert features["n_tiles"] == 120
    assert "trabecular" in json.dumps(features)
    assert "Features of tiles" in (study / "out" / "report.html").read_text()


def test_a_real_cohort_end_to_end(test_data, tmp_path):
    """hepatoCellular, 227 patients: a count of four adverse findings, fixed here, as the classifier."""
    source = test_data / "clinical" / "asaur_hepatoCellular" / "hepatoCellular.csv"
    frame = pd.read_csv(source, dtype=str, keep_default_na=False)
    adverse = sum(
        (frame[column] == value).astype(int)
        for column, value in (
            ("Tumorsize", "2"), ("Tumormultiplicity", "2"), ("Vascularinvasion", "1"), ("AFP", "2")
        )
    )  # fmt: skip
    frame.to_csv(tmp_path / "clinical.csv", index=False)
    pd.DataFrame({"id": frame["Number"], "signature": adverse}).to_csv(
        tmp_path / "scores.csv", index=False
    )
    text = (
        STUDY.replace('"id"', '"Number"')
        .replace('"rfs"', '"RFS"')
        .replace('"status"', '"Recurrence"')
    )
    text = (
        text.replace('"relapse"', '"1"')
        .replace('"none"', '"0"')
        .replace('column = "age"', 'column = "Age"')
    )
    text = text.replace('column = "stage"', 'column = "BCLC"').replace(
        '["I", "II", "III"]', '["1", "2"]'
    )
    (tmp_path / "study.toml").write_text(text)
    assert _evaluate(tmp_path, "--cutoff", "1") == OK
    found = _results(tmp_path)["validation"]
    assert (found["n"], found["events"]) == (227, 143)
    event = (frame["Recurrence"] == "1").to_numpy()
    c = harrell_concordance(adverse, frame["RFS"].astype(float), event)
    assert found["concordance"]["estimate"] == pytest.approx(c.estimate, rel=1e-12)
    assert found["hazard_ratio"]["lower"] > 1


def _split(column, matched, **options):
    frame = pd.DataFrame({"patient_id": [f"p{k}" for k in range(len(column))], "s": column})
    path = options.pop("path")
    frame.to_csv(path, index=False)
    settings = ScoreSettings(column="s", higher=options.pop("higher", "worse"), **options)
    given = read_scores(read_table(path), settings)
    return split_by_risk(given.risk[matched], given, settings)


def test_a_rule_says_what_was_done_in_figures_that_are_the_cutoff(tmp_path):
    path = tmp_path / "s.csv"
    everybody = [0, 1, 2, 3]
    long = _split([0.1, 1234566.5, 1234567.5, 9e9], everybody, cutoff=1234567.25, path=path)
    assert "above 1234567.25," in long.rule
    assert long.high_risk.tolist() == [False, False, True, True]
    close = _split([1000001, 1000002, 1000001, 1000002], everybody, path=path)
    assert "s is 1000002; there are two groups" in close.rule
    alone = _split([5, 5, 5, 5], everybody, path=path)
    assert "Nobody is called high risk: s is 5 in everybody" in alone.rule
    assert not alone.high_risk.any()
    for higher, high in (("worse", 1), ("better", 0)):
        one = _split([0, 0, 1, 1], [2, 3] if high else [0, 1], higher=higher, path=path)
        assert f"s is {high}; there are two groups" in one.rule
        assert (
            one.high_risk.all()
        )  # the others have no follow-up, and are the low ones all the same


def test_the_report_counts_beyond_the_cutoff_whom_the_statistics_do(study, tables):
    _, scores = tables
    p = (scores["signature"].rank() - 1) / len(scores)
    _rewrite(study, "scores.csv", lambda f: f.assign(signature=p.where(p > 0.3, 0).astype(str)))
    assert _evaluate(study, "--probability", "--cutoff", "0") == OK
    found = _results(study)["validation"]
    high = next(g["n"] for g in found["groups"] if g["name"] == "high")
    assert f"{high} of {found['n']} patients lie above the cut-off of 0 and" in (
        study / "out" / "report.html"
    ).read_text(encoding="utf-8")

"""The public face reads as its page says, and gives what the command line gives."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.model_files import write_toy

import jecur as jc
from jecur import survival as sv
from jecur.cli import OK, run
from jecur.errors import JecurError, SettingsError

ROOT = Path(__file__).resolve().parents[2]
_STUDY = (
    'name = "n"\n[cohort]\ntable = "c.csv"\n[cohort.columns]\ntime = "months"\nevent = "relapse"\n'
    '[cohort.endpoint]\nkind = "time to recurrence"\nunit = "months"\n'
    'event_values = ["1", "1.0"]\ncensored_values = ["0", "0.0"]\n'
)
ENDPOINT = {"kind": "time to recurrence", "unit": "months", "event_values": ("1",)}


def _tables(n: int = 120):
    rng = np.random.default_rng(3)
    x = rng.normal(size=n)
    time, end = rng.exponential(40 * np.exp(-x)) + 1, rng.uniform(20, 90, n)
    ids = [f"{i:03}" for i in range(n)]
    clinical = pd.DataFrame(
        {
            "patient_id": ids,
            "months": np.minimum(time, end).round(1),
            "relapse": (time <= end).astype(float),
        }
    )
    return pd.DataFrame({"patient_id": ids, "score": x}), clinical


def _evaluate(scores, clinical, **options):
    endpoint = jc.EndpointSettings(**ENDPOINT, censored_values=("0",))
    return jc.evaluate(
        scores,
        clinical,
        **{"endpoint": endpoint, "score": "score", "time": "months", "event": "relapse"} | options,
    )


@pytest.mark.parametrize("room", [jc, sv])
def test_names_page_and_docstrings_say_the_same(room):
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    told = re.findall(rf"^::: {re.escape(room.__name__)}\.(\w+)$", page, re.MULTILINE)
    assert sorted(told) == sorted(room.__all__)
    homes = [name for names in room._HOMES.values() for name in names]
    assert sorted(homes) == sorted(room.__all__)
    for name in room.__all__:
        thing = getattr(room, name)
        assert callable(thing), name  # and not a module of the same name
        assert (thing.__doc__ or "").strip(), name
    with pytest.raises(AttributeError):
        _ = room.no_such_name


def test_importing_loads_nothing_heavy():
    code = "import sys, jecur, jecur.survival; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"numpy", "pandas", "torch", "scipy", "matplotlib"} & set(loaded.stdout.split())


def test_scores_are_evaluated_from_data_frames(tmp_path):
    scores, clinical = _tables()
    result = _evaluate(scores, clinical, higher="worse")
    direct = sv.concordance(scores["score"], clinical["months"], clinical["relapse"])
    shown = result.table("concordance") if "concordance" in result.tables else None
    assert result.statistics.n == len(scores)
    assert shown is None or len(shown)
    found = result.table("discrimination").select_dtypes("number").to_numpy().ravel()
    assert np.isclose(found, direct.estimate, atol=1e-9).any()
    assert result.figure("kaplan_meier").svg.lstrip().startswith("<")
    assert len(result.table("cox"))
    assert result.report(tmp_path / "out").is_file()
    assert "<b>" in result._repr_html_()
    with pytest.raises(SettingsError):
        result.report(tmp_path / "out")  # not over what is there
    with pytest.raises(SettingsError, match="multivariable"):
        result.table("coxx")
    turned = _evaluate(scores.assign(score=-scores["score"]), clinical, higher="better")
    pd.testing.assert_frame_equal(turned.table("discrimination"), result.table("discrimination"))


@pytest.mark.parametrize("higher", ["", "wrose", None])
def test_the_direction_of_a_score_is_one_of_two(higher):
    with pytest.raises(SettingsError, match="'worse', 'better'"):
        _evaluate(*_tables(), higher=higher)


def test_no_direction_is_assumed():
    with pytest.raises(SettingsError, match="higher"):
        _evaluate(*_tables())


def test_a_real_slide_is_opened_surveyed_and_scored(test_data, tmp_path):
    path = test_data / "slides" / "svs_cmu1_small_region" / "CMU-1-Small-Region.svs"
    with jc.open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.499)
        assert slide.read_region(0, 0, 256, 64).shape == (64, 64, 3)
        found = jc.survey(slide)
        assert found.status in {"ok", "flagged"}
        assert found.tiles["scored"].sum() == found.found.n_tiles > 0
        assert found._repr_png_().startswith(b"\x89PNG")
    model = jc.load_model(write_toy(tmp_path / "m.jecur"))
    assert model.cutoff == model.card.cutoff
    assert model.direction
    risk = model.score(path)
    assert 0 <= risk.risk <= 1
    assert risk.group == ("high" if risk.risk > model.cutoff else "low")
    assert {"x", "y", "score", "contribution"} <= set(risk.tiles)
    assert risk.heatmap().ndim == 3
    with pytest.raises(JecurError):
        model.score(tmp_path / "absent.svs")


def test_five_lines_of_statistics():
    scores, table = _tables()
    assert sv.kaplan_meier(table["months"], table["relapse"]).median().n == len(table)
    x = scores[["score"]].rename(columns={"score": "age"})
    assert sv.fit_cox(x, table["months"], table["relapse"]).hazard_ratios()[0].name == "age"


def test_a_risk_that_is_no_probability_is_taken_once_that_is_said():
    scores, clinical = _tables()
    scores = scores.rename(columns={"score": "risk"})
    with pytest.raises(JecurError, match="probability=False"):
        _evaluate(scores, clinical, score="risk", higher="worse")
    found = _evaluate(scores, clinical, score="risk", higher="worse", probability=False)
    assert found.statistics.n == len(scores)


def test_patients_may_be_the_index_and_a_cutoff_of_any_float():
    scores, clinical = _tables()
    plain = _evaluate(scores, clinical, higher="worse", cutoff=0.5)
    indexed = _evaluate(
        scores.set_index("patient_id"),
        clinical.set_index("patient_id"),
        higher="worse",
        cutoff=np.float32(0.5),
    )
    pd.testing.assert_frame_equal(indexed.table("cox"), plain.table("cox"))


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("higher", ["worse", "better"])
def test_a_score_at_the_cutoff_is_not_beyond_it_whatever_the_kind_of_number(kind, higher):
    scores, clinical = _tables()
    scores["score"] = scores["score"].round(2)
    sign = 1 if higher == "worse" else -1
    # one that float32 rounds to the other side
    near = [c for c in scores["score"].sort_values() if sign * (float(np.float32(c)) - c) < 0]
    cutoff = near[len(near) // 2]
    beyond = scores["score"] > cutoff if higher == "worse" else scores["score"] < cutoff
    assert (scores["score"] == cutoff).any()
    typed = scores.assign(score=scores["score"].astype(kind))
    found = _evaluate(typed, clinical, higher=higher, cutoff=np.dtype(kind).type(cutoff))
    sizes = {group.name: group.n for group in found.statistics.groups}
    assert sizes["high"] == beyond.sum()


@pytest.mark.parametrize("kind", [complex, object])
def test_complex_scores_are_no_scores(kind):
    scores, clinical = _tables()
    odd = scores.assign(score=scores["score"].astype(complex).astype(kind))
    with pytest.raises(JecurError, match="expected real numbers, found complex ones in column sco"):
        _evaluate(odd, clinical, higher="worse")


def _with_roles():
    scores, clinical = _tables(60)
    return scores, clinical.assign(role=np.where(np.arange(60) < 20, "training", "validation"))


def test_levels_and_years_stay_what_they_are_and_the_tables_given_too():
    scores, clinical = _with_roles()
    clinical["cirrhosis"] = np.resize(["None", "01", "NA?"], 60)
    clinical["year"] = np.resize(np.arange(2001, 2020), 60)
    before = clinical.copy(), scores.copy()
    factor = {"column": "cirrhosis", "kind": "categorical", "levels": ("None", "01", "NA?")}
    covariates = jc.Covariate(**factor), jc.Covariate(column="year")
    result = _evaluate(scores, clinical, higher="worse", label="Signature", covariates=covariates)
    assert result.statistics.label == "Signature"
    assert set(result.excluded["reason"]) == {"training role"}
    assert result.table("subgroups")["level"].tolist()[:3] == ["None", "01", "NA?"]
    year = result.table("baseline").set_index("factor").loc["year", "all"]
    assert re.fullmatch(r"20\d\d \(20\d\d–20\d\d\)", year)
    assert clinical.equals(before[0])
    assert scores.equals(before[1])


def test_roles_count_as_on_the_command_line_and_the_numbers_are_the_same(tmp_path):
    scores, clinical = _with_roles()
    result = _evaluate(scores, clinical, higher="worse")
    scores.to_csv(tmp_path / "s.csv", index=False)
    clinical.to_csv(tmp_path / "c.csv", index=False)
    (tmp_path / "study.toml").write_text(_STUDY)
    told = run([
        "evaluate", "--scores", str(tmp_path / "s.csv"), "--column", "score", "--higher", "worse",
        "--study", str(tmp_path / "study.toml"), "--out", str(tmp_path / "out"),
    ])  # fmt: skip
    assert told == OK
    found = json.loads((tmp_path / "out" / "statistics.json").read_text())["validation"]
    assert found["n"] == result.statistics.n == 40
    assert found["hazard_ratio"]["estimate"] == result.statistics.hazard_ratio.estimate
    assert found["concordance"]["lower"] == result.statistics.concordance.lower


def test_a_table_of_another_library_is_named():
    class DataFrame:
        __module__ = "polars.dataframe.frame"

    with pytest.raises(JecurError, match="of pandas, found DataFrame of polars"):
        _evaluate(DataFrame(), _tables()[1], higher="worse")


def test_two_texts_and_features_of_tiles_are_taken_as_on_the_command_line(tmp_path):
    scores, clinical = _tables()
    scores["score"] = np.where(scores["score"] > 0, "hoch", "tief")
    rng = np.random.default_rng(5)
    tiles = pd.DataFrame({
        "patient_id": np.resize(scores["patient_id"], 40),
        "end": np.resize(["high", "low"], 40),
        "stroma": pd.array(rng.integers(0, 2, 40), dtype="Int64"),
    })  # fmt: skip
    result = _evaluate(scores, clinical, high_value="hoch", tiles=tiles)
    for name, table in {"s": scores, "c": clinical, "t": tiles}.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "study.toml").write_text(_STUDY)
    told = run([
        "evaluate", "--scores", str(tmp_path / "s.csv"), "--column", "score", "--high-value", "hoch",
        "--tiles", str(tmp_path / "t.csv"), "--study", str(tmp_path / "study.toml"),
        "--out", str(tmp_path / "out"),
    ])  # fmt: skip
    assert told == OK
    found = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert (
        found["validation"]["hazard_ratio"]["estimate"] == result.statistics.hazard_ratio.estimate
    )
    (row,) = found["tile_features"]["rows"]
    assert result.features.rows[0].p == row["p"]
    assert result.table("tile_features")["feature"].tolist() == ["stroma"]
    with pytest.raises(SettingsError, match="higher"):
        _evaluate(scores, clinical, high_value="hoch", higher="upward")
    with pytest.raises(JecurError, match="'hohc'"):
        _evaluate(scores, clinical, high_value="hohc")


def test_our_own_risks_need_no_direction():
    scores, clinical = _tables()
    own = scores.assign(risk=scores["score"].rank(pct=True))
    plain = _evaluate(own, clinical, score="risk")
    said = _evaluate(own, clinical, score="risk", higher="worse")
    assert plain.statistics.hazard_ratio == said.statistics.hazard_ratio


@pytest.mark.parametrize("texts", [("train", "test"), ("Training", "Validation")])
def test_roles_in_a_column_that_nobody_named_are_not_passed_over(texts):
    scores, clinical = _tables()
    clinical["Set"] = [texts[k % 2] for k in range(len(clinical))]
    with pytest.raises(JecurError, match="in column 'Set'; name it"):
        _evaluate(scores, clinical, higher="worse")
    everybody = _evaluate(scores, clinical, higher="worse", role="").statistics.n
    assert everybody == len(clinical)
    clinical["Set"] = ["tested", "not tested"] * (len(clinical) // 2)  # no roles
    assert _evaluate(scores, clinical, higher="worse").statistics.n == everybody

"""What the page of the Python interface shows runs line by line, and objects show themselves."""

import re
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.virtual.tiny_study import quick_study

import jecur as jc
from jecur.runs import worker_pool
from jecur.runs.cores import cores
from jecur.settings import (
    SimulationSettings,
    TilingSettings,
    TrainingSettings,
    write_study,
)
from jecur.simulate.cohort import simulate_cohort

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def _cohort(n: int = 90) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Risks and follow-up of patients whose hazard rises with the risk."""
    rng = np.random.default_rng(3)
    x, age = rng.normal(size=n), rng.normal(60, 9, n).round()
    time, end = rng.exponential(40 * np.exp(-x)) + 1, rng.uniform(20, 90, n)
    ids = [f"{i:03}" for i in range(n)]
    scores = pd.DataFrame({"patient_id": ids, "risk": 1 / (1 + np.exp(-x))})
    follow_up = {"time": np.minimum(time, end).round(1), "event": (time <= end).astype(int)}
    return scores, pd.DataFrame({"patient_id": ids, "age": age, **follow_up})


def _small_study(folder: Path) -> None:
    """Study file of 10 virtual patients to train on and 8 to validate with, in ``folder``."""
    settings = SimulationSettings(
        n_training=10, n_validation=8, seed=4, size_px=512, tissue_fraction=0.8, n_sites=1
    )
    simulate_cohort(settings, folder)
    table = pd.read_csv(folder / "clinical.csv")
    table["recurrence"] = [1, 0] * 9  # both outcomes in every fold
    table["months"] = [5.0 + i if i % 2 == 0 else 60.0 + i for i in range(18)]
    table.to_csv(folder / "clinical.csv", index=False)
    training = TrainingSettings.from_flat(
        encoder="mobilenetv2_035", start="random", epochs=1, frozen_blocks=6, tiles_per_bag=1,
        good_months=30.0, poor_months=29.0,
    )  # fmt: skip
    study = msgspec.structs.replace(
        quick_study("Small", training),
        tiling=TilingSettings(max_tiles=2),
    )
    (folder / "study.toml").write_text(write_study(study))


@pytest.fixture(scope="module")
def shown(test_data, tiny_model, tmp_path_factory):
    """Everything that the page's blocks bind, run where its files are."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "a.svs").symlink_to(
        test_data / "slides" / "svs_cmu1_small_region" / "CMU-1-Small-Region.svs"
    )
    (folder / "hcc.jecur").symlink_to(tiny_model)
    _small_study(folder)
    scores, clinical = _cohort()
    table = scores.merge(clinical)
    given = {"scores": scores, "clinical": clinical, "table": table}
    given |= {"months": table["time"], "event": table["event"]}
    started = []
    start = worker_pool.SpawnProcess.start

    def told(process):
        started.append(process.name)
        start(process)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(worker_pool.SpawnProcess, "start", told)
        for block in BLOCKS:
            exec(compile(block, str(PAGE), "exec"), given)  # noqa: S102 - our own page
    return SimpleNamespace(**given, folder=folder, started=started)


def _picture(png: bytes) -> np.ndarray:
    with Image.open(BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_slide_and_what_was_found_on_it(shown):
    assert shown.slide.mpp == pytest.approx(0.499)
    assert (shown.slide.size.width, shown.slide.size.height) == (2220, 2967)
    assert shown.survey.status in {"ok", "flagged"}
    assert shown.survey.tissue_mm2 > 0.1
    assert shown.survey.tiles["scored"].any()
    picture = _picture(shown.survey._repr_png_())
    assert picture.std() > 10  # a slide, not a blank sheet
    assert np.array_equal(picture, shown.survey.picture())


def test_a_model_and_a_risk_with_its_heat_map(shown):
    model, risk = shown.model, shown.risk
    assert model.cutoff == model.card.cutoff == pytest.approx(0.4457)
    assert "earlier" in model.direction
    assert 0 < risk.risk < 1
    assert risk.group == ("high" if risk.risk > model.cutoff else "low")
    assert len(risk.tiles) > 0
    assert risk.tiles["score"].notna().all()
    assert risk.virtual
    assert "no meaning for real slides" in repr(risk)
    assert np.array_equal(_picture(risk._repr_png_()), risk.heatmap())
    assert risk.heatmap().std() > 10


def test_an_evaluation_shows_its_finding_tables_and_figures(shown):
    result = shown.result
    assert "high-risk patients" in result._repr_html_().lower()
    assert {"hazard_ratio", "ci_low", "ci_high"} & set(result.table("cox").columns)
    assert "<svg" in result.figure("kaplan_meier")._repr_svg_()
    assert (shown.folder / "out" / "report.html").is_file()
    assert (shown.folder / "out" / "figures" / "kaplan_meier.svg").read_text() == (
        result.figure("kaplan_meier").svg
    )


def test_a_study_is_run_and_cross_validated(shown):
    assert shown.run.statistics.n == 8
    assert shown.run.report == Path("run/report.html")
    assert (shown.folder / shown.run.report).is_file()
    assert (shown.folder / shown.run.model).is_file()
    assert shown.cv.statistics.n == 18 - 8  # patients of the validation role are left alone
    assert len(shown.cv.statistics.folds) == 5
    held_out = pd.read_csv(shown.folder / shown.cv.scores)
    assert held_out["patient_id"].is_unique


def test_processes_serve_all_stages_of_a_call_and_all_folds(shown):
    """As on the command line: each start costs a second or two."""
    of_one_call = cores()
    assert 0 < len(shown.started) <= 1 + 2 * of_one_call  # score, run and cross_validate


def test_the_same_lines_of_statistics_as_on_the_page(shown):
    from_report = shown.result.table("discrimination")
    direct = shown.sv.concordance(shown.table["risk"], shown.months, shown.event)
    assert np.isclose(from_report.select_dtypes("number"), direct.estimate, atol=1e-9).any()


def test_a_cohort_looked_over_shows_its_counts_and_findings(tiny_study):
    found = jc.check(jc.read_study(tiny_study))
    assert found._repr_html_().startswith("<p><b>16 patients used")
    assert "V-0016" in repr(found)
    assert "missing-file" in found._repr_html_()


def test_results_show_themselves_in_a_notebook_in_a_few_lines(shown):
    for thing in (shown.run, shown.cv, shown.result, shown.study):
        assert 10 < len(repr(thing)) < 2000, type(thing)
    assert shown.run._repr_html_().startswith("<p><b>")
    assert 'href="run/report.html"' in shown.run._repr_html_()
    assert 'href="cv/report.html"' in shown.cv._repr_html_()
    assert "concordance" in repr(shown.cv).lower()

"""A small study whose statistics are computed, not typed."""

import io

import numpy as np
import pytest
from PIL import Image

from jecur.report.content import (
    FlowStep,
    HeatmapPicture,
    PlantedFeature,
    PlantedTruth,
    Reason,
    ReportContent,
    RiskValues,
    SlideRow,
    TilePicture,
)
from jecur.report.tables.baseline import Factor, baseline_table
from jecur.settings import CohortSettings, EndpointSettings, StatisticsSettings, StudySettings
from jecur.statistics.evaluate import evaluate
from jecur.statistics.results import CovariateColumn, EvaluationInput

KIND = "recurrence-free survival"


def picture(kind="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 120, 160)).save(stream, kind)
    return stream.getvalue()


def make_statistics(*, n=90, effect=1.2, direction=1.0, seed=2):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    event_time = rng.exponential(40 * np.exp(-direction * effect * truth))
    censoring = rng.uniform(8, 75, n)
    months, event = np.minimum(event_time, censoring), event_time <= censoring
    risk = 1 / (1 + np.exp(-truth))
    stage = np.where(truth + rng.normal(size=n) > 0.5, "III/IV", "I/II")
    covariates = (
        CovariateColumn("stage", "Stage", "categorical", tuple(stage), reference="I/II"),
        CovariateColumn("flat", "Spread", "categorical", ("no",) * n),
    )
    patients = EvaluationInput(
        tuple(f"P{i}" for i in range(n)),
        months,
        event,
        risk,
        risk > 0.4457,
        KIND,
        "Months to recurrence or death.",
        covariates,
    )
    settings = StatisticsSettings(horizons_months=(12.0, 24.0, 36.0), multivariable="all")
    return patients, evaluate(patients, settings=settings)


@pytest.fixture(scope="session")
def study():
    return make_statistics()


@pytest.fixture(scope="session")
def content(study):
    patients, statistics = study
    n = statistics.n
    endpoint = EndpointSettings(
        kind=KIND, unit="months", event_values=("1",), censored_values=("0",)
    )
    return ReportContent(
        title="A <b>study</b> & more",
        created="2026-01-31",
        endpoint_name=KIND,
        endpoint_definition=statistics.endpoint_definition,
        flow=(
            FlowStep("in the table", n + 5, (Reason("no follow-up", 2), Reason("no slide", 3))),
            FlowStep("scored and analyzed", n),
        ),
        statistics=statistics,
        settings=StudySettings(name="s", cohort=CohortSettings(endpoint=endpoint)),
        statements=("The cut-off was locked.",),
        facts={"Versions": {"jecur": "0"}, "Hashes": {"model": "ab" * 32}},
        baseline=baseline_table(
            [Factor("Risk", [float(r) for r in patients.risk])], {"All": np.ones(n, dtype=bool)}
        ),
        risks=RiskValues(patients.risk, patients.event, 0.4457),
        slides=(
            SlideRow("a.svs", "P0", "ok", n_tiles=5),
            SlideRow("<script>alert(1)</script>", "=1+1", "failed", "unreadable", "damaged", 0),
        ),
        heatmaps=(HeatmapPicture("P0", "a.svs", picture(), picture(), 0.7, "high"),),
        tiles=(
            TilePicture(picture(), "P0", 1.5, "high"),
            TilePicture(picture("JPEG"), "P1", -1.5, "low"),
        ),
        model_card={"trained_on": {"patients": 3, "sites": ["x", "<i>y</i>"]}, "license": None},
        training_curve=((0.0, 0.7), (1.0, 0.5)),
        banner="Virtual patients.",
        truth=PlantedTruth(
            0.8, 0.75, (PlantedFeature("Stroma", 0.8, 0.61), PlantedFeature("Atypia", 0.0, None))
        ),
    )

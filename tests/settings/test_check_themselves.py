"""Settings refuse what they cannot mean, from TOML, Python and a copy alike: every field of every class."""

import math
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import numpy as np
import pytest

import jecur.settings as rooms
from jecur.errors import SettingsError
from jecur.settings import Stage, make_settings

NEEDED: dict[str, dict[str, Any]] = {
    "EndpointSettings": {
        "kind": "time to recurrence",
        "unit": "days",
        "event_values": ("1",),
        "censored_values": ("0",),
    },
    "Covariate": {"column": "age"},
    "DateSettings": {"surgery": "op", "last_contact": "seen"},
    "TissueArrayMap": {"slide": "a.svs", "map": "a.csv"},
}


def _needed(name: str) -> dict[str, Any]:
    endpoint = NEEDED["EndpointSettings"]
    if name == "CohortSettings":
        return {"endpoint": rooms.EndpointSettings(**endpoint)}
    if name == "StudySettings":
        return {"name": "s", "cohort": rooms.CohortSettings(**_needed("CohortSettings"))}
    return NEEDED.get(name, {})


def _classes() -> list[type[Stage]]:
    found, todo = [], [Stage]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        # a recipe is written by a run, not by hand; tests of the model file try it
        if kind.__name__ in set(rooms.__all__) - {"Stage", "Recipe"}:
            found.append(kind)
    return sorted(found, key=lambda kind: kind.__name__)


def _bad_values(kind: Any) -> list[Any]:
    origin = get_origin(kind)
    if origin is Annotated:
        base, *limits = get_args(kind)
        bad = _bad_values(base)
        for limit in limits:
            bad += [limit.ge - 1] if limit.ge is not None else []
            bad += [limit.gt] if limit.gt is not None else []
            bad += [limit.le + 1] if limit.le is not None else []
            bad += [limit.lt] if limit.lt is not None else []
            bad += [()] if limit.min_length else []
        return bad
    if origin is Literal:
        return [f"{get_args(kind)[-1]}x", "vahadan", 1, None]
    if origin in (Union, UnionType):
        every = [_bad_values(arg) for arg in get_args(kind) if arg is not NoneType]
        return [value for value in every[0] if value is not None]
    if origin is tuple:
        inner = get_args(kind)[0]
        return [3, "text", *((value,) for value in _bad_values(inner))]
    if kind is bool:
        return [1, "yes", None]
    if kind is int:
        return [1.5, "3", True, None, math.nan]
    if kind is float:
        return ["3", True, None, math.nan, math.inf, -math.inf]
    if kind is str:
        return [1, None, ["a"]]
    assert issubclass(kind, Stage), kind
    return [1, "text", {"no_such_setting": 1}]


FIELDS = [
    pytest.param(kind, field, id=f"{kind.__name__}.{field.name}")
    for kind in _classes()
    for field in msgspec.structs.fields(kind)
]


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_value_that_a_field_cannot_have_is_refused_however_it_is_given(kind, field):
    good = _needed(kind.__name__)
    made = kind(**good)
    plain = msgspec.to_builtins(made)
    for value in _bad_values(field.type):
        with pytest.raises(SettingsError, match=field.name):
            kind(**(good | {field.name: value}))
        with pytest.raises(SettingsError, match=field.name):
            msgspec.structs.replace(made, **{field.name: value})
        with pytest.raises(SettingsError, match=field.name):
            make_settings(plain | {field.name: value}, kind)


@pytest.mark.parametrize("kind", [pytest.param(k, id=k.__name__) for k in _classes()])
def test_a_name_that_does_not_exist_is_refused_however_it_is_given(kind):
    good = _needed(kind.__name__)
    plain = msgspec.to_builtins(kind(**good))
    name = msgspec.structs.fields(kind)[0].name + "x"
    with pytest.raises(TypeError, match=name):
        kind(**good, **{name: 1})
    with pytest.raises(SettingsError, match=name):
        make_settings(plain | {name: 1}, kind)


def test_every_problem_of_a_file_is_told_at_once():
    endpoint = dict(NEEDED["EndpointSettings"], kind="time to recurence", event_values=["1"])
    endpoint["censored_values"] = ["0"]
    raw = {
        "name": "s",
        "cohort": {"endpoint": endpoint, "covariates": [{"column": "age"}, {"colum": "sex"}]},
        "training": {"epochs": 0},
        "stain": {"methode": "macenko"},
    }
    with pytest.raises(SettingsError) as refused:
        make_settings(raw, rooms.StudySettings)
    message = refused.value.message
    for place in (
        "cohort.endpoint.kind: expected one of",
        "did you mean 'time to recurrence'",
        "cohort.covariates[2].colum:",
        "cohort.covariates[2].column: expected a value, found none",
        "training.epochs:",
        "stain.methode:",
    ):
        assert place in message


OF_LEVELS: dict[str, Any] = {"column": "grade", "kind": "categorical"}


def _with_covariate(column: str) -> dict[str, Any]:
    return {"endpoint": NEEDED["EndpointSettings"], "covariates": [{"column": column}]}


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (rooms.TilingSettings, {"side_um": 64.0, "overlap_um": 64.0}, "overlap_um"),
        (rooms.TissueSettings, {"min_magenta": 0.2}, "min_magenta"),
        (rooms.StainSettings, {"min_optical_density": 4.0}, "min_optical_density"),
        (rooms.StatisticsSettings, {"horizons_months": (24.0, 12.0)}, "horizons_months"),
        (rooms.StatisticsSettings, {"level": 0.9999999999999999}, "level"),
        (rooms.Covariate, {"column": "grade", "levels": ("1", "2")}, 'kind = "categorical"'),
        (rooms.Covariate, {**OF_LEVELS, "split_at": 2.0}, "split_at"),
        (rooms.Covariate, {**OF_LEVELS, "beyond_limit": "limit"}, "beyond_limit"),
        (rooms.Covariate, {**OF_LEVELS, "levels": ("1", "2", "1")}, "'1' again"),
        (rooms.Covariate, {**OF_LEVELS, "levels": ("1", "NA")}, "levels or in missing_values"),
        (rooms.CohortSettings, _with_covariate("time"), "the time column"),
        (rooms.CohortSettings, _with_covariate("event"), "the event column"),
        (rooms.CohortSettings, _with_covariate("patient_id"), "the patient column"),
        (rooms.LossSettings, {"poor_months": 60.0}, "poor_months"),
        (rooms.LossSettings, {"name": "cox", "patients_per_step": 1}, "patients_per_step"),
        (rooms.CrossvalSettings, {"inner_folds": 1}, "inner_folds"),
        (rooms.SimulationSettings, {"follow_up_months": (50.0, 40.0)}, "follow_up_months"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(kind, values, said):
    with pytest.raises(SettingsError, match=said):
        kind(**values)
    with pytest.raises(SettingsError, match=said):
        make_settings(values, kind)


def test_a_whole_number_counts_as_a_real_one_and_a_list_as_a_sequence():
    settings = rooms.StatisticsSettings(horizons_months=[12, 24], landmark_months=12)
    assert settings == rooms.StatisticsSettings(horizons_months=(12.0, 24.0), landmark_months=12.0)
    assert isinstance(settings.landmark_months, float)


def test_a_number_of_numpy_is_the_number_that_it_shows():
    settings = rooms.StatisticsSettings(
        landmark_months=np.float32(0.3),
        horizons_months=np.array([12, 24]),
        n_bootstrap=np.int64(7),
        level=np.float64(0.9),
    )
    assert settings == rooms.StatisticsSettings(
        landmark_months=0.3, horizons_months=(12.0, 24.0), n_bootstrap=7, level=0.9
    )
    assert type(settings.landmark_months) is float
    assert type(settings.n_bootstrap) is int
    again = msgspec.structs.replace(settings, landmark_months=np.array(36))
    assert again.landmark_months == 36.0
    assert rooms.ScoreSettings(probability=np.True_).probability is True
    endpoint = rooms.EndpointSettings(**NEEDED["EndpointSettings"])
    assert rooms.CohortSettings(endpoint=endpoint, table=Path("a.csv")).table == "a.csv"


@pytest.mark.parametrize(
    "value", [True, np.True_, np.float32("nan"), np.complex64(1), np.datetime64("2020"), "1"]
)
def test_what_is_no_number_is_none_whoever_made_it(value):
    with pytest.raises(SettingsError, match="expected a "):
        rooms.ScoreSettings(cutoff=value)
    with pytest.raises(SettingsError, match="expected a "):
        rooms.StatisticsSettings(n_bootstrap=value)

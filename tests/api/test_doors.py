"""Whatever a public function is called with, it answers or says what is wrong in our own words."""

import inspect
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.model_files import write_toy

import jecur as jc
from jecur.cli.training import crossval
from jecur.errors import JecurError, SettingsError, SystemRefusedError
from jecur.settings import CrossvalSettings

JUNK = (None, -1, 3.5, float("nan"), "\0", "", b"x", (), ("stage",), {}, object(), pd.DataFrame())
_ENDPOINT = {"kind": "time to recurrence", "unit": "months"}


def _right(tmp_path: Path) -> dict[str, dict[str, object]]:
    """Give every public function arguments that it takes; nothing is there to work on for long."""
    endpoint = jc.EndpointSettings(**_ENDPOINT, event_values=("1",), censored_values=("0",))
    table = pd.DataFrame(
        {"patient_id": ["a", "b"], "time": [1, 2], "event": [0, 1], "risk": [0, 1]}
    )
    (tmp_path / "study.toml").write_text(
        'name = "n"\n[cohort]\ntable = "none.csv"\n[cohort.endpoint]\nkind = "time to recurrence"\n'
        'unit = "months"\nevent_values = ["1"]\ncensored_values = ["0"]\n',
        encoding="utf-8",
    )
    study = {"study": jc.read_study(tmp_path / "study.toml")}
    made = {**study, "out": tmp_path / "run"}
    return {
        "check": study,
        "cross_validate": made,
        "evaluate": {"scores": table, "clinical": table, "endpoint": endpoint},
        "load_model": {"path": write_toy(tmp_path / "m.jecur")},
        "open_slide": {"path": "none.svs"},
        "read_study": {"path": tmp_path / "study.toml"},
        "run": made,
        "survey": {"slide": None},
        "train": made,
    }


@pytest.mark.parametrize(
    "name", sorted(n for n in jc.__all__ if inspect.isfunction(getattr(jc, n)))
)
def test_an_argument_of_the_wrong_kind_is_named(name, tmp_path):
    function, right = getattr(jc, name), _right(tmp_path)[name]
    for argument in inspect.signature(function).parameters:
        refused = 0
        for junk in JUNK:
            try:
                function(**{**right, argument: junk})
            except SettingsError as error:
                refused += argument in str(error)
            except JecurError:
                pass
        assert refused >= 3, argument  # and no other kind of exception came through


def test_all_wrong_arguments_are_named_at_once():
    with pytest.raises(
        SettingsError, match=r"study: .*read_study.*'study.toml'; out: .*; workers: "
    ):
        jc.run("study.toml", out=3, workers=-1)


def test_what_to_write_is_said(tmp_path):
    with pytest.raises(
        SettingsError, match=r"slide: expected jecur.open_slide\(path\), found 'a.svs'"
    ):
        jc.survey("a.svs")
    model = jc.load_model(write_toy(tmp_path / "m.jecur"))
    for junk in (None, 3, ""):
        with pytest.raises(SettingsError, match="slide: expected a path"):
            model.score(junk)
    with pytest.raises(SettingsError, match=r"covariates\[1\]: expected jecur.Covariate\(...\)"):
        jc.evaluate(**{**_right(tmp_path)["evaluate"], "covariates": ("stage",)})


def test_numbers_of_numpy_are_numbers(tmp_path):
    with pytest.raises(JecurError, match=r"none\.csv"):
        jc.run(**_right(tmp_path)["run"], workers=np.int64(1))


def test_a_folder_that_cannot_be_written_is_refused_in_our_words():
    rng = np.random.default_rng(1)
    n = 40
    time = rng.exponential(20, n).round(1) + 1
    table = pd.DataFrame(
        {
            "patient_id": range(n),
            "time": time,
            "event": rng.integers(0, 2, n),
            "risk": rng.random(n),
        }
    )
    endpoint = jc.EndpointSettings(**_ENDPOINT, event_values=("1",), censored_values=("0",))
    result = jc.evaluate(
        table[["patient_id", "risk"]], table.drop(columns="risk"), endpoint=endpoint
    )
    with pytest.raises(SystemRefusedError, match="/proc"):
        result.report("/proc/none/of/it")


def test_a_cross_validation_is_divided_by_the_settings_of_the_command_line():
    """Every setting is an argument, with the default that `jecur crossval` has."""
    settings = {field.name: field.default for field in msgspec.structs.fields(CrossvalSettings)}
    for taken in (jc.cross_validate, crossval):
        known = inspect.signature(taken).parameters
        assert {name: known[name].default for name in settings} == settings


def test_how_a_cross_validation_is_divided_is_checked(tmp_path):
    with pytest.raises(SettingsError, match="inner_folds"):
        jc.cross_validate(**_right(tmp_path)["cross_validate"], inner_folds=1)

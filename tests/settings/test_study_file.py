"""Strict settings: what is not understood is refused, with the place named."""

import re

import pytest

from jecur.demo import study_of_virtual_cohort
from jecur.errors import SettingsError
from jecur.settings import (
    PRESETS,
    StudySettings,
    TrainingSettings,
    make_settings,
    read_study,
    write_study,
)
from jecur.study.template import write_template

MINIMAL = """
name = "s"
[cohort.endpoint]
kind = "time to recurrence"
unit = "days"
event_values = ["1"]
censored_values = ["0"]
"""


def _read(tmp_path, text):
    (tmp_path / "study.toml").write_text(text)
    return read_study(tmp_path / "study.toml")


def test_the_defaults_are_the_papers():
    training = TrainingSettings()
    assert (training.pooling.exponent, training.loss.cutoff, training.loss.l2) == (
        3.0,
        0.4457,
        0.02,
    )
    assert (training.optimizer.learning_rate, training.optimizer.halve_every) == (1e-4, 10)
    assert (training.loss.good_months, training.loss.poor_months) == (48.0, pytest.approx(1.6 * 12))


def test_a_minimal_study_is_read_and_written_back_the_same(tmp_path):
    study = _read(tmp_path, MINIMAL)
    assert study.training == TrainingSettings.from_flat(**PRESETS["jecur"], preset="jecur")
    assert _read(tmp_path, write_study(study)) == study


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            MINIMAL + "\n[training]\nepoch = 3\n",
            r"training\.epoch: .*; did you mean 'optimizer.epochs'",
        ),
        (
            MINIMAL + '\n[training]\nepochs = "3"\n',
            r"training\.optimizer\.epochs: expected a whole number, found '3'",
        ),
        (
            MINIMAL + "\n[training]\ncutoff = 1.5\n",
            r"training\.loss\.cutoff: expected a number < 1.0, found 1.5",
        ),
        (
            MINIMAL + '\n[stain]\nmethod = "vahadan"\n',
            r"stain\.method: expected one of .*; did you mean 'vahadane'",
        ),
        (MINIMAL.replace('unit = "days"\n', ""), r"cohort\.endpoint: expected `unit`.*found none"),
        (MINIMAL.replace('"1"', "1"), r"cohort\.endpoint\.event_values: expected text, found 1"),
        ("name = ", "expected TOML"),
    ],
)
def test_what_is_not_understood_is_named(tmp_path, text, message):
    with pytest.raises(SettingsError, match=message):
        _read(tmp_path, text)


def test_no_study_file_says_how_to_get_one(tmp_path):
    with pytest.raises(SettingsError, match="jecur init"):
        read_study(tmp_path / "study.toml")


def test_the_annotated_example_is_valid_and_its_comments_tell_the_true_defaults(tmp_path):
    path = write_template(tmp_path)
    study = read_study(path)
    lines = path.read_text().splitlines()
    uncommented = "\n".join(re.sub(r"^# (\w+ = .*)$", r"\1", line) for line in lines)
    uncommented = re.sub(r"^(mpp|definition) = .*$", "", uncommented, flags=re.MULTILINE)
    (tmp_path / "all.toml").write_text(uncommented)
    assert uncommented != path.read_text()
    assert read_study(tmp_path / "all.toml") == study
    assert isinstance(study, StudySettings)


def test_init_keeps_what_is_there(tmp_path):
    (tmp_path / "study.toml").write_text("mine")
    write_template(tmp_path)
    assert (tmp_path / "study.toml").read_text() == "mine"
    assert (tmp_path / "clinical.csv").exists()


def test_a_flat_table_of_training_still_reads_and_means_the_same(tmp_path):
    flat = (
        MINIMAL
        + '[training]\npooling = "attention"\npooling_hidden = 8\nloss = "cox"\nepochs = 3\n'
    )
    nested = (
        MINIMAL + '[training.pooling]\nmethod = "attention"\nhidden_units = 8\n'
        '[training.loss]\nname = "cox"\n[training.optimizer]\nepochs = 3\n'
    )
    training = _read(tmp_path, flat).training
    assert training == _read(tmp_path, nested).training
    assert training == TrainingSettings.from_flat(
        pooling="attention", pooling_hidden=8, loss="cox", epochs=3
    )
    assert training.with_changes(epochs=4).with_changes(epochs=3) == training


def test_a_preset_gives_way_to_what_the_file_says_flat_or_nested(tmp_path):
    for l2 in ("[training]\nl2 = 0.25\n", "[training.loss]\nl2 = 0.25\n"):
        (tmp_path / "study.toml").write_text(MINIMAL + l2)
        loss = read_study(tmp_path / "study.toml", preset="jecur").training.loss
        assert (loss.name, loss.l2) == ("cox", 0.25)


@pytest.mark.parametrize("named", list(PRESETS))
@pytest.mark.parametrize("changes", [{}, {"seed": 4}, {"epochs": 7, "l2": 0.3}])
def test_a_file_that_names_its_preset_reads_the_same(named, changes, tmp_path):
    usual = make_settings({"preset": named, **PRESETS[named]}, TrainingSettings)
    study = study_of_virtual_cohort("x", usual.with_changes(**changes))
    path = tmp_path / "study.toml"
    path.write_text(write_study(study, preset_by_name=True))
    assert read_study(path) == study


def test_a_preset_takes_effect_on_a_file_that_only_names_one(tmp_path):
    study = study_of_virtual_cohort("x", TrainingSettings.from_flat(seed=3))
    path = tmp_path / "study.toml"
    path.write_text(write_study(study, preset_by_name=True))
    found = read_study(path, preset="jecur").training
    assert found == make_settings(
        {"preset": "jecur", "seed": 3, **PRESETS["jecur"]}, TrainingSettings
    )

"""The study file: strict TOML in and out."""

from pathlib import Path
from typing import Any

import msgspec

from jecur.errors import SettingsError
from jecur.settings.base import Stage, make_settings
from jecur.settings.cohort import CohortSettings
from jecur.settings.compute import ComputeSettings
from jecur.settings.nuclei import NucleiSettings
from jecur.settings.plain_values import read_plain_toml
from jecur.settings.review import ReviewSettings
from jecur.settings.run import BagSettings, RunSettings
from jecur.settings.slide import AnnotationSettings, QualitySettings, TilingSettings, TissueSettings
from jecur.settings.stain import StainSettings
from jecur.settings.statistics import StatisticsSettings
from jecur.settings.training import (
    EVIDENT_PRESET,
    PRESETS,
    Preset,
    ScoringSettings,
    TrainingSettings,
    nested,
)

__all__ = ["StudySettings", "read_study", "write_study"]


class StudySettings(Stage, frozen=True):
    """A whole study: everything ``jecur run`` needs to know."""

    name: str
    """Title of the report."""
    cohort: CohortSettings
    virtual: bool = False
    """The cohort was simulated: the report, the model file and every score of it say so."""
    tissue: TissueSettings = TissueSettings()
    annotations: AnnotationSettings = AnnotationSettings()
    tiling: TilingSettings = TilingSettings()
    quality: QualitySettings = QualitySettings()
    stain: StainSettings = StainSettings()
    nuclei: NucleiSettings = NucleiSettings()
    training: TrainingSettings = TrainingSettings()
    scoring: ScoringSettings = ScoringSettings()
    review: ReviewSettings = ReviewSettings()
    statistics: StatisticsSettings = StatisticsSettings()
    compute: ComputeSettings = ComputeSettings()
    run: RunSettings = RunSettings()
    bags: BagSettings = BagSettings()


def read_study(path: Path, *, preset: Preset | None = None) -> StudySettings:
    """Read a study file.

    Parameters
    ----------
    path
        TOML. Unknown names, wrong types and values out of range are refused.
    preset
        Recipe of training for whatever the file leaves out; None takes the one the file names. A file that
        says nothing of training has `EVIDENT_PRESET`; one that does and names none has ``paper-literal``,
        whose values are those that it always had.

    Raises
    ------
    SettingsError
        With the place in the file, what was expected and what was found.
    """
    raw = _without_role_column(_with_preset(read_plain_toml(path), preset))
    try:
        return make_settings(raw, StudySettings)
    except SettingsError as error:
        raise error.within(path.name) from error


def _with_preset(raw: dict[str, Any], preset: Preset | None) -> dict[str, Any]:
    """Put a preset's values under those that the file gives; what is no table is left to msgspec."""
    training = raw.get("training", {})
    if not isinstance(training, dict):
        return raw
    training = nested(training)
    named = preset or training.get(
        "preset", "paper-literal" if training.keys() - {"seed"} else EVIDENT_PRESET
    )
    values = PRESETS.get(named, {}) if isinstance(named, str) else {}
    for group, inner in values.items():
        given = training.get(group, {})
        training[group] = {**inner, **given} if isinstance(given, dict) else given
    return raw | {"training": training | {"preset": named}}


def _without_role_column(raw: dict[str, Any]) -> dict[str, Any]:
    """Take the role column for absent where the file has the patients divided, and names none."""
    cohort = raw.get("cohort", {})
    columns = cohort.get("columns", {}) if isinstance(cohort, dict) else None
    if not isinstance(columns, dict) or "split" not in cohort or "role" in columns:
        return raw
    return raw | {"cohort": cohort | {"columns": columns | {"role": ""}}}


def write_study(study: StudySettings, *, preset_by_name: bool = False) -> str:
    """Every setting of a study as TOML text that `read_study` reads back as the same study.

    Parameters
    ----------
    study
        What to write.
    preset_by_name
        Leave out what the preset of the training says, for a file that people go on to change: another
        preset, there or on the command line, then takes effect.
    """
    import tomli_w  # noqa: PLC0415 - only runs that write need it

    plain: dict[str, Any] = _without_none(msgspec.to_builtins(study))
    if preset_by_name:
        preset = {"preset": study.training.preset}
        usual = make_settings(
            _with_preset({"training": preset}, None)["training"], TrainingSettings
        )
        said = _difference(plain["training"], _without_none(msgspec.to_builtins(usual)))
        plain["training"] = preset | said
    return tomli_w.dumps(plain)


def _difference(tree: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """Leaves of a tree that are not those of another."""
    found = {}
    for name, value in tree.items():
        inner = isinstance(value, dict) and isinstance(usual.get(name), dict)
        kept = _difference(value, usual[name]) if inner else value
        if kept != ({} if inner else usual.get(name)):
            found[name] = kept
    return found


def _without_none(value: Any) -> Any:  # noqa: ANN401 - any tree of plain values
    """Leave out what is not set: TOML has no null."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_none(v) for v in value]
    return value

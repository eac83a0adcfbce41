"""Settings: one frozen structure a stage, strict TOML in and out.

A name that does not exist, a value of the wrong type or out of range is refused with the
place in the file named. Every number that can change a result is here, with its unit.
"""

from jecur.settings.base import Stage, make_settings
from jecur.settings.cohort import (
    CohortSettings,
    ColumnSettings,
    Covariate,
    DateSettings,
    EndpointKind,
    EndpointSettings,
    FactorScale,
    RoleValues,
    SplitSettings,
    TableFormat,
    TcgaEndpoint,
    TcgaSettings,
    TissueArrayMap,
)
from jecur.settings.compare import CompareSettings
from jecur.settings.compute import ComputeSettings, Engine, SlurmSettings
from jecur.settings.crossval import CrossvalSettings
from jecur.settings.nuclei import NucleiSettings
from jecur.settings.recipe import Recipe
from jecur.settings.review import PAPER_FEATURES, ConsensusRule, ReviewSettings
from jecur.settings.run import BagForm, BagSettings, RunSettings
from jecur.settings.simulation import SimulationSettings
from jecur.settings.slide import (
    AnnotationSettings,
    QualitySettings,
    TilingSettings,
    TissueArraySettings,
    TissueSettings,
)
from jecur.settings.stain import StainSettings
from jecur.settings.statistics import ScoreSettings, StatisticsSettings
from jecur.settings.study import StudySettings, read_study, write_study
from jecur.settings.training import (
    EVIDENT_PRESET,
    PRESETS,
    AugmentationSettings,
    EncoderSettings,
    LossName,
    LossSettings,
    OptimizerSettings,
    PoolingName,
    PoolingSettings,
    Preset,
    ScoringSettings,
    TrainingSettings,
    preset_training,
)

__all__ = [
    "EVIDENT_PRESET",
    "PAPER_FEATURES",
    "PRESETS",
    "AnnotationSettings",
    "AugmentationSettings",
    "BagForm",
    "BagSettings",
    "CohortSettings",
    "ColumnSettings",
    "CompareSettings",
    "ComputeSettings",
    "ConsensusRule",
    "Covariate",
    "CrossvalSettings",
    "DateSettings",
    "EncoderSettings",
    "EndpointKind",
    "EndpointSettings",
    "Engine",
    "FactorScale",
    "LossName",
    "LossSettings",
    "NucleiSettings",
    "OptimizerSettings",
    "PoolingName",
    "PoolingSettings",
    "Preset",
    "QualitySettings",
    "Recipe",
    "ReviewSettings",
    "RoleValues",
    "RunSettings",
    "ScoreSettings",
    "ScoringSettings",
    "SimulationSettings",
    "SlurmSettings",
    "SplitSettings",
    "Stage",
    "StainSettings",
    "StatisticsSettings",
    "StudySettings",
    "TableFormat",
    "TcgaEndpoint",
    "TcgaSettings",
    "TilingSettings",
    "TissueArrayMap",
    "TissueArraySettings",
    "TissueSettings",
    "TrainingSettings",
    "make_settings",
    "preset_training",
    "read_study",
    "write_study",
]

"""Jecur: histology of a resected liver cancer in, risk of recurrence and its proof out.

For research use only. Read `jecur.pipeline` first: it is the study from top to bottom. Names are
imported when they are first used; ``docs/api.md`` lists them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jecur.api.evaluation import Result, evaluate
    from jecur.api.model import Model, Risk, load_model
    from jecur.api.slide import SlideSurvey, open_slide, survey
    from jecur.api.study import Study, check, cross_validate, read_study, run, train
    from jecur.errors import JecurError
    from jecur.settings import Covariate, EndpointSettings, StatisticsSettings, StudySettings

__version__ = "0.2.0"

__all__ = [
    "Covariate",
    "EndpointSettings",
    "JecurError",
    "Model",
    "Result",
    "Risk",
    "SlideSurvey",
    "StatisticsSettings",
    "Study",
    "StudySettings",
    "check",
    "cross_validate",
    "evaluate",
    "load_model",
    "open_slide",
    "read_study",
    "run",
    "survey",
    "train",
]

_HOMES = {
    "api.evaluation": ("Result", "evaluate"),
    "api.model": ("Model", "Risk", "load_model"),
    "api.slide": ("SlideSurvey", "open_slide", "survey"),
    "api.study": ("Study", "check", "cross_validate", "read_study", "run", "train"),
    "errors": ("JecurError",),
    "settings": ("Covariate", "EndpointSettings", "StatisticsSettings", "StudySettings"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

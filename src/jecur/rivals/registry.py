"""Every rival by name. A new one is made in a module of its own and named here, and nowhere else."""

from collections.abc import Sequence
from dataclasses import replace

from jecur.errors import SettingsError
from jecur.rivals.bench import Rival
from jecur.rivals.clinical import Clinical
from jecur.rivals.fusion import SUFFIX, LateFusion
from jecur.rivals.joint import JOINT, JointFusion
from jecur.rivals.lstm import TileSequence
from jecur.rivals.networks import Network
from jecur.rivals.nuclear import Nuclear
from jecur.rivals.tissue import Tissue

__all__ = ["RIVALS", "rivals_named"]

RIVALS: tuple[Rival, ...] = (
    Network("study", "Recipe of the study file"),
    Network("paper", "Liu 2021, MobileNetV2", "paper"),
    Network("paper-literal", "Liu 2021, as printed", "paper-literal"),
    Network("jecur", "Frozen encoder, mean, Cox", "jecur"),
    Network("chowder", "CHOWDER (Saillard 2020)", "chowder"),
    Network("coudray", "Tile labels (Coudray 2018)", "coudray"),
    Network("scnn", "SCNN (Mobadersany 2018)", "scnn"),
    TileSequence(),
    Nuclear("nuclear-features", "Nuclear features, elastic net"),
    Nuclear("architecture", "Nuclear architecture (Ji 2019)"),
    Nuclear("flock", "Local cell graphs (Lu 2021)"),
    Nuclear("til", "Lymphocytes' arrangement (Corredor 2019)"),
    Tissue("tissue", "Deep stroma score (Kather 2019)", "cutoffs"),
    Tissue("tissue-fractions", "Tissue fractions, elastic net", "elastic-net"),
    Clinical(),
)
"""In the order in which help lists them."""


def rivals_named(names: Sequence[str], tissue_model: str = "") -> tuple[Rival, ...]:
    """Rivals by name, in the order asked for, alone or with the covariates.

    ``NAME+clinical`` weighs a rival's score beside the covariates (late fusion); ``NETWORK+joint`` has them
    in the network's last layer (joint fusion).

    Parameters
    ----------
    names
        Of `RIVALS`, each alone or fused.
    tissue_model
        File of `jecur tissue train`, for those that need one.

    Raises
    ------
    SettingsError
        If one is unknown or asked for twice, or none is.
    """
    single = [replace(r, model=tissue_model) if isinstance(r, Tissue) else r for r in RIVALS]
    known: dict[str, Rival] = {rival.name: rival for rival in single}
    known |= {f.name: f for f in (LateFusion(r) for r in single if r.name != "clinical")}
    known |= {f.name: f for f in (JointFusion(r) for r in single if isinstance(r, Network))}
    wrong = [name for name in names if name not in known]
    if wrong or not names or len(set(names)) < len(names):
        found = ", ".join(wrong) if wrong else ("the same twice" if names else "none")
        raise SettingsError(
            f"expected models among {', '.join(rival.name for rival in RIVALS)}, each alone or with {SUFFIX} "
            f"behind it, a network with {JOINT}, each once, found {found}; correct --models",
            code="unknown-model",
        )
    return tuple(known[name] for name in names)

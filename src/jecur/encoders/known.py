"""Encoders of others that are known by name: what they want, who made them, and under which terms.

None ships with Jecur, and nothing is downloaded unless that is asked for. The terms are those that their
pages named when this was written; read them there before use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["KNOWN_ENCODERS", "KnownEncoder"]

Family = Literal["timm", "transformers", "own"]


@dataclass(frozen=True, slots=True)
class KnownEncoder:
    """One encoder.

    Parameters
    ----------
    name, title
        What ``--encoder`` calls it; what its makers call it.
    family
        Library that builds it; "own" if its makers' package does, which is not used here.
    width
        Features of a tile.
    mpp
        Micrometers per pixel of its training tiles (20x: 0.5).
    hub
        Its page on huggingface.co.
    licence, gated
        Terms of the weights, and whether its makers must grant access.
    options
        For timm: how the architecture differs from the one registered.
    patch_tokens_from
        First patch token, where class token and mean patch token are joined; 0 takes the model's own output.
    """

    name: str
    title: str
    family: Family
    width: int
    mpp: float
    hub: str
    licence: str
    gated: bool
    options: Mapping[str, Any] = field(default_factory=dict)
    patch_tokens_from: int = 0

    @property
    def terms(self) -> str:
        """Licence and gate in one sentence."""
        gate = "access is granted by its makers" if self.gated else "open to everybody"
        return (
            f"{self.title}: weights under {self.licence}; {gate}: https://huggingface.co/{self.hub}"
        )


_SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}
"""Layers by name; `jecur.encoders.load` finds them in timm and torch."""

KNOWN_ENCODERS: tuple[KnownEncoder, ...] = (
    KnownEncoder(
        "uni2-h",
        "UNI2-h",
        "timm",
        1536,
        0.5,
        "MahmoodLab/UNI2-h",
        "CC BY-NC-ND 4.0",
        True,
        {
            "architecture": "vit_giant_patch14_224",
            "img_size": 224,
            "patch_size": 14,
            "depth": 24,
            "num_heads": 24,
            "init_values": 1e-5,
            "embed_dim": 1536,
            "mlp_ratio": 2.66667 * 2,
            "no_embed_class": True,
            "reg_tokens": 8,
            "dynamic_img_size": True,
            **_SWIGLU,
        },
    ),
    KnownEncoder(
        "virchow2",
        "Virchow2",
        "timm",
        2560,
        0.5,
        "paige-ai/Virchow2",
        "CC BY-NC-ND 4.0",
        True,
        {
            "architecture": "vit_huge_patch14_224",
            "img_size": 224,
            "init_values": 1e-5,
            "reg_tokens": 4,
            "mlp_ratio": 5.3375,
            "global_pool": "",
            "dynamic_img_size": True,
            **_SWIGLU,
        },
        patch_tokens_from=5,
    ),
    KnownEncoder(
        "h-optimus-0",
        "H-optimus-0",
        "timm",
        1536,
        0.5,
        "bioptimus/H-optimus-0",
        "Apache-2.0",
        True,
        {
            "architecture": "vit_giant_patch14_reg4_dinov2",
            "img_size": 224,
            "init_values": 1e-5,
            "global_pool": "token",
            "dynamic_img_size": False,
        },
    ),
    KnownEncoder(
        "h-optimus-1",
        "H-optimus-1",
        "timm",
        1536,
        0.5,
        "bioptimus/H-optimus-1",
        "CC BY-NC-ND 4.0",
        True,
        {
            "architecture": "vit_giant_patch14_reg4_dinov2",
            "img_size": 224,
            "init_values": 1e-5,
            "global_pool": "token",
            "dynamic_img_size": False,
        },
    ),
    KnownEncoder(
        "phikon-v2",
        "Phikon-v2",
        "transformers",
        1024,
        0.5,
        "owkin/phikon-v2",
        "Owkin's non-commercial licence",
        False,
    ),
    KnownEncoder(
        "conch",
        "CONCH",
        "own",
        512,
        0.5,
        "MahmoodLab/CONCH",
        "CC BY-NC-ND 4.0",
        True,
    ),
)

"""The network and optimizer of a recipe, for bags of tiles or of features."""

from collections.abc import Sequence

import torch
from torch import optim

from jecur.errors import TrainingError
from jecur.model.file import MAX_ENCODER_BYTES
from jecur.settings import TrainingSettings
from jecur.training.bag_model import BagModel, FeatureModel
from jecur.training.device import training_device
from jecur.training.mobilenet import TileEncoder, build_encoder, freeze_blocks
from jecur.training.objective import LabeledBag, Objective
from jecur.training.processes import Processes

__all__ = ["build_model", "optimizer_of", "refuse_apart"]


def build_model(
    training: Sequence[LabeledBag],
    settings: TrainingSettings,
    *,
    described: bool = False,
    of_covariates: Sequence[float] = (),
) -> tuple[BagModel, Objective]:
    """Build the network for these bags, tiles or features, and its objective, on the device.

    Bags that were ``described`` hold features of the encoder itself; ``of_covariates`` as `train_encoder`.
    """
    encoder: BagModel
    if len({example.bag.tile_shape for example in training}) > 1:
        raise TrainingError(
            "expected tiles of one kind and size, found "
            f"{sorted({example.bag.tile_shape for example in training})}; use one encoder's features, "
            "or slides alone",
            code="other-features",
        )
    if training[0].bag.holds_features and not described:
        torch.manual_seed(settings.seed)
        encoder = FeatureModel(training[0].bag.tile_shape[0], settings.encoder.hidden_units)
    else:
        encoder = build_encoder(
            settings.encoder.architecture,
            channels=settings.n_channels,
            start=settings.encoder.start,
            seed=settings.seed,
        )
        freeze_blocks(encoder, settings.encoder.frozen_blocks)
        if not settings.encoder.trained:
            encoder.requires_grad_(requires_grad=False)
            encoder.head.requires_grad_(requires_grad=True)
    pooling = encoder.add_pooling(settings)
    beside = encoder.add_covariates(of_covariates)
    _refuse_large(encoder)
    return encoder.to(training_device()), Objective(settings, pooling, beside)


def refuse_apart(encoder: BagModel, settings: TrainingSettings, processes: Processes) -> None:
    """Refuse running statistics that each process would gather from its own bags."""
    norms = isinstance(encoder, TileEncoder) and settings.encoder.trained
    if processes.n > 1 and norms and settings.encoder.batch_norm == "train":
        raise TrainingError(
            f'expected one process for batch_norm = "train", found {processes.n}, which would each keep '
            'running statistics of their own; start one, or set batch_norm = "frozen"'
        )


def _refuse_large(encoder: BagModel) -> None:
    """Refuse before hours of training what no model file could hold."""
    n_bytes = sum(value.numel() * value.element_size() for value in encoder.state_dict().values())
    if n_bytes > MAX_ENCODER_BYTES:
        raise TrainingError(
            f"expected an encoder of at most {MAX_ENCODER_BYTES // 2**20} MiB, which a model file can "
            f"hold, found {n_bytes // 2**20}; choose a smaller one, or fewer hidden_units",
            code="model-too-large",
        )


def optimizer_of(encoder: BagModel, settings: TrainingSettings) -> optim.Optimizer:
    """Adam over what is trained, the last layer and its like at a rate of their own."""
    head = {id(p) for p in encoder.new_parameters()}
    trained = [p for p in encoder.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if id(p) not in head], "factor": 1.0},
        {"params": [p for p in trained if id(p) in head], "factor": settings.optimizer.head_rate},
    ]
    return optim.Adam(
        [group for group in groups if group["params"]], lr=settings.optimizer.learning_rate
    )

"""A folder of weights is taken at its word, in every form that timm reads, or refused."""

import json

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from jecur.encoders.describe import TileDescriber
from jecur.encoders.load import load_encoder
from jecur.errors import TrainingError

SEEN = {"input_size": [3, 192, 192], "mean": [0.7, 0.6, 0.5], "std": [0.2, 0.3, 0.4]}


def weights(folder, architecture="test_efficientnet", args=None, **config):
    torch.manual_seed(0)
    network = timm.create_model(architecture, pretrained=False, num_classes=0, **(args or {}))
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    said = {"architecture": architecture, **({"model_args": args} if args else {}), **config}
    (folder / "config.json").write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize("form", [{"pretrained_cfg": SEEN}, SEEN], ids=["nested", "flat"])
def test_pixels_are_those_that_the_folder_names_wherever_it_does(tmp_path, form):
    folder = weights(tmp_path / "w", **form)
    found = load_encoder("test_efficientnet", f"local-dir:{folder}")
    assert (found.px, list(found.mean), list(found.std)) == (192, SEEN["mean"], SEEN["std"])


def test_a_size_that_the_architecture_is_built_for_is_that_of_the_tiles(tmp_path):
    folder = weights(tmp_path / "w", "test_vit", {"img_size": 96}, pretrained_cfg={})
    assert load_encoder("test_vit", str(folder)).px == 96


def test_weights_of_another_architecture_than_the_one_named_are_refused(tmp_path):
    folder = weights(tmp_path / "w")
    with pytest.raises(TrainingError, match="those of test_efficientnet"):
        load_encoder("test_vit", str(folder))
    assert load_encoder("test_efficientnet.some_data", str(folder)).name.startswith("test_eff")
    assert load_encoder("mine", str(folder)).name == "test_efficientnet"


@pytest.mark.parametrize("token", [True, False])
def test_the_first_token_describes_a_tile_only_if_it_is_a_class_token(tmp_path, token):
    args = {"global_pool": "", "class_token": token}
    folder = weights(tmp_path / "w", "test_vit", args, pretrained_cfg={})
    describer = TileDescriber(load_encoder("test_vit", str(folder)))
    tiles = np.zeros((2, 160, 160, 3), dtype=np.uint8)
    if token:
        assert next(describer.describe(tiles)).shape == (2, 64)
        return
    with pytest.raises(TrainingError, match="class token"):
        next(describer.describe(tiles))


@pytest.mark.parametrize("name", ["uni2-h", "virchow2", "h-optimus-0"])
def test_a_known_encoder_is_not_given_pixels_as_its_bare_architecture_takes_them(tmp_path, name):
    folder = weights(tmp_path / "w", pretrained_cfg={"input_size": [3, 224, 224]})
    for given in (folder, folder / "model.safetensors"):
        with pytest.raises(TrainingError, match="mean and std"):
            load_encoder(name, str(given))

"""Frozen normalization done by the convolution before it: the same numbers, other rounding."""

from contextlib import suppress

import pytest
import timm
import torch
from torch import nn

from jecur.training.frozen_norm import folded_batch_norm, frozen_batch_norm
from jecur.training.mobilenet import build_encoder

N_NORMS = 52
"""Of MobileNetV2."""


def _described(network):
    """Statistics and affine parts as a trained network has them, not ones and zeros."""
    rng = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3, generator=rng)
            module.running_var.uniform_(0.5, 2.0, generator=rng)
            module.weight.data.uniform_(0.5, 1.5, generator=rng)
            module.bias.data.normal_(0, 0.3, generator=rng)
    frozen_batch_norm(network.train())
    return network


def _gradient(network, look, pixels):
    network.zero_grad()
    found = look(pixels)
    found.square().sum().backward()
    grads = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    return found.detach(), torch.cat([g.flatten() for g in grads])


@pytest.fixture
def encoder():
    return _described(build_encoder("mobilenetv2_100", channels=4, start="random", seed=1))


def test_features_and_gradient_are_those_of_the_plain_form(encoder):
    """In float64: in float32 rectifiers turn at rounding, and both forms are as far from the truth."""
    encoder.double()

    def look(pixels):
        return encoder.describe(pixels.double())

    pixels = torch.randn(3, 4, 96, 96, generator=torch.Generator().manual_seed(0))
    plain, slope = _gradient(encoder, look, pixels)
    with folded_batch_norm(encoder, look, 4) as n:
        assert n == N_NORMS
        folded, other = _gradient(encoder, look, pixels)
    assert not torch.equal(folded, plain)  # it was another way
    assert float((folded - plain).abs().max() / plain.abs().max()) < 1e-11
    assert float((other - slope).norm() / slope.norm()) < 1e-11


def test_the_plain_form_comes_back_with_every_name_and_number(encoder):
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    pixels = torch.zeros(1, 4, 64, 64)
    plain = encoder.describe(pixels)
    with suppress(RuntimeError), folded_batch_norm(encoder, encoder.describe, 4):
        assert list(encoder.state_dict()) == list(before)
        assert not torch.equal(encoder.describe(pixels), plain)
        raise RuntimeError("a step that fails")
    assert torch.equal(encoder.describe(pixels), plain)
    after = encoder.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    "name", ["resnet18", "densenet121", "tf_efficientnet_lite0", "convnext_atto"]
)
def test_other_networks_are_folded_rightly_or_left(name):
    network = _described(timm.create_model(name, pretrained=False, num_classes=0)).double()

    def look(pixels):
        return network(pixels.double())

    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain, slope = _gradient(network, look, pixels)
    with folded_batch_norm(network, look, 3) as n:
        folded, other = _gradient(network, look, pixels)
    assert torch.allclose(folded, plain, rtol=1e-9, atol=1e-11 * float(plain.abs().max()))
    assert float((other - slope).norm() / slope.norm()) < 1e-11
    if name == "convnext_atto":  # it has no batch normalization
        assert n == 0
    if name == "resnet18":
        assert n == 20


def test_a_convolution_whose_output_others_read_too_is_left():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x):
            found = self.conv(x)
            return self.norm(found) + found

    network = _described(Shared())
    pixels = torch.randn(1, 3, 8, 8)
    plain = network(pixels)
    with folded_batch_norm(network, network, 3) as n:
        assert n == 0
        assert torch.equal(network(pixels), plain)


def test_normalization_by_the_batch_is_left(encoder):
    encoder.train()
    with folded_batch_norm(encoder, encoder.describe, 4) as n:
        assert n == 0

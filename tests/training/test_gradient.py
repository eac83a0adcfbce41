"""Losses by hand; the two-pass gradient equals the gradient of the whole bag."""

import math

import pytest
import torch

from jecur.mil.pooling import pool_scores
from jecur.settings.training import LossSettings
from jecur.training.cohort_gradient import accumulate_cohort_gradient
from jecur.training.frozen_norm import frozen_batch_norm
from jecur.training.losses import cutoff_cross_entropy
from jecur.training.mobilenet import build_encoder, freeze_blocks
from jecur.training.penalty import l2_penalty, penalized_step
from jecur.training.pooling import generalized_mean

T = 0.4457


def _score_of(risk):
    return torch.tensor(math.log(risk / (1 - risk)), dtype=torch.float64)


@pytest.mark.parametrize(
    ("risk", "q"), [(T / 2, 0.25), (T, 0.5), ((1 + T) / 2, 0.75), (0.1, 0.1 / (2 * T))]
)
def test_equation_3_by_hand(risk, q):
    assert cutoff_cross_entropy(_score_of(risk), True, cutoff=T).item() == pytest.approx(
        -math.log(q)
    )
    assert cutoff_cross_entropy(_score_of(risk), False, cutoff=T).item() == pytest.approx(
        -math.log(1 - q)
    )


@pytest.mark.parametrize("recurred", [True, False])
@pytest.mark.parametrize("score", [-80.0, -1.0, 0.0, 1.0, 80.0])
def test_loss_and_slope_are_finite_where_the_sigmoid_saturates(score, recurred):
    s = torch.tensor(score, requires_grad=True)
    loss = cutoff_cross_entropy(s, recurred, cutoff=T)
    loss.backward()
    assert math.isfinite(loss.item())
    assert loss.item() >= 0
    assert math.isfinite(s.grad.item())
    assert s.grad.item() <= 0 if recurred else s.grad.item() >= 0


def test_pooling_agrees_with_its_plain_twin_and_has_a_slope_at_zero():
    scores = torch.tensor([-1.5, 0.3, 2.0, 0.0], dtype=torch.float64)
    for reduction in ("mean", "sum"):
        torch_form = generalized_mean(scores, exponent=3.0, reduction=reduction)
        plain = pool_scores(scores.numpy(), exponent=3.0, reduction=reduction)
        assert torch_form.item() == pytest.approx(plain, rel=1e-12)
    for bag in ([0.0], [1.0, -1.0], [0.0, 0.0, 0.0]):
        s = torch.tensor(bag, requires_grad=True)
        generalized_mean(s, exponent=3.0).backward()
        assert torch.isfinite(s.grad).all()


def _gradient(dtype, chunk_size, n_tiles=64):
    encoder = build_encoder("mobilenetv2_035", channels=4, start="random", seed=1).to(dtype)
    # The same pixels at this precision; scores small enough that the sigmoid does not saturate.
    encoder.forward = lambda tiles: (
        0.03
        * encoder.backbone(
            (tiles.permute(0, 3, 1, 2).to(dtype) - encoder.mean.to(dtype)) / encoder.std.to(dtype)
        ).flatten()
    )
    frozen_batch_norm(encoder.train())
    tiles = torch.randint(0, 256, (n_tiles, 32, 32, 4), generator=torch.Generator().manual_seed(2))

    def loss(scores):
        return cutoff_cross_entropy(generalized_mean(scores, exponent=3.0), True, cutoff=T)

    chunks = tiles.to(torch.uint8).split(chunk_size)
    value, _ = accumulate_cohort_gradient(encoder, [chunks], lambda outputs: loss(outputs[0]))
    return value, torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("chunk_size", [1, 16, 23])
def test_two_passes_give_the_gradient_of_the_whole_bag(dtype, tolerance, chunk_size):
    whole_loss, whole = _gradient(dtype, 64)
    loss, chunked = _gradient(dtype, chunk_size)
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    assert whole.norm() > 0
    assert ((chunked - whole).norm() / whole.norm()).item() < tolerance


def test_l2_counts_what_it_says():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.BatchNorm2d(1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(2.0)
    assert l2_penalty(model).item() == 4.0  # the kernel alone
    assert l2_penalty(model, on="all").item() == 16.0  # kernel, bias, scale, shift
    model[0].weight.requires_grad_(False)
    assert l2_penalty(model).item() == 0.0


def test_the_mean_penalty_is_the_sum_over_the_number_of_weights():
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.Linear(5, 4))
    n = 2 * 3 * 9 + 5 * 4
    assert l2_penalty(model, mean=True).item() == pytest.approx(l2_penalty(model).item() / n)


@pytest.mark.parametrize("on", ["kernels", "all"])
def test_decoupled_is_what_the_sum_does_in_plain_gradient_descent(on):
    """Without Adam's scaling the two are one thing, at each group's own rate."""

    def stepped(form: str) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
        groups = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.3}]
        optimizer = torch.optim.SGD(groups, lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(1, 4)).sum().backward()
            penalized_step(model, optimizer, LossSettings(l2=0.2, l2_on=on, l2_form=form))
        return [p.detach() for p in model.parameters()]

    for decoupled, summed in zip(stepped("decoupled"), stepped("sum"), strict=True):
        torch.testing.assert_close(decoupled, summed)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(stepped("sum")[0], stepped("mean")[0])


def test_adam_turns_the_summed_penalty_into_whole_steps_and_the_decoupled_one_not():
    """A weight of which the loss says nothing: what the forms do to it, by hand."""
    found = {}
    for form in ("sum", "decoupled"):
        model = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(model.weight, 0.5)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(10):
            optimizer.zero_grad()
            (0.0 * model(torch.ones(1, 1))).sum().backward()
            penalized_step(model, optimizer, LossSettings(l2=0.02, l2_form=form))
        found[form] = model.weight.item()
    assert found["sum"] == pytest.approx(0.4, abs=1e-3)
    assert found["decoupled"] == pytest.approx(0.5 * (1 - 2 * 0.02 * 1e-2) ** 10)


def test_frozen_blocks_do_not_learn():
    encoder = build_encoder("mobilenetv2_035", channels=3, start="random", seed=0)
    freeze_blocks(encoder, 2)
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert not any(
        n.startswith(("backbone.conv_stem", "backbone.blocks.0", "backbone.blocks.1"))
        for n in trained
    )
    assert any(n.startswith("backbone.blocks.2") for n in trained)

"""Cox: Efron's partial likelihood as the statistics have it, and its gradient bag by bag."""

import numpy as np
import pytest
import torch
from torch import nn

from jecur.errors import TrainingError
from jecur.settings import TrainingSettings
from jecur.survival.partial_likelihood import evaluate_likelihood
from jecur.survival.risk_sets import risk_sets
from jecur.training.cohort_gradient import accumulate_cohort_gradient
from jecur.training.losses import cox_loss
from jecur.training.pooling import BagPooling


def _follow_up(n=60, seed=0, ties=True):
    rng = np.random.default_rng(seed)
    months = rng.exponential(30.0, n) + 1.0
    return (np.ceil(months / 6.0) * 6.0 if ties else months), rng.uniform(size=n) < 0.6


@pytest.mark.parametrize("ties", [True, False])
def test_loss_and_slope_are_those_of_the_statistics(ties):
    months, event = _follow_up(ties=ties)
    assert (len(np.unique(months)) < 30) == ties
    eta = np.random.default_rng(1).normal(size=60)
    sets = risk_sets(months, event, np.zeros(60, np.int64), "efron")
    known = evaluate_likelihood(np.ones(1), eta[sets.order][:, None], sets)
    scale = torch.ones(1, dtype=torch.float64, requires_grad=True)
    loss = cox_loss(torch.from_numpy(eta) * scale, months, event)
    loss.backward()
    assert -loss.item() * event.sum() == pytest.approx(known.log_likelihood, rel=1e-12)
    assert -scale.grad.item() * event.sum() == pytest.approx(known.gradient[0], rel=1e-10)


def test_only_differences_count_and_large_scores_stay_finite():
    months, event = _follow_up()
    eta = torch.linspace(-400, 400, 60, requires_grad=True)
    loss = cox_loss(eta, months, event)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(eta.grad).all()
    small = torch.randn(60, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert float(cox_loss(small, months, event)) == pytest.approx(
        float(cox_loss(small + 7.0, months, event))
    )


def test_without_an_event_there_is_nothing_to_learn():
    with pytest.raises(TrainingError) as caught:
        cox_loss(torch.zeros(4), np.arange(4.0), np.zeros(4, bool))
    assert caught.value.code == "labels-all-alike"


class _Encoder(nn.Module):
    """Deep enough to bend; (m, 5) -> (m,) or (m, 2)."""

    def __init__(self, n_outputs):
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, n_outputs)).double()

    def forward(self, tiles):
        found = self.layers(tiles)
        return found.flatten() if found.shape[1] == 1 else found


@pytest.mark.parametrize("name", ["generalized-mean", "attention", "noisy-and", "top-bottom"])
@pytest.mark.parametrize("chunk", [1, 4])
def test_two_passes_over_60_patients_give_the_gradient_of_the_whole_cohort(name, chunk):
    months, event = _follow_up()
    rng = np.random.default_rng(2)
    tiles = [torch.from_numpy(rng.normal(size=(int(rng.integers(1, 12)), 5))) for _ in range(60)]
    torch.manual_seed(5)
    pooling = BagPooling(TrainingSettings.from_flat(pooling=name, pooling_ends=3)).double()
    encoder = _Encoder(2 if name == "attention" else 1)
    parameters = [*encoder.parameters(), *pooling.parameters()]

    def loss(outputs):
        return cox_loss(torch.stack([pooling(bag) for bag in outputs]), months, event)

    whole = loss([encoder(bag) for bag in tiles])
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(whole, parameters)])
    found, _ = accumulate_cohort_gradient(encoder, [bag.split(chunk) for bag in tiles], loss)
    gradient = torch.cat([p.grad.flatten() for p in parameters])
    assert found == pytest.approx(whole.item(), rel=1e-12)
    assert expected.norm() > 1e-3
    assert float((gradient - expected).norm() / expected.norm()) < 1e-10

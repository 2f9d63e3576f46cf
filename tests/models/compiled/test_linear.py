import copy
import functools

import numpy as np
import pytest
import torch

from beyondlinear.models.compiled import linear as compiled_linear
from beyondlinear.models.compiled.engine import why_not
from beyondlinear.models.datamodule import Batches
from beyondlinear.models.losses import LOSSES, cross_entropy
from beyondlinear.models.networks import Linear

ADAM = functools.partial(torch.optim.Adam, lr=1e-3, weight_decay=0.01, fused=True)


class Case:
    """101 samples × 700 genes (more than one block, not a whole number of them), batches of 15 and
    14 of them."""

    def __init__(self, n_classes=2, scale=1.0, optimizer=ADAM):
        random = np.random.default_rng(0)
        self.x = torch.from_numpy(scale * random.standard_normal((101, 700), dtype=np.float32))
        self.codes = torch.from_numpy(random.integers(0, n_classes, 101))
        self.class_weights = torch.linspace(0.5, 1.5, n_classes)
        torch.manual_seed(0)
        self.network = Linear(700, n_classes)
        self.layer = self.network.layer
        self.optimizer = optimizer(self.layer.parameters())
        self.batches = Batches(self.x, self.codes, 15, torch.Generator().manual_seed(1))

    def compiled(self, loss, clip=None):
        return compiled_linear.train_epoch(
            self.layer, self.optimizer, loss, self.class_weights, clip, self.batches
        )

    def plain(self, loss, clip=None):
        """The same epoch as a textbook writes it."""
        total = 0.0
        for x, codes in self.batches:
            self.optimizer.zero_grad()
            losses = self.class_weights[codes] * loss(self.layer(x), codes)
            losses.mean().backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(self.layer.parameters(), clip)
            self.optimizer.step()
            total += losses.sum().item()
        return total / len(self.codes)


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("clip", [None, 0.5])
def test_five_epochs_equal_a_plain_loop_with_unfused_adam(n_classes, loss, clip):
    ours = Case(n_classes)
    plain = Case(n_classes, optimizer=functools.partial(ADAM, fused=False))
    for _ in range(5):
        assert ours.compiled(loss, clip) == pytest.approx(plain.plain(loss, clip), abs=1e-5)
    torch.testing.assert_close(ours.layer.weight, plain.layer.weight, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.layer.bias, plain.layer.bias, atol=1e-5, rtol=0)


def test_the_state_is_adams_own():
    """An epoch of ours after one of PyTorch's, and the other way round, go on where the other
    stopped."""
    ours, theirs = Case(3), Case(3, optimizer=functools.partial(ADAM, fused=False))
    ours.compiled(cross_entropy), theirs.plain(cross_entropy)
    ours.plain(cross_entropy), theirs.plain(cross_entropy)
    assert ours.compiled(cross_entropy) == pytest.approx(theirs.plain(cross_entropy), abs=1e-5)
    state = ours.optimizer.state[ours.layer.weight]
    assert state["step"].item() == 3 * 7  # three epochs of 101/15 batches
    torch.testing.assert_close(
        state["exp_avg_sq"],
        theirs.optimizer.state[theirs.layer.weight]["exp_avg_sq"],
        atol=1e-6,
        rtol=1e-3,
    )


def test_the_same_bits_again():
    first, second = Case(3), Case(3)
    assert [first.compiled(cross_entropy, 1.0) for _ in range(3)] == [
        second.compiled(cross_entropy, 1.0) for _ in range(3)
    ]
    assert torch.equal(first.layer.weight, second.layer.weight)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_what_is_not_finite_shows_in_the_loss(loss):
    case = Case()
    case.x[50, 3] = torch.nan
    assert np.isnan(case.compiled(loss, 1.0))


def test_it_runs_only_where_it_computes_the_same():
    case = Case()

    def can_run(optimizer, loss):
        return why_not(case.network, optimizer, loss) is None

    assert can_run(case.optimizer, cross_entropy)
    assert not can_run(case.optimizer, lambda scores, codes: cross_entropy(scores, codes))
    for other in (
        torch.optim.SGD(case.layer.parameters(), lr=0.1),
        torch.optim.AdamW(case.layer.parameters(), fused=True),
        torch.optim.Adam(case.layer.parameters(), fused=True, amsgrad=True),
        torch.optim.Adam(case.layer.parameters(), fused=True, maximize=True),
        torch.optim.Adam(case.layer.parameters()),
        torch.optim.Adam([case.layer.weight], fused=True),
    ):
        assert not can_run(other, cross_entropy)
    double = copy.deepcopy(case.network).double()
    assert why_not(double, ADAM(double.parameters()), cross_entropy) is not None

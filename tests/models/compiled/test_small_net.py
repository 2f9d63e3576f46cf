import copy
import functools

import numpy as np
import pytest
import torch
from torch import nn

from beyondlinear.models.compiled import small_net
from beyondlinear.models.compiled.dropout import dropout_mask
from beyondlinear.models.compiled.engine import why_not
from beyondlinear.models.datamodule import Batches
from beyondlinear.models.losses import LOSSES, cross_entropy
from beyondlinear.models.networks import FiveLayer, ThreeLayer

ADAM = functools.partial(torch.optim.Adam, lr=1e-3, weight_decay=0.01, fused=True)
SEED = 12345


class Case:
    """101 samples × 70 genes, batches of 15 and 14 of them."""

    def __init__(self, network, n_classes=3, dropout=0.5, fused=True):
        random = np.random.default_rng(0)
        self.x = torch.from_numpy(random.standard_normal((101, 70), dtype=np.float32))
        self.codes = torch.from_numpy(random.integers(0, n_classes, 101))
        self.class_weights = torch.linspace(0.5, 1.5, n_classes)
        torch.manual_seed(0)
        self.network = network(70, n_classes, dropout=dropout)
        self.optimizer = ADAM(self.network.parameters(), fused=fused)
        self.batches = Batches(self.x, self.codes, 15, torch.Generator().manual_seed(1))
        self.n_steps = 0

    def compiled(self, loss, clip=None):
        return small_net.train_epoch(
            self.network, self.optimizer, loss, self.class_weights, clip, self.batches, SEED
        )

    def plain(self, loss, clip=None):
        """The same epoch as a textbook writes it, but for which units dropout keeps."""
        total = 0.0
        self.network.train()
        for x, codes in self.batches:
            self.optimizer.zero_grad()
            losses = self.class_weights[codes] * loss(self.scores(x), codes)
            losses.mean().backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(self.network.parameters(), clip)
            self.optimizer.step()
            self.n_steps += 1
            total += losses.sum().item()
        return total / len(self.codes)

    def scores(self, x):
        most, units, n = self.batches.largest + 8, 0, len(x)
        for layer in self.network.layers:
            if isinstance(layer, nn.Dropout):
                if layer.p > 0:
                    padded = -(-n // 8) * 8
                    share = np.float32(1 - layer.p)
                    mask = dropout_mask(
                        np.uint64(SEED), self.n_steps, units * most, padded, x.shape[1], share
                    )
                    x = x * torch.from_numpy(mask[:n])
                units += x.shape[1]
            else:
                x = layer(x)
        return x

    def validation_loss(self, loss):
        self.network.eval()
        with torch.inference_mode():
            return (
                (self.class_weights[self.codes] * loss(self.network(self.x), self.codes))
                .double()
                .mean()
                .item()
            )


@pytest.mark.parametrize("network", [ThreeLayer, FiveLayer])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("clip", [None, 0.5])
def test_five_epochs_equal_a_plain_loop_with_unfused_adam(network, dropout, loss, clip):
    ours, plain = Case(network, dropout=dropout), Case(network, dropout=dropout, fused=False)
    for _ in range(5):
        assert ours.compiled(loss, clip) == pytest.approx(plain.plain(loss, clip), abs=1e-5)
        batches = Batches(ours.x, ours.codes, 50)
        found = small_net.mean_loss(ours.network, loss, ours.class_weights, batches)
        assert found == pytest.approx(ours.validation_loss(loss), abs=1e-6)
        assert found == pytest.approx(plain.validation_loss(loss), abs=1e-5)
    for (name, mine), theirs in zip(
        ours.network.state_dict().items(), plain.network.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4, msg=name)


def test_the_same_bits_again():
    first, second = Case(FiveLayer), Case(FiveLayer)
    assert [first.compiled(cross_entropy, 1.0) for _ in range(3)] == [
        second.compiled(cross_entropy, 1.0) for _ in range(3)
    ]


def test_what_is_not_finite_shows_in_the_loss():
    for network in (ThreeLayer, FiveLayer):
        case = Case(network)
        case.x[50, 3] = torch.nan
        assert np.isnan(case.compiled(cross_entropy, 1.0))


def test_batch_normalisation_needs_two_samples():
    case = Case(FiveLayer)
    case.batches = Batches(case.x, case.codes, 1)
    with pytest.raises(ValueError, match="batches of at least two samples"):
        case.compiled(cross_entropy)


def test_it_runs_only_where_it_computes_the_same():
    case = Case(ThreeLayer)

    def can_run(network, optimizer, loss):
        return why_not(network, optimizer, loss) is None

    assert can_run(case.network, case.optimizer, cross_entropy)
    assert not can_run(
        case.network, case.optimizer, lambda scores, codes: cross_entropy(scores, codes)
    )

    class Skips(ThreeLayer):
        def forward(self, x):
            return super().forward(x) + x[:, :3]

    large = small_net.LARGEST
    for network in (
        Skips(70, 3),
        ThreeLayer(2000, 3),
        copy.deepcopy(case.network).double(),
    ):
        assert not can_run(network, ADAM(network.parameters()), cross_entropy)
    assert large < 2000 * 1000
    one = ThreeLayer(70, 3)
    assert not can_run(one, torch.optim.SGD(one.parameters(), lr=0.1), cross_entropy)

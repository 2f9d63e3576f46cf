import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from beyondlinear import layer_updates, small_net_epoch, training_loop
from beyondlinear.datamodule import Batches
from beyondlinear.layer_updates import layers_to_update
from beyondlinear.losses import cross_entropy
from beyondlinear.networks import FiveLayer, ThreeLayer
from beyondlinear.training_loop import Classifier

ADAM = functools.partial(torch.optim.Adam, lr=1e-4, weight_decay=0.01, fused=True)
WEIGHTS = torch.tensor([0.8, 1.0, 1.2])


@pytest.fixture(autouse=True)
def no_network_is_small(monkeypatch):
    monkeypatch.setattr(small_net_epoch, "LARGEST", 0)


def data(n=101, p=600, batch_size=15, dtype=torch.float32):
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.standard_normal((n, p), dtype=np.float32)).to(dtype)
    return Batches(x, torch.from_numpy(random.integers(0, 3, n)), batch_size, torch.Generator().manual_seed(1))


def module(network=ThreeLayer, clip=0.5, dropout=0.0):
    torch.manual_seed(0)
    made = Classifier(network(600, 3, dropout=dropout), cross_entropy, ADAM, WEIGHTS, clip)
    made.configure_optimizers()
    return made


def losses(made, batches, epochs=5):
    torch.manual_seed(2)
    return [made.train_epoch(batches) for _ in range(epochs)]


def textbook(network, clip, dropout, dtype, epochs=5):
    """The same epochs with unfused Adam and clip_grad_norm_."""
    made, batches, found = module(network, clip, dropout).to(dtype), data(dtype=dtype), []
    net, weights = made.network, WEIGHTS.to(dtype)
    adam = functools.partial(ADAM, fused=False)(net.parameters())
    torch.manual_seed(2)
    for _ in range(epochs):
        total = 0.0
        for x, codes in batches:
            adam.zero_grad()
            each = weights[codes] * cross_entropy(net(x), codes)
            each.mean().backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
            adam.step()
            total += each.sum().item()
        found.append(total / len(batches.codes))
    return found, net


@pytest.fixture
def taken(monkeypatch):
    """How many layers were updated here, an epoch each."""
    counts = []

    def look(*given):
        found = layers_to_update(*given)
        counts.append(len(found.layers) if found is not None else 0)
        return found

    monkeypatch.setattr(training_loop, "layers_to_update", look)
    return counts


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize(("network", "wide"), [(ThreeLayer, 1), (FiveLayer, 3)])
def test_five_epochs_equal_a_plain_loop_in_float64(taken, clip, network, wide):
    """600 → 300 → 150 → 3 has one layer of 2^16 weights or more, 600 → 300 → 300 → 300 → 150 → 3 has three."""
    expected, net = textbook(network, clip, 0.0, torch.float64)
    ours = module(network, clip)
    assert losses(ours, data()) == pytest.approx(expected, abs=1e-5)
    assert taken == [wide] * 5
    for a, b in zip(ours.network.parameters(), net.parameters(), strict=True):
        assert a.requires_grad
        assert a.grad is None
        torch.testing.assert_close(a, b.float(), atol=2e-4, rtol=0)  # of 49 steps of up to 1e-4 each


def test_dropout_draws_what_it_draws_without(taken):
    expected, _ = textbook(ThreeLayer, 0.5, 0.5, torch.float32)
    assert losses(module(dropout=0.5), data()) == pytest.approx(expected, abs=1e-5)
    assert taken == [1] * 5


def test_the_norm_is_that_of_the_gradients():
    made, (x, codes) = module(FiveLayer, None), next(iter(data()))
    made._loss_sum(x, codes).backward()
    wide = [p for p in made.network.parameters() if p.numel() >= layer_updates.SMALLEST_LAYER]
    expected = sum((p.grad.double() ** 2).sum().item() for p in wide)
    assert len(wide) == 3
    with ThreadPoolExecutor(1) as threads:
        updates = layers_to_update(made.network, made.made_optimizer, 15, threads)
        with updates.watching():
            made._loss_sum(x, codes).backward()
        # batch statistics of the layers between are those of the batch, so nothing has moved
        assert updates.squared_norm().item() == pytest.approx(expected, rel=1e-5)


def test_adams_state_is_pytorchs(taken):
    ours = module()
    losses(ours, data(), 2)
    state = ours.made_optimizer.state_dict()["state"]
    assert {int(s["step"]) for s in state.values()} == {14}  # two epochs of 101/15 batches
    assert {frozenset(s) for s in state.values()} == {frozenset({"step", "exp_avg", "exp_avg_sq"})}


def test_threads_change_no_bit(taken):
    found = []
    threads = torch.get_num_threads()
    try:
        for n in (1, 2, 3):
            made, (x, codes) = module(), next(iter(data()))
            with ThreadPoolExecutor(n) as pool:
                torch.set_num_threads(1)
                updates = layers_to_update(made.network, made.made_optimizer, 15, pool)
                updates.n_threads = n
                with updates.watching():
                    made._loss_sum(x, codes).backward()
                updates.step(0.5)
            found.append(made.network.layers[0].weight.detach().clone())
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_where_it_is_left_to_pytorch():
    made = module()
    net, adam = made.network, made.made_optimizer
    with ThreadPoolExecutor(1) as pool:
        assert layers_to_update(net, adam, 64, pool) is not None
        assert layers_to_update(net, adam, 65, pool) is None  # a library's product wins
        assert layers_to_update(ThreeLayer(100, 2), adam, 16, pool) is None  # 100 × 50 weights
        for other in (functools.partial(ADAM, fused=False), torch.optim.AdamW, torch.optim.SGD):
            assert layers_to_update(net, other(net.parameters()), 16, pool) is None


def test_an_error_in_an_epoch_gives_the_weights_back():
    made, batches = module(), data()
    batches.x = batches.x[:, :-1]
    with pytest.raises(RuntimeError, match="shape"):
        made.train_epoch(batches)
    assert all(p.requires_grad for p in made.network.parameters())
    assert not any(m._forward_hooks for m in made.network.modules())

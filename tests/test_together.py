import dataclasses
import functools
import os
import signal

import numpy as np
import pytest
import torch

from beyondlinear import small_net_epoch, together
from beyondlinear.classifier import NetworkModel
from beyondlinear.datamodule import Part
from beyondlinear.errors import Terminated
from beyondlinear.networks import FiveLayer, Linear, ThreeLayer
from beyondlinear.seeds import stream_seed
from beyondlinear.together import fit_together
from beyondlinear.training import FitData, Training, TrainingDiverged

TRAINING = Training(
    accelerator="cpu",
    threads=2,
    batch_size=16,
    gradient_clip=1.0,
    max_epochs=12,
    patience=3,
    stop_below=0.06,
    epochs_without_tune=4,
)


def model(lr, weight_decay=0.0, loss="cross_entropy", network=Linear):
    return NetworkModel(
        network, loss, functools.partial(torch.optim.Adam, lr=lr, weight_decay=weight_decay, fused=True)
    )


def data(number, n=100, tune=True, n_classes=3, signal=2.0):
    random = np.random.default_rng(number)
    y = random.permutation(n) % n_classes
    x = random.standard_normal((n, 60), dtype=np.float32)
    x[np.arange(n), y] += signal
    fit, rest = slice(0, n // 2), slice(n // 2, n)
    rows = np.arange(n)
    part = Part(x[rest], y[rest], rows[rest]) if tune else None
    return FitData(Part(x[fit], y[fit], rows[fit]), part, x[rest], n_classes, lambda use: stream_seed(number, use))


MEMBERS = [
    (model(0.01), data(0)),
    (model(0.05), data(0, signal=0)),  # noise: patience ends it early
    (model(0.003, 0.1, "hinge"), data(1, n=90)),
    (model(0.02), data(2, signal=9)),  # ends once its loss is below 0.06
    (model(0.01), data(3, tune=False)),
    (model(0.05), data(4, n=200, n_classes=2)),
    (model(0.005, network=ThreeLayer), data(6)),
    (model(0.005, 0.01, "hinge", FiveLayer), data(7, n_classes=2)),
]


def same(a, b):
    assert a.training == b.training
    assert a.hyperparameters == b.hyperparameters
    np.testing.assert_array_equal(a.scores, b.scores)
    if a.tune_scores is not None:
        np.testing.assert_array_equal(a.tune_scores, b.tune_scores)


def test_each_member_is_the_fit_that_it_is_alone():
    ended = fit_together(MEMBERS, TRAINING)
    for outcome, (each, its) in zip(ended, MEMBERS, strict=True):
        same(outcome, each.fit(its, TRAINING))
    epochs = [o.training["epochs"] for o in ended]
    assert max(epochs) == 12
    assert min(epochs) == 4  # patience 3 after the first; as many without a tune part
    assert {o.training["stopped_by"] for o in ended} == {
        "patience",
        "loss below stop_below",
        "max_epochs",
        "fixed epochs",
    }


def test_neither_the_others_nor_the_threads_change_a_member():
    first = fit_together(MEMBERS, TRAINING)
    turned = fit_together(MEMBERS[::-1][:6], dataclasses.replace(TRAINING, threads=1))[::-1]
    for a, b in zip(first[2:], turned, strict=True):
        same(a, b)


def test_one_that_diverges_costs_no_other():
    bad = data(5)
    bad.fit.x[3, 3] = np.inf
    good, diverged = fit_together([MEMBERS[0], (model(0.01), bad)], TRAINING)
    assert isinstance(diverged, TrainingDiverged)
    same(good, MEMBERS[0][0].fit(MEMBERS[0][1], TRAINING))


def test_networks_without_a_compiled_epoch_train_one_after_another(monkeypatch):
    monkeypatch.setattr(small_net_epoch, "LARGEST", 0)
    monkeypatch.setattr(together, "_train", lambda *_: pytest.fail("these cannot train together"))
    deep = (model(0.01, network=ThreeLayer), data(6))
    (outcome,) = fit_together([deep], TRAINING)
    same(outcome, deep[0].fit(deep[1], TRAINING))


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
@pytest.mark.usefixtures("ctrl_c")
def test_who_stops_many_is_told_as_what_it_is(monkeypatch, number, kind):
    real = together._Together.on_train_epoch_end

    def stop(self):
        os.kill(os.getpid(), number)
        real(self)

    monkeypatch.setattr(together._Together, "on_train_epoch_end", stop)
    with pytest.raises(KeyboardInterrupt) as stopped:
        fit_together(MEMBERS, TRAINING)
    assert type(stopped.value) is kind

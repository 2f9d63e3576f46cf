import functools
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from beyondlinear.data.scaled_rows import ScaledRows
from beyondlinear.models.interface import (
    FitData,
    FitSeeds,
    Part,
    TrainerConfig,
    TrainingDiverged,
)
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.models.networks import Linear
from beyondlinear.runtime.errors import Terminated

TRAINER = TrainerConfig(
    accelerator="cpu",
    threads=2,
    batch_size=16,
    gradient_clip=1.0,
    max_epochs=12,
    patience=3,
    stop_below=0.06,
    epochs_without_validation=4,
    engine="compiled",
)


def model(lr, weight_decay=0.0, loss="cross_entropy"):
    adam = functools.partial(torch.optim.Adam, lr=lr, weight_decay=weight_decay, fused=True)
    return NetworkModel(Linear, loss, adam)


def data(number, n=100, validation=True, n_classes=3, signal=2.0):
    random = np.random.default_rng(number)
    y = random.permutation(n) % n_classes
    x = random.standard_normal((n, 60), dtype=np.float32)
    x[np.arange(n), y] += signal
    train, rest = slice(0, n // 2), slice(n // 2, n)
    rows = np.arange(n)
    part = Part(x[rest], y[rest], rows[rest]) if validation else None
    seeds = FitSeeds.drawn(number)
    return FitData(Part(x[train], y[train], rows[train]), part, x[rest], n_classes, seeds)


FITS = [
    (model(0.01), data(0)),
    (model(0.05), data(0, signal=0)),  # noise: patience ends it early
    (model(0.003, 0.1, "hinge"), data(1, n=90)),
    (model(0.02), data(2, signal=9)),  # ends once its loss is below 0.06
    (model(0.01), data(3, validation=False)),
    (model(0.05), data(4, n=200, n_classes=2)),
]


def same(a, b):
    assert a.training == b.training
    assert a.hyperparameters == b.hyperparameters
    np.testing.assert_array_equal(a.scores, b.scores)
    if a.validation_scores is not None:
        np.testing.assert_array_equal(a.validation_scores, b.validation_scores)


def test_a_fit_on_a_thread_beside_others_is_the_fit_that_it_is_alone():
    alone = [each.fit(its, TRAINER) for each, its in FITS]
    with ThreadPoolExecutor(4) as threads:
        beside = list(threads.map(lambda fit: fit[0].fit(fit[1], TRAINER), FITS * 3))
    for i, result in enumerate(beside):
        same(result, alone[i % len(FITS)])
    epochs = [o.training["epochs"] for o in alone]
    assert max(epochs) == 12
    assert min(epochs) == 4  # patience 3 after the first; as many without a validation part
    assert {o.training["stopped_by"] for o in alone} == {
        "patience",
        "loss below stop_below",
        "max_epochs",
        "fixed epochs",
    }
    assert {o.training["engine"] for o in alone} == {"compiled"}


@pytest.mark.parametrize("number", range(len(FITS)))
def test_it_ends_where_lightning_ends(number):
    """Losses and scores within 1e-4, the same epochs, the same best one: float32 sums in another
    order are all that differs."""
    each, its = FITS[number]
    ours = each.fit(its, TRAINER)
    lightnings = each.fit(its, replace(TRAINER, engine="lightning"))
    assert lightnings.training["engine"] == "lightning"
    for key in ("epochs", "best_epoch", "stopped_by", "beats_constant"):
        assert ours.training[key] == lightnings.training[key]
    for mine, theirs in zip(ours.training["history"], lightnings.training["history"], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-4)
    np.testing.assert_allclose(ours.scores, lightnings.scores, atol=1e-4)
    assert ours.hyperparameters == lightnings.hyperparameters


def test_rows_that_are_scaled_when_they_are_read_give_the_same_bits():
    each, its = FITS[0]
    matrix = np.concatenate([its.train.x, its.validation.x])
    shift, factor = matrix.mean(0), 1 / matrix.std(0)
    rows = ScaledRows(matrix, np.arange(100), shift, factor)

    def scaled(part, index):
        return replace(part, x=index)

    views = replace(
        its,
        train=scaled(its.train, rows[:50]),
        validation=scaled(its.validation, rows[50:]),
        test_x=rows[50:],
    )
    same(each.fit(views, TRAINER), each.fit(views.dense(), TRAINER))


def test_one_that_diverges_costs_no_other():
    bad = data(5)
    bad.train.x[3, 3] = np.inf
    with ThreadPoolExecutor(2) as threads:
        good = threads.submit(FITS[0][0].fit, FITS[0][1], TRAINER)
        diverged = threads.submit(model(0.01).fit, bad, TRAINER)
        with pytest.raises(TrainingDiverged):
            diverged.result()
    same(good.result(), FITS[0][0].fit(FITS[0][1], TRAINER))


class Told(pl.loggers.logger.DummyLogger):
    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append({"epoch": step, **metrics})


def test_a_logger_is_told_of_each_epochs_losses():
    logger = Told()
    result = FITS[0][0].fit(FITS[0][1], TRAINER, logger)
    assert logger.rows == result.training["history"]


def test_a_checkpoint_of_lightning_is_put_aside(tmp_path, caplog):
    each, its = FITS[0]
    path = tmp_path / "fit.ckpt"
    often = replace(TRAINER, checkpoint_minutes=0)
    with_lightning = replace(often, engine="lightning", max_epochs=2)
    each.fit(its, with_lightning, checkpoint=path)
    assert path.exists()
    same(each.fit(its, often, checkpoint=path), each.fit(its, TRAINER))
    assert "another trainer.engine" in caplog.text


class Killed(BaseException):
    """Ends a fit as a lost machine does."""


@pytest.mark.parametrize("after", [1, 3])
def test_a_fit_that_was_killed_goes_on_and_ends_in_the_same_bits(tmp_path, after):
    each, its = FITS[0]
    path = tmp_path / "fit.ckpt"
    often = replace(TRAINER, checkpoint_minutes=0)

    def kill(epoch, most):
        if epoch > after:  # the checkpoint of epoch `after` is written
            raise Killed

    with pytest.raises(Killed):
        each.fit(its, often, on_epoch=kill, checkpoint=path)
    epochs = []
    resumed = each.fit(its, often, on_epoch=lambda *at: epochs.append(at), checkpoint=path)
    assert epochs[0] == (after + 1, 12)  # the epochs before are not made again
    same(resumed, each.fit(its, TRAINER))


def test_sigterm_ends_a_fit_after_its_epoch(tmp_path):
    each, its = FITS[0]
    epochs = []

    def terminate(epoch, most):
        epochs.append(epoch)
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    path = tmp_path / "fit.ckpt"
    often = replace(TRAINER, checkpoint_minutes=0)
    with pytest.raises(Terminated):
        each.fit(its, often, on_epoch=terminate, checkpoint=path)
    assert epochs == [1, 2]
    # the epoch was finished and saved
    resumed = each.fit(its, often, on_epoch=lambda epoch, _: epochs.append(epoch), checkpoint=path)
    assert epochs[2] == 3
    same(resumed, each.fit(its, TRAINER))


def test_the_network_keeps_the_weights_of_its_best_epoch():
    """Noise: the validation loss is lowest before the end, and the scores are of that epoch."""
    each, its = FITS[1]
    result = each.fit(its, TRAINER)
    best = result.training["best_epoch"]
    assert best < result.training["epochs"]
    losses = [epoch["validation_loss"] for epoch in result.training["history"]]
    assert losses.index(min(losses)) + 1 == best
    weights = torch.from_numpy(its.class_weights())[its.validation.codes]
    scores = torch.from_numpy(result.validation_scores)
    again = torch.nn.functional.cross_entropy(
        scores, torch.from_numpy(its.validation.codes), reduction="none"
    )
    assert (weights * again).mean().item() == pytest.approx(min(losses), abs=1e-5)

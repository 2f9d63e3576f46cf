import functools
from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from beyondlinear.models.interface import FitData, FitSeeds, Part, TrainerConfig
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.models.networks import Linear
from beyondlinear.runtime.errors import ConfigError

TRAINER = TrainerConfig(
    accelerator="cpu",
    threads=1,
    batch_size=16,
    gradient_clip=1.0,
    max_epochs=3,
    patience=3,
    stop_below=None,
    epochs_without_validation=2,
    engine="lightning",
)
ADAM = functools.partial(torch.optim.Adam, lr=1e-2)


def data() -> FitData:
    random = np.random.default_rng(0)
    codes = np.arange(60) % 2
    x = (random.standard_normal((60, 5)) + codes[:, None]).astype(np.float32)
    rows = np.arange(60)
    train = Part(x[:40], codes[:40], rows[:40])
    return FitData(train, Part(x[40:], codes[40:], rows[40:]), x[40:], 2, FitSeeds.drawn(0))


class Watcher(pl.Callback):
    seen: list = []  # noqa: RUF012  (of all copies)

    def on_train_epoch_end(self, trainer, module):
        self.seen.append((trainer.precision, trainer.gradient_clip_val, type(module).__name__))


def test_callbacks_of_the_config_are_lightnings():
    Watcher.seen.clear()
    config = replace(TRAINER, callbacks=[Watcher()])
    NetworkModel(Linear, "cross_entropy", ADAM).fit(data(), config)
    assert Watcher.seen == [("32-true", 1.0, "Classifier")] * 3


def test_precision_is_the_trainers():
    in_32 = NetworkModel(Linear, "cross_entropy", ADAM).fit(data(), TRAINER)
    in_64 = NetworkModel(Linear, "cross_entropy", ADAM).fit(
        data(), replace(TRAINER, precision="64-true")
    )
    assert in_64.network.layer.weight.dtype == torch.float64
    np.testing.assert_allclose(in_64.scores, in_32.scores, atol=1e-4)
    assert not np.array_equal(in_64.scores, in_32.scores)


@pytest.mark.parametrize("devices", [2, -1, [0, 1]])
def test_a_fit_trains_on_one_device(devices):
    with pytest.raises(ConfigError, match="is not one device"):
        replace(TRAINER, devices=devices)


class Told(pl.loggers.logger.DummyLogger):
    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append(metrics)


def test_a_logger_is_told_of_each_epochs_losses():
    logger = Told()
    result = NetworkModel(Linear, "cross_entropy", ADAM).fit(data(), TRAINER, logger)
    told = {}
    for row in logger.rows:
        told.setdefault(int(row["epoch"]), {}).update(row)
    assert [told[i] for i in range(3)] == result.training["history"]

import inspect
from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

from beyondlinear.models.interface import FitData, FitSeeds, Part, TrainerConfig
from beyondlinear.models.lightning_model import LightningModel
from beyondlinear.runtime.config import build
from beyondlinear.runtime.errors import ConfigError

TRAINER = TrainerConfig(
    accelerator="cpu",
    threads=1,
    batch_size=16,
    gradient_clip=1.0,
    max_epochs=20,
    patience=5,
    stop_below=None,
    epochs_without_validation=3,
    checkpoint_minutes=0,
)


IMPORTS = "import pytorch_lightning as pl\nimport torch"


class Squares(pl.LightningModule):
    """Logistic regression on the squares of the genes: a module as a user would write it."""

    def __init__(self, n_genes, n_classes, class_weights, lr=0.05):
        super().__init__()
        self.layer = torch.nn.Linear(n_genes, n_classes)
        self.dropout = torch.nn.Dropout(0.1)
        self.loss = torch.nn.CrossEntropyLoss(weight=class_weights)
        self.lr = lr

    def forward(self, x):
        return self.layer(self.dropout(x**2))

    def training_step(self, batch, batch_index):
        x, codes = batch
        return self.loss(self(x), codes)

    def validation_step(self, batch, batch_index):
        x, codes = batch
        self.log("validation_loss", self.loss(self(x), codes), batch_size=len(codes))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Silent(Squares):
    def validation_step(self, batch, batch_index):
        pass


def data(validation=True) -> FitData:
    """Two classes that differ in spread alone, which no linear model sees."""
    random = np.random.default_rng(0)
    codes = np.arange(300) % 2
    x = (random.standard_normal((300, 5)) * (1 + codes[:, None])).astype(np.float32)
    rows = np.arange(300)
    train = Part(x[:150], codes[:150], rows[:150])
    held_out = Part(x[150:200], codes[150:200], rows[150:200]) if validation else None
    return FitData(train, held_out, x[200:], 2, FitSeeds.drawn(0))


MINE = """
name: mine
_target_: beyondlinear.models.lightning_model.LightningModel
module:
  _target_: my_squares.Squares
  _partial_: true
  lr: 0.02
"""


def test_a_users_module_trains_from_one_yaml(tmp_path, monkeypatch):
    (tmp_path / "my_squares.py").write_text(f"{IMPORTS}\n\n{inspect.getsource(Squares)}")
    monkeypatch.syspath_prepend(tmp_path)
    node = OmegaConf.create(MINE)
    result = build(node).fit(data(), TRAINER)
    assert (result.scores.argmax(1) == np.arange(200, 300) % 2).mean() > 0.8
    assert result.training["engine"] == "lightning"
    assert result.training["best_epoch"] <= result.training["epochs"] <= 20
    assert set(result.rows_used) == {"class weights", "weights", "stopping"}
    assert result.probabilities is None  # to be calibrated on the validation part
    assert result.validation_scores.shape == (50, 2)


def test_a_stopped_fit_of_it_ends_in_the_same_bits(tmp_path):
    undisturbed = LightningModel(Squares).fit(data(), TRAINER)

    def stop(epoch, most):
        if epoch == 3:
            raise InterruptedError

    path = tmp_path / "fit.ckpt"
    with pytest.raises(InterruptedError):
        LightningModel(Squares).fit(data(), TRAINER, on_epoch=stop, checkpoint=path)
    resumed = LightningModel(Squares).fit(data(), TRAINER, checkpoint=path)
    assert resumed.training == undisturbed.training
    np.testing.assert_array_equal(resumed.scores, undisturbed.scores)


def test_without_a_validation_part_it_trains_for_as_long_as_the_config_says():
    result = LightningModel(Squares).fit(data(validation=False), TRAINER)
    assert (result.training["epochs"], result.validation_scores) == (3, None)


def test_it_may_go_on_from_trained_weights():
    first = LightningModel(Squares).fit(data(), TRAINER)
    still = LightningModel(lambda *sizes: Squares(*sizes, lr=0.0))
    again = still.fit(data(), TRAINER, start=first.network)
    np.testing.assert_array_equal(again.scores, first.scores)


def test_a_module_that_logs_no_validation_loss_is_refused():
    with pytest.raises((ConfigError, RuntimeError), match="validation_loss"):
        LightningModel(Silent).fit(data(), TRAINER)


def test_the_compiled_engine_cannot_train_it():
    with pytest.raises(ConfigError, match="LightningModule of your own"):
        LightningModel(Squares).fit(data(), replace(TRAINER, engine="compiled"))
    assert not LightningModel(Squares).runs_on_one_thread(TRAINER, 5, 2)

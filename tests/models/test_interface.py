"""What every fit is given: seeds, class weights, rows as arrays, and a trainer's refusals."""

from dataclasses import replace

import numpy as np
import pytest
from omegaconf import OmegaConf

from beyondlinear.data.scaled_rows import ScaledRows
from beyondlinear.models.interface import FitData, FitSeeds, Part, TrainerConfig
from beyondlinear.runtime.errors import ConfigError

SEEDS = FitSeeds(initialisation=1, dropout=2, batch_order=3, estimator=4)
TRAINER = TrainerConfig(
    accelerator="cpu",
    threads=1,
    batch_size=8,
    gradient_clip=None,
    max_epochs=30,
    patience=5,
    stop_below=None,
    epochs_without_validation=7,
)


def fit_data(x, codes):
    part = Part(x, np.array(codes), np.arange(len(codes)))
    return FitData(part, None, x, 2, SEEDS)


def test_each_seed_is_a_stream_of_its_own():
    drawn = FitSeeds.drawn(0, 1, 0.5)
    numbers = [drawn.initialisation, drawn.dropout, drawn.batch_order, drawn.estimator]
    assert len(set(numbers)) == 4
    assert FitSeeds.drawn(0, 1, 0.5) == drawn
    for other in (FitSeeds.drawn(1, 1, 0.5), FitSeeds.drawn(0, 2, 0.5), FitSeeds.drawn(0, 1, 1.0)):
        assert other.initialisation != drawn.initialisation
        assert other.batch_order != drawn.batch_order


def test_trainings_may_share_their_initial_weights_alone():
    first = FitSeeds.drawn(0, "fold", 1, initialisation=("fold",))
    second = FitSeeds.drawn(0, "fold", 2, initialisation=("fold",))
    assert first.initialisation == second.initialisation
    assert first.dropout != second.dropout
    assert first.batch_order != second.batch_order
    assert first.estimator != second.estimator


def test_class_weights_and_log_frequencies_undo_each_other():
    """Three of class 0 and one of class 1: weights 4/(2·3) and 4/(2·1), shares 3/4 and 1/4."""
    data = fit_data(np.zeros((4, 1), np.float32), [0, 0, 1, 0])
    assert data.class_weights() == pytest.approx([2 / 3, 2])
    assert np.exp(data.log_frequencies()) == pytest.approx([0.75, 0.25])
    assert data.class_weights() * np.exp(data.log_frequencies()) == pytest.approx([0.5, 0.5])


def test_dense_makes_arrays_of_scaled_rows():
    matrix = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    shift = np.array([1, 1], np.float32)
    factor = np.array([1, 2], np.float32)
    rows = ScaledRows(matrix, np.array([2, 0]), shift, factor)
    data = replace(fit_data(rows, [0, 1]), validation=Part(rows, np.array([1, 0]), np.arange(2)))
    arrays = data.dense()
    for x in (arrays.train.x, arrays.validation.x, arrays.test_x):
        assert isinstance(x, np.ndarray)
        assert x.tolist() == [[4, 10], [0, 2]]
    assert arrays.train.codes is data.train.codes
    assert fit_data(matrix, [0, 1, 0]).dense().validation is None


def test_epochs_at_most():
    assert TRAINER.epochs_at_most(has_validation=True) == 30
    assert TRAINER.epochs_at_most(has_validation=False) == 7


@pytest.mark.parametrize("devices", [2, [0, 1], []])
def test_more_than_one_device_is_refused(devices):
    with pytest.raises(ConfigError, match="trainer.devices: .* is not one device"):
        replace(TRAINER, devices=devices)
    assert replace(TRAINER, devices=[1]).devices == [1]


def test_a_callback_that_names_no_class_is_refused():
    nameless = OmegaConf.create({"_traget_": "pytorch_lightning.callbacks.Timer"})
    with pytest.raises(ConfigError, match="trainer.callbacks: .*_traget_.* has no _target_"):
        replace(TRAINER, callbacks=[nameless])


def test_a_gpu_that_torch_does_not_see_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="trainer.accelerator=gpu: torch .* sees no GPU"):
        replace(TRAINER, accelerator="gpu").set_up()

import functools
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch

from beyondlinear.models.interface import TrainerConfig
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.models.networks import FiveLayer, Linear
from beyondlinear.runtime.errors import ConfigError

TRAINER = TrainerConfig("cpu", 1, 16, 1.0, 3, 3, None, 3)
FUSED_ADAM = functools.partial(torch.optim.Adam, lr=1e-3, fused=True)
LINEAR = NetworkModel(Linear, "cross_entropy", FUSED_ADAM)


def test_auto_takes_the_compiled_engine_where_it_can_train_the_model():
    assert LINEAR.runs_on_one_thread(TRAINER, 5000, 21)
    assert replace(LINEAR, loss="hinge").runs_on_one_thread(TRAINER, 5000, 21)
    assert not LINEAR.runs_on_one_thread(replace(TRAINER, engine="lightning"), 5000, 21)


@pytest.mark.parametrize(
    ("model", "trainer", "reason"),
    [
        (LINEAR, {"accelerator": "gpu"}, "trainer.accelerator is gpu"),
        (LINEAR, {"precision": "bf16-mixed"}, "trainer.precision is bf16-mixed"),
        (LINEAR, {"callbacks": [pl.Callback()]}, "trainer.callbacks are Lightning's"),
        (
            replace(LINEAR, optimizer=functools.partial(torch.optim.SGD, lr=0.1)),
            {},
            "its optimizer is not torch.optim.Adam",
        ),
        (replace(LINEAR, network=FiveLayer), {}, "its network is"),
        (replace(LINEAR, network=torch.nn.Linear), {}, "its network is"),
    ],
)
def test_where_it_cannot_auto_takes_lightning_and_compiled_says_why(model, trainer, reason):
    assert not model.runs_on_one_thread(replace(TRAINER, **trainer), 5000, 2)
    with pytest.raises(ConfigError, match=reason):
        model.runs_on_one_thread(replace(TRAINER, engine="compiled", **trainer), 5000, 2)

import math

import pytest
import torch

from beyondlinear.models.interface import TrainerConfig, TrainingDiverged
from beyondlinear.models.networks import Linear
from beyondlinear.models.training_state import TrainingState


def trainer(**changes) -> TrainerConfig:
    values = {
        "accelerator": "cpu",
        "threads": 1,
        "batch_size": 16,
        "gradient_clip": None,
        "max_epochs": 10,
        "patience": 2,
        "stop_below": None,
        "epochs_without_validation": 3,
    }
    return TrainerConfig(**(values | changes))


def after(losses: list[float], **changes) -> TrainingState:
    """The state after epochs with these validation losses."""
    state = TrainingState(trainer(**changes), has_validation=True)
    for loss in losses:
        state.note_epoch(1.0, loss, Linear(2, 2))
    return state


@pytest.mark.parametrize(
    ("losses", "reason", "is_over"),
    [
        ([], "max_epochs", False),
        ([0.5, 0.6], "max_epochs", False),
        ([0.5, 0.6, 0.6], "patience", True),
        ([0.5, 0.6, 0.4, 0.6], "max_epochs", False),  # counted anew after 0.4
        ([0.5, 0.5, 0.5], "patience", True),  # as good is no better
        ([0.5, math.nan], "loss not finite", True),
        ([1 - i / 20 for i in range(10)], "max_epochs", True),
    ],
)
def test_when_a_training_is_over(losses, reason, is_over):
    state = after(losses)
    assert (state.stopped_by(), state.is_over) == (reason, is_over)


def test_stop_below_ends_it_at_once():
    assert after([0.5, 0.1], stop_below=0.2).stopped_by() == "loss below stop_below"
    assert not after([0.5, 0.2], stop_below=0.2).is_over


def test_without_a_validation_part_it_lasts_as_long_as_the_config_says():
    state = TrainingState(trainer(), has_validation=False)
    for _ in range(3):
        assert not state.is_over
        state.note_epoch(1.0, None, Linear(2, 2))
    assert state.is_over
    assert state.record("compiled") == {
        "epochs": 3,
        "best_epoch": None,
        "stopped_by": "fixed epochs",
        "engine": "compiled",
        "history": [{"epoch": i, "train_loss": 1.0} for i in range(3)],
    }


def test_the_best_weights_are_copies():
    network = Linear(2, 2)
    state = TrainingState(trainer(), has_validation=True)
    for value, loss in ((1.0, 0.5), (2.0, 0.4), (3.0, 0.6)):
        with torch.no_grad():
            network.layer.weight.fill_(value)
        state.note_epoch(1.0, loss, network)
    state.put_best_weights_back(network)
    assert network.layer.weight.unique().tolist() == [2.0]


def test_a_training_without_a_finite_loss_has_no_weights():
    with pytest.raises(TrainingDiverged, match="the loss is inf"):
        after([math.nan]).put_best_weights_back(Linear(2, 2))


def test_a_state_goes_on_from_what_was_saved():
    first, second = after([0.5, 0.4]), after([])
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    assert second.record("lightning") == first.record("lightning")

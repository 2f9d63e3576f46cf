"""The losses themselves are checked by hand in test_network_model.py, beside their gradients."""

import pytest
import torch

from beyondlinear.models.losses import LOSSES


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_one_number_a_sample_and_falls_as_the_own_score_rises(name):
    codes = torch.tensor([0, 1, 2])
    low, high = torch.zeros(3, 3), torch.eye(3) / 2
    assert LOSSES[name](low, codes).shape == (3,)
    assert (LOSSES[name](high, codes) < LOSSES[name](low, codes)).all()

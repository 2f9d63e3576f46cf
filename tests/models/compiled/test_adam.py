"""One update by hand, and clipping; test_linear.py compares epochs with PyTorch's Adam."""

import numpy as np
import pytest
import torch
from torch import nn

from beyondlinear.models.compiled.adam import (
    AdamSettings,
    adam_applies,
    adam_numbers,
    adam_settings,
    adam_states,
    adam_step,
    clipping_factor,
    with_moments,
)

SETTINGS = AdamSettings(lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, updates=0)


def test_the_first_update_is_as_long_as_the_learning_rate():
    """mean = 0.1·g and square = 0.001·g², both corrected to g and g²: a step of lr·sign(g)."""
    values = np.array([1, 1], np.float32)
    mean = np.zeros(2, np.float32)
    square = np.zeros(2, np.float32)
    gradient = np.array([3, -0.02], np.float32)
    adam_step(values, mean, square, gradient, adam_numbers(SETTINGS, 1, np.float32(1)))
    assert values == pytest.approx([0.9, 1.1])
    assert mean == pytest.approx([0.3, -0.002])
    assert square == pytest.approx([0.009, 4e-7])


def test_weight_decay_pulls_where_there_is_no_gradient():
    values = np.array([2], np.float32)
    mean = np.zeros(1, np.float32)
    square = np.zeros(1, np.float32)
    numbers = adam_numbers(SETTINGS._replace(weight_decay=0.5), 1, np.float32(1))
    adam_step(values, mean, square, np.zeros(1, np.float32), numbers)
    assert mean == pytest.approx([0.1])  # of a gradient of 0.5 · 2
    assert values == pytest.approx([1.9])


def test_one_minus_beta_is_taken_before_it_is_rounded():
    numbers = adam_numbers(SETTINGS, 1, np.float32(1))
    assert numbers.square_share == np.float32(0.001)
    assert numbers.square_share != np.float32(1) - np.float32(0.999)


def test_clipping_shortens_long_gradients_alone():
    assert clipping_factor(16.0, 1.0) == pytest.approx(0.25, rel=1e-5)
    assert clipping_factor(0.25, 1.0) == 1
    assert clipping_factor(1e30, np.inf) == 1


def test_state_is_pytorchs_and_of_the_same_memory():
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, weight_decay=0.2, fused=True)
    assert adam_applies(optimizer, list(layer.parameters()))
    weight_state, bias_state = adam_states(optimizer, [layer.weight, layer.bias])
    assert adam_settings(optimizer, weight_state) == (0.1, 0.9, 0.999, 1e-8, 0.2, 0)
    trained = with_moments(layer.bias, bias_state)
    trained.values[:] = 5
    trained.mean[:] = 6
    assert layer.bias.tolist() == [5, 5]
    assert optimizer.state[layer.bias]["exp_avg"].tolist() == [6, 6]
    bias_state["step"] += 4
    again = adam_states(optimizer, [layer.bias])[0]
    assert adam_settings(optimizer, again).updates == 4

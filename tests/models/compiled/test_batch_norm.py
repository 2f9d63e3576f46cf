"""Batch normalisation against values by hand and PyTorch's own."""

import numpy as np
import pytest
import torch
from torch import nn

from beyondlinear.models.compiled.batch_norm import (
    normalise,
    normalise_backward,
    normalise_by_running,
    scale_and_shift,
)

EPS = np.float32(1e-5)
MOMENTUM = np.float32(0.1)


def test_a_unit_by_hand():
    """Values 1 and 3: mean 2, variance 1 over n and 2 over n − 1."""
    x = np.array([[1], [3], [5]], np.float32)  # the third only fills the batch up
    deviation, normal = np.empty(1, np.float32), np.empty((3, 1), np.float32)
    mean, variance = np.array([10], np.float32), np.array([1], np.float32)
    normalise(x, 2, np.float32(0), MOMENTUM, deviation, normal, mean, variance)
    assert normal[:, 0] == pytest.approx([-1, 1, 3])
    assert deviation == pytest.approx([1])
    assert mean == pytest.approx([0.9 * 10 + 0.1 * 2])
    assert variance == pytest.approx([0.9 * 1 + 0.1 * 2])
    out = np.empty((3, 1), np.float32)
    scale_and_shift(normal, np.array([2], np.float32), np.array([5], np.float32), out)
    assert out[:, 0] == pytest.approx([3, 7, 11])


def test_there_and_back_as_pytorch_has_it():
    random = np.random.default_rng(0)
    x = random.standard_normal((9, 4)).astype(np.float32)
    slopes = random.standard_normal((9, 4)).astype(np.float32)
    norm = nn.BatchNorm1d(4)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -1, 1)
    scale, shift = norm.weight.detach().numpy().copy(), norm.bias.detach().numpy().copy()
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    theirs = norm(leaf)
    theirs.backward(torch.from_numpy(slopes))

    deviation, normal = np.empty(4, np.float32), np.empty((9, 4), np.float32)
    mean, variance = np.zeros(4, np.float32), np.ones(4, np.float32)
    normalise(x, 9, EPS, MOMENTUM, deviation, normal, mean, variance)
    out = np.empty_like(x)
    scale_and_shift(normal, scale, shift, out)
    np.testing.assert_allclose(out, theirs.detach(), atol=1e-6)
    np.testing.assert_allclose(mean, norm.running_mean, atol=1e-6)
    np.testing.assert_allclose(variance, norm.running_var, atol=1e-6)

    scale_gradient = np.empty(4, np.float32)
    square = normalise_backward(slopes, 9, normal, deviation, scale, slopes.sum(0), scale_gradient)
    np.testing.assert_allclose(slopes, leaf.grad, atol=1e-5)
    np.testing.assert_allclose(scale_gradient, norm.weight.grad, atol=1e-5)
    assert square == pytest.approx((norm.weight.grad**2).sum().item(), rel=1e-5)

    norm.eval()
    normalise_by_running(x, 9, EPS, scale, shift, mean, variance)
    np.testing.assert_allclose(x, norm(leaf).detach(), atol=1e-5)

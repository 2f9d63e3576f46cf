"""A dense layer and its gradients against NumPy's products of small whole numbers, which are exact
in float32 in whatever order they are summed."""

import numpy as np
import pytest

from beyondlinear.models.compiled.dense_layer import (
    BLOCK,
    TOGETHER,
    column_sums,
    dense_backward,
    dense_forward,
    dense_gradient,
    filled_up,
    relu,
    relu_backward,
)


def whole_numbers(*shape):
    return np.random.default_rng(0).integers(-3, 4, shape).astype(np.float32)


def test_batches_are_filled_up_to_whole_passes():
    assert TOGETHER == 8
    assert [filled_up(n) for n in (1, 8, 9, 16)] == [8, 8, 16, 16]


@pytest.mark.parametrize("n_in", [5, BLOCK, BLOCK + 3])
def test_forward(n_in):
    x, weight, bias = whole_numbers(20, n_in), whole_numbers(3, n_in), whole_numbers(3)
    rows = np.array([4, 0, 19, 4, 7, 8, 1, 2])
    out = np.empty((10, 3), np.float32)
    dense_forward(x, rows, weight, bias, out)
    np.testing.assert_array_equal(out[:8], x[rows] @ weight.T + bias)


@pytest.mark.parametrize("n_in", [5, BLOCK + 3])
def test_gradient_by_the_weights(n_in):
    x, slopes = whole_numbers(20, n_in), whole_numbers(16, 3)
    rows = np.arange(16)[::-1].copy()
    out = np.full((3, n_in), np.nan, np.float32)  # what was there before does not count
    square = dense_gradient(x, rows, slopes, out)
    expected = slopes.T @ x[rows]
    np.testing.assert_array_equal(out, expected)
    assert square == (expected.astype(np.float64) ** 2).sum()


@pytest.mark.parametrize("n_out", [1, 4, 6])  # whole fours of outputs, and what is left over
def test_gradient_by_the_inputs(n_out):
    slopes, weight = whole_numbers(5, n_out), whole_numbers(n_out, 7)
    out = np.zeros((8, 7), np.float32)
    dense_backward(slopes, weight, out)
    np.testing.assert_array_equal(out[:5], slopes @ weight)
    assert not out[5:].any()


def test_gradient_by_the_biases():
    slopes = np.array([[1, 2], [3, 4], [9, 9]], np.float32)
    out = np.empty(2, np.float32)
    assert column_sums(slopes, 2, out) == 4**2 + 6**2
    assert out.tolist() == [4, 6]


def test_relu_there_and_back():
    x = np.array([[-1, 2], [0, np.nan], [-5, -5]], np.float32)
    relu(x, 2)
    np.testing.assert_array_equal(x, np.array([[0, 2], [0, np.nan], [-5, -5]], np.float32))
    slopes = np.full((2, 2), 7, np.float32)
    relu_backward(slopes, 2, np.array([[0, 2, 1], [3, 0, 1]], np.float32))
    assert slopes.tolist() == [[0, 7], [7, 0]]

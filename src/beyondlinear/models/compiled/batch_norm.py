"""Batch normalisation (Ioffe & Szegedy 2015, algorithm 1) as compiled loops over a batch.

Of each unit, with x_i its value for sample i of n, μ and σ² their mean and variance (over n):

    deviation = 1 / √(σ² + eps)
    normal_i  = (x_i − μ) · deviation
    out_i     = scale · normal_i + shift
"""

import numba
import numpy as np

from beyondlinear.models.compiled.flags import SUMS


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def normalise(
    x: np.ndarray,
    n: int,
    eps: np.float32,
    momentum: np.float32,
    deviation: np.ndarray,
    normal: np.ndarray,
    running_mean: np.ndarray,
    running_variance: np.ndarray,
) -> None:
    """Normalise by the first n rows, before scale and shift; the running means and variances go on,
    the variances with n − 1 as PyTorch has it.

    :param x: (≥ n, n_units); deviation: (n_units,) and normal: (≥ len(x), ≥ n_units), which are
        filled; running_mean, running_variance: (n_units,), moved by `momentum` of the difference
    """
    for j in range(x.shape[1]):
        mean = np.float64(0)
        for i in range(n):
            mean += x[i, j]
        mean /= n
        sum_of_squares = np.float64(0)
        for i in range(n):
            sum_of_squares += (x[i, j] - mean) ** 2
        deviation[j] = 1 / np.sqrt(sum_of_squares / n + eps)
        for i in range(len(x)):
            normal[i, j] = (x[i, j] - mean) * deviation[j]
        unbiased_variance = sum_of_squares / (n - 1)
        running_mean[j] += momentum * (mean - running_mean[j])
        running_variance[j] += momentum * (unbiased_variance - running_variance[j])


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def scale_and_shift(
    normal: np.ndarray, scale: np.ndarray, shift: np.ndarray, out: np.ndarray
) -> None:
    """out (n, n_units) = scale · normal + shift; scale, shift: (n_units,)"""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = normal[i, j] * scale[j] + shift[j]


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def normalise_by_running(
    x: np.ndarray,
    n: int,
    eps: np.float32,
    scale: np.ndarray,
    shift: np.ndarray,
    running_mean: np.ndarray,
    running_variance: np.ndarray,
) -> None:
    """The first n rows of x (≥ n, n_units), in place, normalised by the running means and variances
    (n_units,), as a trained network is evaluated."""
    for j in range(x.shape[1]):
        factor = scale[j] / np.sqrt(running_variance[j] + eps)
        offset = shift[j] - running_mean[j] * factor
        for i in range(n):
            x[i, j] = x[i, j] * factor + offset


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def normalise_backward(
    slopes: np.ndarray,
    n: int,
    normal: np.ndarray,
    deviation: np.ndarray,
    scale: np.ndarray,
    shift_gradient: np.ndarray,
    scale_gradient: np.ndarray,
) -> float:
    """Slopes behind a normalisation into those before it, in place. With s_i the slope by out_i
    (section 3 of the paper, its sums gathered):

        by scale: Σ_i s_i · normal_i        by shift: Σ_i s_i
        by x_i:   scale · deviation · (s_i − (by shift + normal_i · by scale) / n)

    :param slopes: (≥ n, n_units); normal: (≥ n, ≥ n_units) and deviation: (≥ n_units,) of the way
        forward; shift_gradient: (n_units,), which is known; scale_gradient: (n_units,), which is
        filled
    :returns: the sum of squares of `scale_gradient`
    """
    square = np.float64(0)
    for j in range(slopes.shape[1]):
        by_scale = np.float32(0)
        for i in range(n):
            by_scale += slopes[i, j] * normal[i, j]
        scale_gradient[j] = by_scale
        square += np.float64(by_scale) * by_scale
        factor = scale[j] * deviation[j]
        for i in range(n):
            common = (shift_gradient[j] + normal[i, j] * by_scale) / np.float32(n)
            slopes[i, j] = factor * (slopes[i, j] - common)
    return square

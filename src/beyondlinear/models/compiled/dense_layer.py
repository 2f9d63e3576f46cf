"""A dense layer, ReLU after it, and their gradients, as compiled loops over a batch.

With W (n_out, n_in), b (n_out,), inputs X (n, n_in) and outputs Y = X·Wᵀ + b, and with S (n, n_out)
the loss's derivative by Y ("slopes"), the derivatives are Sᵀ·X by W, the column sums of S by b, and
S·W by X.
"""

import numba
import numpy as np

from beyondlinear.models.compiled.flags import SUMS

BLOCK = 1024  # inputs (genes) at a time
# samples whose products share a pass over the weights; a batch is filled up with one that counts
# nothing
TOGETHER = 8


@numba.njit(nogil=True, inline="always")
def filled_up(n: int) -> int:
    """n, rounded up to a multiple of TOGETHER."""
    return -(-n // TOGETHER) * TOGETHER


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def dense_forward(
    x: np.ndarray, rows: np.ndarray, weight: np.ndarray, bias: np.ndarray, out: np.ndarray
) -> None:
    """out = x[rows]·weightᵀ + bias.

    :param x: (any, n_in); rows: (n,) of them, n a multiple of 4; out: (≥ n, n_out)
    """
    n_out, n_in = weight.shape
    for i in range(len(rows)):
        for k in range(n_out):
            out[i, k] = bias[k]
    for begin in range(0, n_in, BLOCK):
        end = min(begin + BLOCK, n_in)
        # four samples read each weight once
        for i in range(0, len(rows), 4):
            x0 = x[rows[i], begin:end]
            x1 = x[rows[i + 1], begin:end]
            x2 = x[rows[i + 2], begin:end]
            x3 = x[rows[i + 3], begin:end]
            for k in range(n_out):
                w = weight[k, begin:end]
                sum0 = sum1 = sum2 = sum3 = np.float32(0)
                for j in range(len(w)):
                    sum0 += x0[j] * w[j]
                    sum1 += x1[j] * w[j]
                    sum2 += x2[j] * w[j]
                    sum3 += x3[j] * w[j]
                out[i, k] += sum0
                out[i + 1, k] += sum1
                out[i + 2, k] += sum2
                out[i + 3, k] += sum3


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def dense_gradient(x: np.ndarray, rows: np.ndarray, slopes: np.ndarray, out: np.ndarray) -> float:
    """out = slopesᵀ·x[rows], the gradient by the weights; returns the sum of its squares.

    :param x: (any, n_in); rows: (n,) of them, n a multiple of TOGETHER; slopes: (≥ n, n_out), 0 in
        the rows that fill the batch up; out: (n_out, n_in)
    """
    n_out, n_in = out.shape
    square = np.float64(0)
    for begin in range(0, n_in, BLOCK):
        end = min(begin + BLOCK, n_in)
        for k in range(n_out):
            to = out[k, begin:end]
            to[:] = np.float32(0)
            # TOGETHER samples go by in one pass over the gradient
            for i in range(0, len(rows), TOGETHER):
                s0 = slopes[i, k]
                s1 = slopes[i + 1, k]
                s2 = slopes[i + 2, k]
                s3 = slopes[i + 3, k]
                s4 = slopes[i + 4, k]
                s5 = slopes[i + 5, k]
                s6 = slopes[i + 6, k]
                s7 = slopes[i + 7, k]
                x0 = x[rows[i], begin:end]
                x1 = x[rows[i + 1], begin:end]
                x2 = x[rows[i + 2], begin:end]
                x3 = x[rows[i + 3], begin:end]
                x4 = x[rows[i + 4], begin:end]
                x5 = x[rows[i + 5], begin:end]
                x6 = x[rows[i + 6], begin:end]
                x7 = x[rows[i + 7], begin:end]
                for j in range(len(to)):
                    first_four = s0 * x0[j] + s1 * x1[j] + s2 * x2[j] + s3 * x3[j]
                    last_four = s4 * x4[j] + s5 * x5[j] + s6 * x6[j] + s7 * x7[j]
                    to[j] += first_four + last_four
            of_block = np.float32(0)
            for j in range(len(to)):
                of_block += to[j] * to[j]
            square += of_block
    return square


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def dense_backward(slopes: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """out += slopes·weight, the gradient by the inputs.

    :param slopes: (n, n_out); weight: (n_out, n_in); out: (≥ n, n_in), zeros before
    """
    n_out, n_in = weight.shape
    in_fours = n_out - n_out % 4
    for i in range(len(slopes)):
        to = out[i]
        s = slopes[i]
        for k in range(0, in_fours, 4):
            s0, s1, s2, s3 = s[k], s[k + 1], s[k + 2], s[k + 3]
            w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
            for j in range(n_in):
                to[j] += s0 * w0[j] + s1 * w1[j] + s2 * w2[j] + s3 * w3[j]
        for k in range(in_fours, n_out):
            for j in range(n_in):
                to[j] += s[k] * weight[k, j]


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def column_sums(slopes: np.ndarray, n: int, out: np.ndarray) -> float:
    """out = sums over the first n rows, the gradient by the biases; returns the sum of their
    squares.

    :param slopes: (≥ n, n_out); out: (n_out,)
    """
    square = np.float64(0)
    out[:] = np.float32(0)
    for i in range(n):
        for j in range(len(out)):
            out[j] += slopes[i, j]
    for j in range(len(out)):
        square += np.float64(out[j]) * out[j]
    return square


@numba.njit(nogil=True, inline="always")
def relu(x: np.ndarray, n: int) -> None:
    """max(0, x) of the first n rows, in place."""
    for i in range(n):
        for j in range(x.shape[1]):
            x[i, j] = np.float32(0) if x[i, j] < 0 else x[i, j]  # NaN stays


@numba.njit(nogil=True, inline="always")
def relu_backward(slopes: np.ndarray, n: int, outputs: np.ndarray) -> None:
    """Slopes behind ReLU into those before it, in place: 0 where its output is 0.

    :param slopes: (≥ n, n_units); outputs: (≥ n, ≥ n_units), of ReLU
    """
    for i in range(n):
        for j in range(slopes.shape[1]):
            slopes[i, j] *= np.float32(1) if outputs[i, j] > 0 else np.float32(0)

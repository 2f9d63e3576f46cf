"""The compiled loops of `small_net_epoch`: forward, backward and update of a network with hidden layers, batch by batch."""

import numba
import numpy as np

from beyondlinear.linear_epoch import (
    SUMS,
    TOGETHER,
    adam_numbers,
    adam_step,
    cross_entropy_of,
    gradients_of,
    hinge_of,
    ready,
    scores_of,
)

_BLOCK = 64  # rows whose loss is read at a time
_U = np.uint64


@numba.njit(nogil=True, cache=True)
def keeps(seed: int, step: int, first: int, n: int, width: int, share: float) -> np.ndarray:
    """What dropout multiplies the outputs of a layer with: (n, width), 1/share or 0.

    Each is a number of its own of one splitmix64 sequence (Steele, Lea & Flood 2014): `first` is that of the layer's first.
    """
    out = np.empty((n, width), np.float32)
    begin = (_U(seed) ^ (_U(step) << _U(32))) + _U(first)
    kept, most = np.float32(1 / share), _U(share * 2.0**32)
    for i in range(n):
        for j in range(width):
            z = (begin + _U(i * width + j) + _U(1)) * _U(0x9E3779B97F4A7C15)
            z = (z ^ (z >> _U(30))) * _U(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> _U(27))) * _U(0x94D049BB133111EB)
            out[i, j] = kept if ((z ^ (z >> _U(31))) >> _U(32)) < most else np.float32(0)
    return out


@numba.njit(nogil=True, cache=True, fastmath=SUMS, error_model="numpy")
def epoch(data: tuple, held: tuple, layers: tuple, how: tuple, adam: tuple) -> float:
    """data: as of `linear_epoch`; held: weights and biases of all layers (and scales and shifts of norms) in the order of the
    network's parameters, their two moments, and the norms' running means and variances."""
    matrix, order, shift, factor, codes, ends = data
    flat, flat_mean, flat_square, running_mean, running_variance = held
    widths, normalised, share, eps, momentum = layers
    class_weights, is_hinge, clip, seed = how
    lr, beta1, beta2, adam_eps, weight_decay, step = adam
    n_layers, most = len(widths) - 1, np.max(ends[1:] - ends[:-1]) + TOGETHER
    rows, own = np.empty(most, np.int64), np.arange(most)
    buffer = np.empty((most if len(shift) else 0, widths[0]), np.float32)
    gradient = np.zeros_like(flat)
    widest = np.max(widths[1:])
    # of each hidden layer: the outputs after ReLU, after normalisation, and after dropout, which are the next layer's inputs
    relu, normal = np.empty((n_layers, most, widest), np.float32), np.empty((n_layers, most, widest), np.float32)
    masks, deviation = np.empty((n_layers, most, widest), np.float32), np.empty((n_layers, widest), np.float32)
    total = 0.0
    for b in range(len(ends) - 1):
        n = ends[b + 1] - ends[b]
        padded = -(-n // TOGETHER) * TOGETHER
        rows[:n], rows[n:padded] = order[ends[b] : ends[b + 1]], order[ends[b]]
        x = ready(matrix, rows[:padded], shift, factor, buffer)
        hidden = [buffer]
        at, unit = 0, 0
        for layer in range(n_layers):
            n_in, n_out = widths[layer], widths[layer + 1]
            weight = flat[at : at + n_in * n_out].reshape(n_out, n_in)
            bias = flat[at + n_in * n_out : at + n_in * n_out + n_out]
            at += n_in * n_out + n_out
            out = np.empty((padded, n_out), np.float32)
            if layer == 0:  # a matrix of its own type
                scores_of(x, rows[:padded], weight, bias, out)
            else:
                scores_of(hidden[layer], own[:padded], weight, bias, out)
            hidden.append(out)
            if layer == n_layers - 1:
                break
            for i in range(padded):
                for j in range(n_out):
                    out[i, j] = np.float32(0) if out[i, j] < 0 else out[i, j]  # NaN stays
                    relu[layer, i, j] = out[i, j]
            if normalised:
                begin = unit
                scaled, shifted = flat[at : at + n_out], flat[at + n_out : at + 2 * n_out]
                at += 2 * n_out
                means, variances = running_mean[begin : begin + n_out], running_variance[begin : begin + n_out]
                _normalise(out, n, deviation[layer, :n_out], normal[layer], means, variances, eps, momentum)
                for i in range(padded):
                    for j in range(n_out):
                        out[i, j] = normal[layer, i, j] * scaled[j] + shifted[j]
            if share < 1:
                masks[layer, :padded, :n_out] = keeps(seed, step, unit * most, padded, n_out, share)
                for i in range(padded):
                    for j in range(n_out):
                        out[i, j] *= masks[layer, i, j]
            unit += n_out
        scores = hidden[n_layers]
        for i in range(n):
            code = codes[ends[b] + i]
            total += class_weights[code] * (
                hinge_of(scores[i], code) if is_hinge else cross_entropy_of(scores[i], code)
            )
            scores[i] *= class_weights[code] / np.float32(n)
        scores[n:padded] = np.float32(0)
        square, slopes = np.float64(0), scores
        for layer in range(n_layers - 1, -1, -1):
            n_in, n_out = widths[layer], widths[layer + 1]
            if normalised and layer < n_layers - 1:
                at -= 2 * n_out
            at -= n_out
            square += _column_sums(slopes, n, gradient[at : at + n_out])
            at -= n_in * n_out
            weight = flat[at : at + n_in * n_out].reshape(n_out, n_in)
            into = gradient[at : at + n_in * n_out].reshape(n_out, n_in)
            if layer == 0:
                square += gradients_of(x, rows[:padded], slopes, into)
                break
            square += gradients_of(hidden[layer], own[:padded], slopes, into)
            below = np.zeros((padded, n_in), np.float32)
            _back(slopes[:n], weight, below)
            if share < 1:
                for i in range(n):
                    for j in range(n_in):
                        below[i, j] *= masks[layer - 1, i, j]
            if normalised:
                scaled = flat[at - 2 * n_in : at - n_in]
                square += _column_sums(below, n, gradient[at - n_in : at])
                at_shift, at_scale = gradient[at - n_in : at], gradient[at - 2 * n_in : at - n_in]
                square += _back_normalised(
                    below, n, normal[layer - 1], deviation[layer - 1], scaled, at_shift, at_scale
                )
            for i in range(n):
                for j in range(n_in):
                    below[i, j] *= np.float32(1) if relu[layer - 1, i, j] > 0 else np.float32(0)
            slopes = below
        step += 1
        scale = np.float32(1 / max((np.sqrt(square) + 1e-6) / clip, 1.0))
        shared = adam_numbers(lr, beta1, beta2, adam_eps, weight_decay, step, scale)
        adam_step(flat, flat_mean, flat_square, gradient, shared)
    return total


@numba.njit(nogil=True, cache=True, fastmath=SUMS, error_model="numpy")
def losses(data: tuple, held: tuple, layers: tuple, class_weights: np.ndarray, is_hinge: bool) -> float:
    matrix, order, shift, factor, codes = data
    flat, running_mean, running_variance = held
    widths, normalised, _, eps, _ = layers
    n_layers, own, total = len(widths) - 1, np.arange(_BLOCK), 0.0
    buffer = np.empty((_BLOCK if len(shift) else 0, widths[0]), np.float32)
    for start in range(0, len(codes), _BLOCK):
        n = min(_BLOCK, len(codes) - start)
        rows = order[np.minimum(np.arange(start, start + _BLOCK), len(codes) - 1)]
        x, at, unit, out = ready(matrix, rows, shift, factor, buffer), 0, 0, buffer
        for layer in range(n_layers):
            n_in, n_out = widths[layer], widths[layer + 1]
            weight = flat[at : at + n_in * n_out].reshape(n_out, n_in)
            bias = flat[at + n_in * n_out : at + n_in * n_out + n_out]
            at += n_in * n_out + n_out
            inputs, out = out, np.empty((_BLOCK, n_out), np.float32)
            if layer == 0:
                scores_of(x, rows, weight, bias, out)
            else:
                scores_of(inputs, own, weight, bias, out)
            if layer == n_layers - 1:
                break
            for i in range(n):
                for j in range(n_out):
                    out[i, j] = np.float32(0) if out[i, j] < 0 else out[i, j]  # NaN stays
            if normalised:
                for j in range(n_out):
                    factor_j = flat[at + j] / np.sqrt(running_variance[unit + j] + eps)
                    shift_j = flat[at + n_out + j] - running_mean[unit + j] * factor_j
                    for i in range(n):
                        out[i, j] = out[i, j] * factor_j + shift_j
                at += 2 * n_out
            unit += n_out
        for i in range(n):
            code = codes[start + i]
            total += class_weights[code] * (hinge_of(out[i], code) if is_hinge else cross_entropy_of(out[i], code))
    return total


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def _normalise(
    x: np.ndarray,
    n: int,
    deviation: np.ndarray,
    out: np.ndarray,
    means: np.ndarray,
    variances: np.ndarray,
    eps: float,
    momentum: float,
) -> None:
    """Batch normalisation (Ioffe & Szegedy 2015) of the first n rows of x, before scale and shift, into `out`; deviation gets
    1/√(variance + eps), and the running means and variances go on, the variances with n − 1."""
    for j in range(x.shape[1]):
        mean, variance = np.float64(0), np.float64(0)
        for i in range(n):
            mean += x[i, j]
        mean /= n
        for i in range(n):
            variance += (x[i, j] - mean) ** 2
        deviation[j] = 1 / np.sqrt(variance / n + eps)
        for i in range(len(x)):
            out[i, j] = (x[i, j] - mean) * deviation[j]
        means[j] += momentum * (mean - means[j])
        variances[j] += momentum * (variance / (n - 1) - variances[j])


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def _back_normalised(
    slopes: np.ndarray,
    n: int,
    normal: np.ndarray,
    deviation: np.ndarray,
    scaled: np.ndarray,
    at_shift: np.ndarray,
    at_scale: np.ndarray,
) -> float:
    """Slopes behind a normalisation into those before it, in place; returns the sum of squares of `at_scale`, which it fills.

    :param at_shift: (n_units,) sums of the slopes
    """
    square = np.float64(0)
    for j in range(slopes.shape[1]):
        at = np.float32(0)
        for i in range(n):
            at += slopes[i, j] * normal[i, j]
        at_scale[j] = at
        square += np.float64(at) * at
        factor = scaled[j] * deviation[j]
        for i in range(n):
            slopes[i, j] = factor * (slopes[i, j] - (at_shift[j] + normal[i, j] * at) / np.float32(n))
    return square


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def _column_sums(x: np.ndarray, n: int, out: np.ndarray) -> float:
    """Sums over the first n rows; returns the sum of their squares."""
    square = np.float64(0)
    out[:] = np.float32(0)
    for i in range(n):
        for j in range(len(out)):
            out[j] += x[i, j]
    for j in range(len(out)):
        square += np.float64(out[j]) * out[j]
    return square


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def _back(slopes: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """out += slopes · weight."""
    n_out, n_in = weight.shape
    four = n_out - n_out % 4
    for i in range(len(slopes)):
        to, by = out[i], slopes[i]
        for k in range(0, four, 4):
            a, b, c, d = by[k], by[k + 1], by[k + 2], by[k + 3]
            t, u, v, w = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
            for j in range(n_in):
                to[j] += a * t[j] + b * u[j] + c * v[j] + d * w[j]
        for k in range(four, n_out):
            for j in range(n_in):
                to[j] += by[k] * weight[k, j]

"""The compiled loops of `small_net`: forward, backward and update of a network with hidden layers,
batch by batch.

A hidden layer is dense, ReLU, batch normalisation (if the network has it) and dropout; the last
layer is dense. dense_layer.py, batch_norm.py and dropout.py hold their formulas.
"""

from typing import NamedTuple

import numba
import numpy as np

from beyondlinear.models.compiled.adam import (
    AdamSettings,
    Trained,
    adam_numbers,
    adam_step,
    clipping_factor,
)
from beyondlinear.models.compiled.batch_norm import (
    normalise,
    normalise_backward,
    normalise_by_running,
    scale_and_shift,
)
from beyondlinear.models.compiled.dense_layer import (
    TOGETHER,
    column_sums,
    dense_backward,
    dense_forward,
    dense_gradient,
    filled_up,
    relu,
    relu_backward,
)
from beyondlinear.models.compiled.dropout import drop, dropout_mask
from beyondlinear.models.compiled.flags import SUMS
from beyondlinear.models.compiled.losses import add_losses, add_losses_with_slopes
from beyondlinear.models.compiled.rows import EpochRows, RowSource, row_buffer, scale_rows

_BLOCK = 64  # rows whose loss is read at a time


class NetSettings(NamedTuple):
    """widths: (n_layers + 1,) from genes to classes; normalised: whether hidden layers have batch
    normalisation; share: of the units, those that dropout keeps; eps, momentum: of the
    normalisations."""

    widths: np.ndarray
    normalised: bool
    share: np.float32
    eps: np.float32
    momentum: np.float32


class Running(NamedTuple):
    """The normalisations' running means and variances, (n hidden units,) of all hidden layers one
    after another."""

    mean: np.ndarray
    variance: np.ndarray


class Places(NamedTuple):
    """Where the parameters of each layer begin and end, (n_layers,) each, in one vector that holds
    all of them in the order of the network's parameters.

    weights lie in weight:bias, biases in bias:scale, scales in scale:shift, shifts in shift:end;
    unit: the place of a layer's first unit among all hidden units.
    """

    weight: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    end: np.ndarray
    unit: np.ndarray


@numba.njit(nogil=True, cache=True)
def places_of(widths: np.ndarray, normalised: bool) -> Places:
    n_layers = len(widths) - 1
    weight = np.empty(n_layers, np.int64)
    bias = np.empty(n_layers, np.int64)
    scale = np.empty(n_layers, np.int64)
    shift = np.empty(n_layers, np.int64)
    end = np.empty(n_layers, np.int64)
    unit = np.empty(n_layers, np.int64)
    place = 0
    units = 0
    for layer in range(n_layers):
        n_in, n_out = widths[layer], widths[layer + 1]
        n_scales = n_out if normalised and layer < n_layers - 1 else 0
        unit[layer] = units
        weight[layer] = place
        bias[layer] = weight[layer] + n_in * n_out
        scale[layer] = bias[layer] + n_out
        shift[layer] = scale[layer] + n_scales
        end[layer] = shift[layer] + n_scales
        place = end[layer]
        units += n_out
    return Places(weight, bias, scale, shift, end, unit)


@numba.njit(nogil=True, cache=True, fastmath=SUMS, error_model="numpy")
def epoch(
    data: EpochRows,
    parameters: Trained,
    running: Running,
    net: NetSettings,
    class_weights: np.ndarray,
    is_hinge: bool,
    largest_norm: float,
    seed: np.uint64,
    adam: AdamSettings,
) -> float:
    """The sum of the samples' weighted losses. The parameters (in the order of `Places`), their
    moments and the running statistics are updated in place.

    :param largest_norm: of an update's gradient; seed: of the units that dropout keeps
    """
    source, codes, ends = data
    values = parameters.values
    widths = net.widths
    n_layers = len(widths) - 1
    places = places_of(widths, net.normalised)
    most = np.max(ends[1:] - ends[:-1]) + TOGETHER
    rows = np.empty(most, np.int64)
    every_row = np.arange(most)
    buffer = row_buffer(most, source)
    gradient = np.zeros_like(values)
    # of each hidden layer, for the way back: outputs of ReLU, of the normalisation before scale and
    # shift, what dropout multiplied with, and 1/√(variance + eps)
    widest = np.max(widths[1:])
    relu_outputs = np.empty((n_layers, most, widest), np.float32)
    normal = np.empty((n_layers, most, widest), np.float32)
    masks = np.empty((n_layers, most, widest), np.float32)
    deviation = np.empty((n_layers, widest), np.float32)
    update = adam.updates
    total = 0.0
    for b in range(len(ends) - 1):
        n = ends[b + 1] - ends[b]
        padded = filled_up(n)
        rows[:n] = source.order[ends[b] : ends[b + 1]]
        rows[n:padded] = source.order[ends[b]]
        x = scale_rows(source, rows[:padded], buffer)

        # forward; inputs[layer]: what a layer but the first reads
        inputs = [buffer]
        for layer in range(n_layers):
            n_in, n_out = widths[layer], widths[layer + 1]
            weight = values[places.weight[layer] : places.bias[layer]].reshape(n_out, n_in)
            bias = values[places.bias[layer] : places.scale[layer]]
            out = np.empty((padded, n_out), np.float32)
            if layer == 0:  # a matrix of its own type
                dense_forward(x, rows[:padded], weight, bias, out)
            else:
                dense_forward(inputs[layer], every_row[:padded], weight, bias, out)
            inputs.append(out)
            if layer == n_layers - 1:
                break
            relu(out, padded)
            relu_outputs[layer, :padded, :n_out] = out
            unit = places.unit[layer]
            if net.normalised:
                normalise(
                    out,
                    n,
                    net.eps,
                    net.momentum,
                    deviation[layer, :n_out],
                    normal[layer],
                    running.mean[unit : unit + n_out],
                    running.variance[unit : unit + n_out],
                )
                scale = values[places.scale[layer] : places.shift[layer]]
                shift = values[places.shift[layer] : places.end[layer]]
                scale_and_shift(normal[layer], scale, shift, out)
            if net.share < 1:
                mask = dropout_mask(seed, update, unit * most, padded, n_out, net.share)
                masks[layer, :padded, :n_out] = mask
                drop(out, padded, masks[layer])

        slopes = inputs[n_layers]
        batch_codes = codes[ends[b] : ends[b + 1]]
        total = add_losses_with_slopes(total, slopes, batch_codes, class_weights, is_hinge)

        # backward; square: the sum of squares of the whole gradient
        square = np.float64(0)
        for layer in range(n_layers - 1, -1, -1):
            n_in, n_out = widths[layer], widths[layer + 1]
            square += column_sums(slopes, n, gradient[places.bias[layer] : places.scale[layer]])
            weight = values[places.weight[layer] : places.bias[layer]].reshape(n_out, n_in)
            by_weight = gradient[places.weight[layer] : places.bias[layer]].reshape(n_out, n_in)
            if layer == 0:
                square += dense_gradient(x, rows[:padded], slopes, by_weight)
                break
            square += dense_gradient(inputs[layer], every_row[:padded], slopes, by_weight)
            below = layer - 1
            slopes_below = np.zeros((padded, n_in), np.float32)
            dense_backward(slopes[:n], weight, slopes_below)
            if net.share < 1:
                drop(slopes_below, n, masks[below])
            if net.normalised:
                shift_gradient = gradient[places.shift[below] : places.end[below]]
                square += column_sums(slopes_below, n, shift_gradient)
                square += normalise_backward(
                    slopes_below,
                    n,
                    normal[below],
                    deviation[below],
                    values[places.scale[below] : places.shift[below]],
                    shift_gradient,
                    gradient[places.scale[below] : places.shift[below]],
                )
            relu_backward(slopes_below, n, relu_outputs[below])
            slopes = slopes_below

        update += 1
        numbers = adam_numbers(adam, update, clipping_factor(square, largest_norm))
        adam_step(values, parameters.mean, parameters.square, gradient, numbers)
    return total


@numba.njit(nogil=True, cache=True, fastmath=SUMS, error_model="numpy")
def losses(
    source: RowSource,
    codes: np.ndarray,
    values: np.ndarray,
    running: Running,
    net: NetSettings,
    class_weights: np.ndarray,
    is_hinge: bool,
) -> float:
    """The sum of the samples' weighted losses, without dropout and with running statistics.

    :param codes: (n,) in the order of the source's rows; values: the parameters, in the order of
        `Places`
    """
    widths = net.widths
    n_layers = len(widths) - 1
    places = places_of(widths, net.normalised)
    every_row = np.arange(_BLOCK)
    buffer = row_buffer(_BLOCK, source)
    total = 0.0
    for begin in range(0, len(codes), _BLOCK):
        end = min(begin + _BLOCK, len(codes))
        n = end - begin
        # the last sample stands for those that a whole block lacks
        rows = source.order[np.minimum(np.arange(begin, begin + _BLOCK), len(codes) - 1)]
        x = scale_rows(source, rows, buffer)
        out = buffer
        for layer in range(n_layers):
            n_in, n_out = widths[layer], widths[layer + 1]
            weight = values[places.weight[layer] : places.bias[layer]].reshape(n_out, n_in)
            bias = values[places.bias[layer] : places.scale[layer]]
            inputs = out
            out = np.empty((_BLOCK, n_out), np.float32)
            if layer == 0:  # a matrix of its own type
                dense_forward(x, rows, weight, bias, out)
            else:
                dense_forward(inputs, every_row, weight, bias, out)
            if layer == n_layers - 1:
                break
            relu(out, n)
            if net.normalised:
                unit = places.unit[layer]
                normalise_by_running(
                    out,
                    n,
                    net.eps,
                    values[places.scale[layer] : places.shift[layer]],
                    values[places.shift[layer] : places.end[layer]],
                    running.mean[unit : unit + n_out],
                    running.variance[unit : unit + n_out],
                )
        total = add_losses(total, out, codes[begin:end], class_weights, is_hinge)
    return total

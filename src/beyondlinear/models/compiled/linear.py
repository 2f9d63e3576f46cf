"""One epoch of a linear network as one compiled loop: the same updates as PyTorch's, without its
calls between them.

A step on 16 samples × 5,000 genes is some thirty microseconds of arithmetic, and PyTorch needs
twenty times that to start its operations. Here the batch, the weights and Adam's moments stay in
the processor's cache from the first product to the update.
"""

import numba
import numpy as np
import torch
from torch import Tensor, nn

from beyondlinear.models.compiled.adam import (
    AdamSettings,
    Trained,
    adam_numbers,
    adam_settings,
    adam_states,
    adam_step,
    clipping_factor,
    with_moments,
)
from beyondlinear.models.compiled.dense_layer import (
    TOGETHER,
    column_sums,
    dense_forward,
    dense_gradient,
    filled_up,
)
from beyondlinear.models.compiled.flags import SUMS
from beyondlinear.models.compiled.losses import add_losses, add_losses_with_slopes
from beyondlinear.models.compiled.rows import (
    EpochRows,
    RowSource,
    epoch_rows,
    row_buffer,
    row_source,
    scale_rows,
)
from beyondlinear.models.datamodule import Batches
from beyondlinear.models.losses import Loss, hinge


def train_epoch(
    layer: nn.Linear,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    class_weights: Tensor,
    gradient_clip: float | None,
    batches: Batches,
) -> float:
    """Update the layer on every batch, and with it Adam's state (Kingma & Ba 2015, as
    `torch.optim.Adam` keeps it); the mean of the samples' weighted losses, each from before its
    update.

    :param gradient_clip: largest norm of an update's gradient, None: any
    """
    weight_state, bias_state = adam_states(optimizer, [layer.weight, layer.bias])
    data = epoch_rows(batches)
    total = _epoch(
        data,
        with_moments(layer.weight, weight_state),
        with_moments(layer.bias, bias_state),
        class_weights.numpy(),
        loss is hinge,
        np.inf if gradient_clip is None else gradient_clip,
        adam_settings(optimizer, weight_state),
    )
    weight_state["step"] += batches.n_batches
    bias_state["step"] += batches.n_batches
    return float(total) / len(batches.codes)


def mean_loss(layer: nn.Linear, loss: Loss, class_weights: Tensor, batches: Batches) -> float:
    """Mean of the samples' weighted losses, on one thread: the same bits however many fits are
    under way."""
    codes = batches.codes.numpy()
    total = _losses(
        row_source(batches.x, np.arange(len(codes))),
        codes,
        layer.weight.detach().numpy(),
        layer.bias.detach().numpy(),
        class_weights.numpy(),
        loss is hinge,
    )
    return float(total) / len(codes)


@numba.njit(nogil=True, cache=True, fastmath=SUMS, error_model="numpy")
def _epoch(
    data: EpochRows,
    weights: Trained,
    biases: Trained,
    class_weights: np.ndarray,
    is_hinge: bool,
    largest_norm: float,
    adam: AdamSettings,
) -> float:
    """The sum of the samples' weighted losses; weights (n_classes, n_genes), biases (n_classes,)
    and their moments are updated in place."""
    source, codes, ends = data
    n_classes = len(biases.values)
    most = np.max(ends[1:] - ends[:-1]) + TOGETHER
    rows = np.empty(most, np.int64)
    buffer = row_buffer(most, source)
    scores = np.empty((most, n_classes), np.float32)
    gradient = np.empty_like(weights.values)
    bias_gradient = np.empty_like(biases.values)
    update = adam.updates
    total = 0.0
    for b in range(len(ends) - 1):
        n = ends[b + 1] - ends[b]
        padded = filled_up(n)
        rows[:n] = source.order[ends[b] : ends[b + 1]]
        rows[n:padded] = source.order[ends[b]]
        x = scale_rows(source, rows[:padded], buffer)
        dense_forward(x, rows[:padded], weights.values, biases.values, scores)
        slopes = scores[:padded]
        batch_codes = codes[ends[b] : ends[b + 1]]
        total = add_losses_with_slopes(total, slopes, batch_codes, class_weights, is_hinge)
        square = dense_gradient(x, rows[:padded], slopes, gradient)
        square += column_sums(slopes, n, bias_gradient)
        update += 1
        numbers = adam_numbers(adam, update, clipping_factor(square, largest_norm))
        for k in range(n_classes):
            adam_step(weights.values[k], weights.mean[k], weights.square[k], gradient[k], numbers)
        adam_step(biases.values, biases.mean, biases.square, bias_gradient, numbers)
    return total


@numba.njit(nogil=True, cache=True, fastmath=SUMS, error_model="numpy")
def _losses(
    source: RowSource,
    codes: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    class_weights: np.ndarray,
    is_hinge: bool,
) -> float:
    """The sum of the samples' weighted losses; codes (n,) in the order of the source's rows."""
    scores = np.empty((TOGETHER, len(bias)), np.float32)
    buffer = row_buffer(TOGETHER, source)
    total = 0.0
    for begin in range(0, len(codes), TOGETHER):
        end = min(begin + TOGETHER, len(codes))
        # the last sample stands for those that a whole number of them lacks
        rows = source.order[np.minimum(np.arange(begin, begin + TOGETHER), len(codes) - 1)]
        x = scale_rows(source, rows, buffer)
        dense_forward(x, rows, weight, bias, scores)
        total = add_losses(total, scores, codes[begin:end], class_weights, is_hinge)
    return total

"""One epoch of a linear network as one compiled loop: the same updates as PyTorch's, without its calls between them.

A step on 16 samples × 5,000 genes is some thirty microseconds of arithmetic, and PyTorch needs twenty times that to start its
operations. Here the batch, the weights and Adam's moments stay in the processor's cache from the first product to the update.
"""

from collections.abc import Callable

import numba
import numpy as np
import torch
from torch import Tensor, nn

from beyondlinear.datamodule import Batches
from beyondlinear.losses import cross_entropy, hinge
from beyondlinear.view import View

Loss = Callable[[Tensor, Tensor], Tensor]

BLOCK = 1024  # genes at a time
TOGETHER = 8  # samples whose products share a pass over the weights; a batch is filled up with one that counts nothing

# sums may be taken in any order (SIMD lanes), always the same on one machine; NaN and infinity keep their meaning
SUMS = {"reassoc", "contract", "nsz"}


def can_run(layer: nn.Linear, optimizer: torch.optim.Optimizer, loss: Loss) -> bool:
    """Whether training with these is what is written here."""
    known = loss in (cross_entropy, hinge) and layer.bias is not None
    return known and adam_applies(optimizer, list(layer.parameters()))


def adam_applies(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> bool:
    """Whether an update of these parameters is `adam_step`: fused Adam on float32 in main memory."""
    if type(optimizer) is not torch.optim.Adam or len(optimizer.param_groups) != 1:
        return False
    group = optimizer.param_groups[0]
    plain = group["fused"] and not (group["amsgrad"] or group["maximize"] or group["decoupled_weight_decay"])
    held = all(p.device.type == "cpu" and p.dtype == torch.float32 and p.requires_grad for p in parameters)
    same = [id(p) for p in group["params"]] == [id(p) for p in parameters]
    return bool(plain and held and same and isinstance(group["lr"], float))


def train_epoch(
    layer: nn.Linear,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    class_weights: Tensor,
    gradient_clip: float | None,
    batches: Batches,
) -> float:
    """Update the layer on every batch, and with it Adam's state (Kingma & Ba 2015, as `torch.optim.Adam` keeps it); the mean of
    the samples' weighted losses, each from before its update.

    :param gradient_clip: largest norm of an update's gradient, None: any
    """
    group, states = optimizer.param_groups[0], []
    for p in (layer.weight, layer.bias):
        if not optimizer.state[p]:
            zeros = {name: torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
            optimizer.state[p] = {"step": torch.zeros((), dtype=torch.float32), **zeros}
        states.append(optimizer.state[p])
    order = batches.order()
    sizes = [len(part) for part in torch.tensor_split(order, batches.n_batches)]
    total = _epoch(
        (*source(batches.x, order.numpy()), batches.codes[order].numpy(), np.cumsum([0, *sizes])),
        (layer.weight.detach().numpy(), states[0]["exp_avg"].numpy(), states[0]["exp_avg_sq"].numpy()),
        (layer.bias.detach().numpy(), states[1]["exp_avg"].numpy(), states[1]["exp_avg_sq"].numpy()),
        (class_weights.numpy(), loss is hinge, np.inf if gradient_clip is None else gradient_clip),
        (group["lr"], *group["betas"], group["eps"], group["weight_decay"], int(states[0]["step"])),
    )
    for state in states:
        state["step"] += len(sizes)
    return float(total) / len(batches.codes)


def mean_loss(layer: nn.Linear, loss: Loss, class_weights: Tensor, batches: Batches) -> float:
    """Mean of the samples' weighted losses, on one thread: the same bits however many fits are under way."""
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    codes = batches.codes.numpy()
    data = (*source(batches.x, np.arange(len(codes))), codes)
    return float(_losses(data, weight, bias, class_weights.numpy(), loss is hinge)) / len(codes)


def source(x: Tensor | View, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A matrix, its rows in this order, and the shift and factor of its genes, of no length where they need none."""
    nothing = np.empty(0, np.float32)
    if not isinstance(x, View):
        return x.numpy(), order, nothing, nothing
    scaled = x.shift is not None and x.factor is not None
    return x.matrix, x.rows[order], x.shift if scaled else nothing, x.factor if scaled else nothing  # type: ignore[return-value]


@numba.njit(nogil=True, cache=True, fastmath=SUMS, error_model="numpy")
def _epoch(data: tuple, weights: tuple, biases: tuple, how: tuple, adam: tuple) -> float:
    """data: what `source` gives, codes (n,) in the same order, ends (n_batches + 1,) where batches begin and end in it;
    weights (n_classes, n_genes) and biases (n_classes,) with their two moments."""
    matrix, order, shift, factor, codes, ends = data
    weight, weight_mean, weight_square = weights
    bias, bias_mean, bias_square = biases
    class_weights, is_hinge, clip = how
    lr, beta1, beta2, eps, weight_decay, step = adam
    n_classes, most = len(bias), np.max(ends[1:] - ends[:-1]) + TOGETHER
    scores, rows = np.empty((most, n_classes), np.float32), np.empty(most, np.int64)
    buffer = np.empty((most if len(shift) else 0, weight.shape[1]), np.float32)
    gradient, bias_gradient = np.empty_like(weight), np.empty_like(bias)
    total = 0.0
    for b in range(len(ends) - 1):
        n = ends[b + 1] - ends[b]
        padded = -(-n // TOGETHER) * TOGETHER
        rows[:n], rows[n:padded] = order[ends[b] : ends[b + 1]], order[ends[b]]
        x = ready(matrix, rows[:padded], shift, factor, buffer)
        scores_of(x, rows[:padded], weight, bias, scores)
        for i in range(n):
            code = codes[ends[b] + i]
            total += class_weights[code] * (
                hinge_of(scores[i], code) if is_hinge else cross_entropy_of(scores[i], code)
            )
            scores[i] *= class_weights[code] / np.float32(n)
        scores[n:padded] = np.float32(0)
        square = gradients_of(x, rows[:padded], scores, gradient)
        for k in range(n_classes):
            at_bias = np.float32(0)
            for i in range(n):
                at_bias += scores[i, k]
            bias_gradient[k] = at_bias
            square += np.float64(at_bias) * at_bias
        step += 1
        scale = np.float32(1 / max((np.sqrt(square) + 1e-6) / clip, 1.0))
        shared = adam_numbers(lr, beta1, beta2, eps, weight_decay, step, scale)
        for k in range(n_classes):
            adam_step(weight[k], weight_mean[k], weight_square[k], gradient[k], shared)
        adam_step(bias, bias_mean, bias_square, bias_gradient, shared)
    return total


@numba.njit(nogil=True, cache=True, fastmath=SUMS, error_model="numpy")
def _losses(data: tuple, weight: np.ndarray, bias: np.ndarray, class_weights: np.ndarray, is_hinge: bool) -> float:
    matrix, order, shift, factor, codes = data
    scores, total = np.empty((TOGETHER, len(bias)), np.float32), 0.0
    buffer = np.empty((TOGETHER if len(shift) else 0, weight.shape[1]), np.float32)
    for begin in range(0, len(codes), TOGETHER):
        n = min(TOGETHER, len(codes) - begin)
        rows = order[np.minimum(np.arange(begin, begin + TOGETHER), len(codes) - 1)]
        x = ready(matrix, rows, shift, factor, buffer)
        scores_of(x, rows, weight, bias, scores)
        for i in range(n):
            code = codes[begin + i]
            total += class_weights[code] * (
                hinge_of(scores[i], code) if is_hinge else cross_entropy_of(scores[i], code)
            )
    return total


@numba.njit(nogil=True, inline="always")
def ready(
    matrix: np.ndarray, rows: np.ndarray, shift: np.ndarray, factor: np.ndarray, buffer: np.ndarray
) -> np.ndarray:
    """Where the scaled rows are: in the matrix, or in the buffer, to which `rows` then points."""
    if not len(shift):
        return matrix
    for i in range(len(rows)):
        row = matrix[rows[i]]
        for j in range(len(shift)):
            buffer[i, j] = (row[j] - shift[j]) * factor[j]
        rows[i] = i
    return buffer


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def scores_of(x: np.ndarray, rows: np.ndarray, weight: np.ndarray, bias: np.ndarray, out: np.ndarray) -> None:
    n_classes, n_genes = weight.shape
    for i in range(len(rows)):
        for k in range(n_classes):
            out[i, k] = bias[k]
    for begin in range(0, n_genes, BLOCK):
        end = min(begin + BLOCK, n_genes)
        for i in range(0, len(rows), 4):
            t, u = x[rows[i], begin:end], x[rows[i + 1], begin:end]
            v, w = x[rows[i + 2], begin:end], x[rows[i + 3], begin:end]
            for k in range(n_classes):
                at = weight[k, begin:end]
                a = b = c = d = np.float32(0)
                for j in range(len(at)):
                    a += t[j] * at[j]
                    b += u[j] * at[j]
                    c += v[j] * at[j]
                    d += w[j] * at[j]
                out[i, k] += a
                out[i + 1, k] += b
                out[i + 2, k] += c
                out[i + 3, k] += d


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def gradients_of(x: np.ndarray, rows: np.ndarray, slopes: np.ndarray, out: np.ndarray) -> float:
    """out = slopesᵀ·x[rows]; returns the sum of its squares."""
    n_classes, n_genes = out.shape
    square = np.float64(0)
    for begin in range(0, n_genes, BLOCK):
        end = min(begin + BLOCK, n_genes)
        for k in range(n_classes):
            to = out[k, begin:end]
            to[:] = np.float32(0)
            for i in range(0, len(rows), TOGETHER):
                a0, a1, a2, a3 = slopes[i, k], slopes[i + 1, k], slopes[i + 2, k], slopes[i + 3, k]
                a4, a5, a6, a7 = slopes[i + 4, k], slopes[i + 5, k], slopes[i + 6, k], slopes[i + 7, k]
                x0, x1 = x[rows[i], begin:end], x[rows[i + 1], begin:end]
                x2, x3 = x[rows[i + 2], begin:end], x[rows[i + 3], begin:end]
                x4, x5 = x[rows[i + 4], begin:end], x[rows[i + 5], begin:end]
                x6, x7 = x[rows[i + 6], begin:end], x[rows[i + 7], begin:end]
                for j in range(len(to)):
                    four = a0 * x0[j] + a1 * x1[j] + a2 * x2[j] + a3 * x3[j]
                    to[j] += four + (a4 * x4[j] + a5 * x5[j] + a6 * x6[j] + a7 * x7[j])
            part = np.float32(0)
            for j in range(len(to)):
                part += to[j] * to[j]
            square += part
    return square


@numba.njit(nogil=True, cache=True)
def adam_numbers(  # type: ignore[no-untyped-def]
    lr, beta1, beta2, eps, weight_decay, step, scale
):
    """What `adam_step` needs to know, as float32. 1 − 0.999 is taken before it is rounded: a float32's 0.999 is 1e-8 off, and
    what is left of 1 would be a hundred thousandth off.

    :param step: number of the update, from 1; scale: of the gradient
    """
    size, root = lr / (1 - beta1**step), 1 / np.sqrt(1 - beta2**step)
    numbers = (np.float32(1 - beta1), np.float32(beta2), np.float32(1 - beta2), np.float32(eps))
    return (*numbers, np.float32(weight_decay), np.float32(size), np.float32(root), np.float32(scale))


@numba.njit(nogil=True, fastmath=SUMS, inline="always")
def adam_step(p: np.ndarray, mean: np.ndarray, square: np.ndarray, gradient: np.ndarray, shared: tuple) -> None:
    towards, beta2, beta2_left, eps, weight_decay, size, root, scale = shared
    for j in range(len(p)):
        g = gradient[j] * scale + weight_decay * p[j]
        m = mean[j] + towards * (g - mean[j])
        v = square[j] * beta2 + beta2_left * g * g
        mean[j], square[j] = m, v
        p[j] -= size * m / (np.sqrt(v) * root + eps)


@numba.njit(nogil=True, inline="always")
def cross_entropy_of(scores: np.ndarray, code: int) -> float:
    """−log softmax(scores)_code; `scores` becomes its gradient."""
    top = scores[0]
    for k in range(1, len(scores)):
        top = max(top, scores[k])
    total, own = 0.0, np.float64(scores[code]) - top
    for k in range(len(scores)):
        total += np.exp(np.float64(scores[k]) - top)
    for k in range(len(scores)):
        scores[k] = np.exp(np.float64(scores[k]) - top) / total - (1.0 if k == code else 0.0)
    return np.log(total) - own


@numba.njit(nogil=True, inline="always")
def hinge_of(scores: np.ndarray, code: int) -> float:
    """Σ_{j≠code} max(0, 1 − s_code + s_j)/(K − 1); `scores` becomes its gradient."""
    own, others, total, active = scores[code], len(scores) - 1, 0.0, 0
    for k in range(len(scores)):
        margin = 1 - own + scores[k]
        above = k != code and not margin <= 0  # NaN stays in the loss
        if above:
            total += margin
            active += 1
        scores[k] = np.float32(1 / others) if above else np.float32(0)
    scores[code] = np.float32(-active / others)
    return total / others

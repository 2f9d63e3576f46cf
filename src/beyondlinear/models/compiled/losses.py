"""The losses of `models/losses.py` as compiled functions of one sample, with their gradients."""

import numba
import numpy as np

from beyondlinear.models.losses import cross_entropy, hinge

LOSSES_HERE = (cross_entropy, hinge)


@numba.njit(nogil=True, inline="always")
def cross_entropy_of(scores: np.ndarray, code: int) -> float:
    """−log softmax(scores)_code of one sample; its (n_classes,) scores become the gradient,
    softmax(scores) − 1 at the own class."""
    largest = scores[0]
    for k in range(1, len(scores)):
        largest = max(largest, scores[k])
    own = np.float64(scores[code]) - largest
    total = 0.0
    for k in range(len(scores)):
        total += np.exp(np.float64(scores[k]) - largest)
    for k in range(len(scores)):
        probability = np.exp(np.float64(scores[k]) - largest) / total
        scores[k] = probability - (1.0 if k == code else 0.0)
    return np.log(total) - own


@numba.njit(nogil=True, inline="always")
def hinge_of(scores: np.ndarray, code: int) -> float:
    """Σ_{j≠code} max(0, 1 − s_code + s_j)/(K − 1) of one sample; its (n_classes,) scores become the
    gradient."""
    own = scores[code]
    n_others = len(scores) - 1
    total = 0.0
    n_short = 0  # classes that keep no margin
    for k in range(len(scores)):
        lacking = 1 - own + scores[k]
        is_short = k != code and not lacking <= 0  # NaN stays in the loss
        if is_short:
            total += lacking
            n_short += 1
        scores[k] = np.float32(1 / n_others) if is_short else np.float32(0)
    scores[code] = np.float32(-n_short / n_others)
    return total / n_others


@numba.njit(nogil=True, inline="always")
def add_losses(
    total: float, scores: np.ndarray, codes: np.ndarray, class_weights: np.ndarray, is_hinge: bool
) -> float:
    """`total` and the samples' weighted losses; scores (≥ n, n_classes) are overwritten.

    :param codes: (n,) classes of the first rows of `scores`
    """
    for i in range(len(codes)):
        code = codes[i]
        loss = hinge_of(scores[i], code) if is_hinge else cross_entropy_of(scores[i], code)
        total += class_weights[code] * loss
    return total


@numba.njit(nogil=True, inline="always")
def add_losses_with_slopes(
    total: float, scores: np.ndarray, codes: np.ndarray, class_weights: np.ndarray, is_hinge: bool
) -> float:
    """`total` and the samples' weighted losses; scores (≥ n, n_classes) become the gradient of the
    batch's mean weighted loss by them, 0 in the rows that fill the batch up.

    :param codes: (n,) classes of the first rows of `scores`
    """
    n = len(codes)
    for i in range(n):
        code = codes[i]
        loss = hinge_of(scores[i], code) if is_hinge else cross_entropy_of(scores[i], code)
        total += class_weights[code] * loss
        scores[i] *= class_weights[code] / np.float32(n)
    scores[n:] = np.float32(0)
    return total

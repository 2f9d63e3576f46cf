"""Which units dropout keeps: a function of a seed and of numbers that count, so no generator is to
be kept."""

import numba
import numpy as np

_U = np.uint64


@numba.njit(nogil=True, cache=True)
def dropout_mask(
    seed: np.uint64, update: int, first: int, n: int, width: int, share: np.float32
) -> np.ndarray:
    """What dropout multiplies the outputs of a layer with: (n, width), 1/share or 0.

    Each is a number of its own of one splitmix64 sequence (Steele, Lea & Flood 2014).

    :param update: the number of updates before this one
    :param first: the place in the sequence of the layer's first number
    :param share: of the units, those that are kept
    """
    mask = np.empty((n, width), np.float32)
    begin = (_U(seed) ^ (_U(update) << _U(32))) + _U(first)
    kept = np.float32(1 / share)
    threshold = _U(share * 2.0**32)
    for i in range(n):
        for j in range(width):
            z = (begin + _U(i * width + j) + _U(1)) * _U(0x9E3779B97F4A7C15)
            z = (z ^ (z >> _U(30))) * _U(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> _U(27))) * _U(0x94D049BB133111EB)
            upper_bits = (z ^ (z >> _U(31))) >> _U(32)
            mask[i, j] = kept if upper_bits < threshold else np.float32(0)
    return mask


@numba.njit(nogil=True, inline="always")
def drop(x: np.ndarray, n: int, mask: np.ndarray) -> None:
    """The first n rows of x times the mask, in place: outputs on the way forward, slopes on the way
    back.

    :param x: (≥ n, n_units); mask: (≥ n, ≥ n_units)
    """
    for i in range(n):
        for j in range(x.shape[1]):
            x[i, j] *= mask[i, j]

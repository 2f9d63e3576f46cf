"""Statistics of each gene over any number of samples, in one pass (Welford 1962; Chan, Golub &
LeVeque 1983)."""

import math
import os
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pandas as pd

_GENES = 2048  # whose statistics are updated together
_ROOT_HALF = np.int32(0x3F3504F3)  # √½ as the bits of a float32
# 2 / ln 2 times the first five coefficients of artanh t = t + t³/3 + t⁵/5 + …
_ARTANH = tuple(np.float32(2 / np.log(2) / k) for k in (1, 3, 5, 7, 9))


class RunningStatistics:
    """Mean, variance, smallest, largest and share of zeros of each gene, and the variance of log2(x
    + 1)."""

    def __init__(self, n_genes: int) -> None:
        """All arrays are (n_genes,); `squares` are sums of squared distances from the mean."""
        self.n = 0
        self.mean = np.zeros(n_genes)
        self.squares = np.zeros(n_genes)
        self.log_mean = np.zeros(n_genes)
        self.log_squares = np.zeros(n_genes)
        self.smallest = np.full(n_genes, np.inf, np.float32)
        self.largest = np.full(n_genes, -np.inf, np.float32)
        self.zeros = np.zeros(n_genes, np.int64)

    def update(self, block: np.ndarray) -> None:
        """:param block: (n, n_genes) float32, finite, not negative"""
        block = np.ascontiguousarray(block)
        arrays = (
            self.mean,
            self.squares,
            self.log_mean,
            self.log_squares,
            self.smallest,
            self.largest,
            self.zeros,
        )
        n_genes = block.shape[1]
        threads = os.cpu_count() or 1
        genes_a_thread = math.ceil(n_genes / threads)

        def update_from(first: int) -> None:
            last = min(first + genes_a_thread, n_genes)
            _update(block, first, last, self.n, *arrays)

        with ThreadPoolExecutor(threads) as pool:  # each gene is its own: threads change no bit
            list(pool.map(update_from, range(0, n_genes, genes_a_thread)))
        self.n += len(block)

    def merge(self, other: "RunningStatistics") -> None:
        """As if the samples of `other` had come after one's own."""
        if not other.n:
            return
        n = self.n + other.n
        pairs = (
            (self.mean, self.squares, other.mean, other.squares),
            (self.log_mean, self.log_squares, other.log_mean, other.log_squares),
        )
        for mean, squares, other_mean, other_squares in pairs:  # changed in place
            apart = other_mean - mean
            squares += other_squares + apart**2 * (self.n * other.n / n)
            mean += apart * (other.n / n)
        self.smallest = np.minimum(self.smallest, other.smallest)
        self.largest = np.maximum(self.largest, other.largest)
        self.zeros = self.zeros + other.zeros
        self.n = n

    def table(self) -> pd.DataFrame:
        """One row a gene; variances with n - 1."""
        degrees_of_freedom = max(1, self.n - 1)
        return pd.DataFrame(
            {
                "mean": self.mean,
                "variance": self.squares / degrees_of_freedom,
                "variance_log2p1": self.log_squares / degrees_of_freedom,
                "min": self.smallest,
                "max": self.largest,
                "zero_share": self.zeros / max(1, self.n),
            }
        )


def most_variable(statistics: pd.DataFrame, n_genes: int | None) -> np.ndarray:
    """Ascending positions of the genes that are among the `n_genes` of largest variance, as they
    are or as log2(x + 1)."""
    if n_genes is None or n_genes >= len(statistics):
        return np.arange(len(statistics))
    kept = [
        statistics[column].to_numpy().argsort(kind="stable")[::-1][:n_genes]
        for column in ("variance", "variance_log2p1")
    ]
    return np.unique(np.concatenate(kept))


@numba.njit(nogil=True, cache=True)
def _update(  # type: ignore[no-untyped-def]
    block, first, last, n, mean, squares, log_mean, log_squares, smallest, largest, zeros
) -> None:
    """Statistics of the genes from `first` up to `last`."""
    # some genes at a time, so that their statistics stay in the processor's cache
    scaled = np.empty(_GENES, np.float32)
    mantissa = np.empty(_GENES, np.float32)
    exponent = np.empty(_GENES, np.int32)
    for start in range(first, last, _GENES):
        genes = slice(start, min(start + _GENES, last))
        low = smallest[genes]
        high = largest[genes]
        n_zeros = zeros[genes]
        for i in range(block.shape[0]):
            values = block[i, genes]
            share = 1 / (n + i + 1)
            _log2p1(values, mantissa, exponent, scaled)
            _welford(values, share, mean[genes], squares[genes])
            _welford(scaled, share, log_mean[genes], log_squares[genes])
            for g in range(len(values)):
                value = values[g]
                low[g] = value if value < low[g] else low[g]
                high[g] = value if value > high[g] else high[g]
                n_zeros[g] += value == 0


@numba.njit(nogil=True, cache=True)
def _welford(values, share, mean, squares) -> None:  # type: ignore[no-untyped-def]
    """One more sample; share: 1 / (samples so far, this one included)."""
    for g in range(len(mean)):
        apart = values[g] - mean[g]
        mean[g] += apart * share
        squares[g] += apart * (values[g] - mean[g])


@numba.njit(nogil=True, cache=True, error_model="numpy")  # no test for zero, which would forbid it
def _log2p1(values, mantissa, exponent, out) -> None:  # type: ignore[no-untyped-def]
    """log2(x + 1) to 2e-7, in steps that processors take for several values at once, with the same
    bits on each of them.

    log2(2^e m) = e + 2 / ln 2 · artanh((m - 1) / (m + 1)), √½ ≤ m < √2, by the series of artanh.
    """
    bits = mantissa.view(np.int32)
    for g in range(len(values)):
        mantissa[g] = values[g] + np.float32(1)
    for g in range(len(values)):
        exponent[g] = (bits[g] - _ROOT_HALF) >> 23
        bits[g] -= exponent[g] << 23
    for g in range(len(values)):
        t = (mantissa[g] - np.float32(1)) / (mantissa[g] + np.float32(1))
        u = t * t
        series = _ARTANH[3] + u * _ARTANH[4]
        series = _ARTANH[2] + u * series
        series = _ARTANH[1] + u * series
        series = _ARTANH[0] + u * series
        out[g] = np.float32(exponent[g]) + t * series

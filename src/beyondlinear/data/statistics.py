"""Statistics of each gene over any number of samples, in one pass (Welford 1962; Chan, Golub & LeVeque 1983)."""

import os
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pandas as pd


class RunningStatistics:
    """Mean, variance, smallest, largest and share of zeros of each gene, and the variance of log2(x + 1)."""

    def __init__(self, n_genes: int) -> None:
        self.n = 0
        self.mean, self.squares, self.log_mean, self.log_squares = np.zeros((4, n_genes))
        self.smallest, self.largest = np.full(n_genes, np.inf, np.float32), np.full(n_genes, -np.inf, np.float32)
        self.zeros = np.zeros(n_genes, np.int64)

    def update(self, block: np.ndarray) -> None:
        """:param block: (n, n_genes) float32, finite, not negative"""
        arrays = (self.mean, self.squares, self.log_mean, self.log_squares, self.smallest, self.largest, self.zeros)
        threads = os.cpu_count() or 1

        def some(genes: slice) -> None:
            _update(block[:, genes], self.n, *(array[genes] for array in arrays))

        step = -(-block.shape[1] // threads)
        with ThreadPoolExecutor(threads) as pool:  # each gene is its own: threads change no bit
            list(pool.map(some, [slice(g, g + step) for g in range(0, block.shape[1], step)]))
        self.n += len(block)

    def merge(self, other: "RunningStatistics") -> None:
        """As if the samples of `other` had come after one's own."""
        n = self.n + other.n
        if not other.n:
            return
        for mean, squares in (("mean", "squares"), ("log_mean", "log_squares")):
            apart = getattr(other, mean) - getattr(self, mean)
            getattr(self, squares)[:] += getattr(other, squares) + apart**2 * (self.n * other.n / n)
            getattr(self, mean)[:] += apart * (other.n / n)
        self.smallest = np.minimum(self.smallest, other.smallest)
        self.largest = np.maximum(self.largest, other.largest)
        self.zeros = self.zeros + other.zeros
        self.n = n

    def table(self) -> pd.DataFrame:
        """One row a gene; variances with n - 1."""
        of = max(1, self.n - 1)
        columns = {"mean": self.mean, "variance": self.squares / of, "variance_log2p1": self.log_squares / of}
        return pd.DataFrame(
            columns | {"min": self.smallest, "max": self.largest, "zero_share": self.zeros / max(1, self.n)}
        )


def most_variable(statistics: pd.DataFrame, n_genes: int | None) -> np.ndarray:
    """Ascending positions of the genes that are among the `n_genes` of largest variance, as they are or as log2(x + 1)."""
    if n_genes is None or n_genes >= len(statistics):
        return np.arange(len(statistics))
    kept = [
        statistics[column].to_numpy().argsort(kind="stable")[::-1][:n_genes]
        for column in ("variance", "variance_log2p1")
    ]
    return np.unique(np.concatenate(kept))


@numba.njit(nogil=True, cache=True)
def _update(  # type: ignore[no-untyped-def]
    block, n, mean, squares, log_mean, log_squares, smallest, largest, zeros
) -> None:
    for i in range(block.shape[0]):
        n += 1
        for g in range(block.shape[1]):
            value = block[i, g]
            apart = value - mean[g]
            mean[g] += apart / n
            squares[g] += apart * (value - mean[g])
            scaled = np.log2(value + np.float32(1))
            apart = scaled - log_mean[g]
            log_mean[g] += apart / n
            log_squares[g] += apart * (scaled - log_mean[g])
            smallest[g] = min(smallest[g], value)
            largest[g] = max(largest[g], value)
            zeros[g] += value == 0

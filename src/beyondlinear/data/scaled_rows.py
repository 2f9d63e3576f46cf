"""Rows of a large matrix that are scaled when they are read, in place of a scaled copy of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class ScaledRows:
    """(matrix[rows] − shift) · factor, without a copy: what `Preparation.apply` gives, to the last
    bit.

    matrix: (n_all, n_genes) float32, contiguous; rows: (n,); shift, factor: (n_genes,) float32, or
    None for no scaling.
    """

    matrix: np.ndarray
    rows: np.ndarray
    shift: np.ndarray | None
    factor: np.ndarray | None

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), self.matrix.shape[1]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice | np.ndarray) -> "ScaledRows":
        return ScaledRows(self.matrix, self.rows[index], self.shift, self.factor)

    def take(self, index: slice | np.ndarray) -> np.ndarray:
        """Some of the rows as a new (n, n_genes) float32 array."""
        rows = self.rows[index]
        # torch's memory starts at 64 bytes: matrix products of equal numbers then give equal bits
        # in every process
        out = torch.empty((len(rows), self.matrix.shape[1]), dtype=torch.float32).numpy()
        np.take(self.matrix, rows, axis=0, out=out, mode="clip")
        if self.shift is not None and self.factor is not None:
            np.subtract(out, self.shift, out=out)
            np.multiply(out, self.factor, out=out)
        return out


Matrix = np.ndarray | ScaledRows


def dense(x: Matrix) -> np.ndarray:
    """x as an array; a copy of a view."""
    return x if isinstance(x, np.ndarray) else x.take(slice(None))


def blocks(x: Matrix, size: int) -> Iterator[np.ndarray]:
    """x in blocks of at most `size` rows; one block without rows if x has none."""
    for i in range(0, max(1, len(x)), size):
        rows = slice(i, i + size)
        yield x[rows] if isinstance(x, np.ndarray) else x.take(rows)

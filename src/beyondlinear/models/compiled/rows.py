"""Which rows of which matrix a compiled loop reads, in which order and how scaled."""

from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from beyondlinear.data.scaled_rows import ScaledRows
from beyondlinear.models.datamodule import Batches


class RowSource(NamedTuple):
    """matrix: (n_rows, n_genes) float32; order: (n,) the rows that are read, one after another;
    shift, factor: (n_genes,) what is subtracted from a gene and what then multiplies it, of no
    length where rows are read as they are."""

    matrix: np.ndarray
    order: np.ndarray
    shift: np.ndarray
    factor: np.ndarray


class EpochRows(NamedTuple):
    """The rows of one epoch. codes: (n,) classes in the order of the rows; ends: (n_batches + 1,)
    where batches begin and end in it."""

    source: RowSource
    codes: np.ndarray
    ends: np.ndarray


def epoch_rows(batches: Batches) -> EpochRows:
    """The next epoch, in the order that the batches' generator draws."""
    order = batches.order()
    sizes = [len(part) for part in torch.tensor_split(order, batches.n_batches)]
    codes = batches.codes[order].numpy()
    return EpochRows(row_source(batches.x, order.numpy()), codes, np.cumsum([0, *sizes]))


def row_source(x: Tensor | ScaledRows, order: np.ndarray) -> RowSource:
    """The rows of x in this order."""
    nothing = np.empty(0, np.float32)
    if not isinstance(x, ScaledRows):
        return RowSource(x.numpy(), order, nothing, nothing)
    if x.shift is None or x.factor is None:
        return RowSource(x.matrix, x.rows[order], nothing, nothing)
    return RowSource(x.matrix, x.rows[order], x.shift, x.factor)


@numba.njit(nogil=True, inline="always")
def row_buffer(n: int, source: RowSource) -> np.ndarray:
    """Room for n scaled rows; for none where rows need no scaling."""
    n_needed = n if len(source.shift) else 0
    return np.empty((n_needed, source.matrix.shape[1]), np.float32)


@numba.njit(nogil=True, inline="always")
def scale_rows(source: RowSource, rows: np.ndarray, buffer: np.ndarray) -> np.ndarray:
    """Where the scaled rows are: in the matrix, or in the buffer, to which `rows` (n,) then
    points."""
    if not len(source.shift):
        return source.matrix
    for i in range(len(rows)):
        row = source.matrix[rows[i]]
        for j in range(len(source.shift)):
            buffer[i, j] = (row[j] - source.shift[j]) * source.factor[j]
        rows[i] = i
    return buffer

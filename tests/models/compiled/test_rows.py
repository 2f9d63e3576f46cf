"""Which rows a compiled loop reads, and how they are scaled."""

import numpy as np
import torch

from beyondlinear.data.scaled_rows import ScaledRows
from beyondlinear.models.compiled.rows import epoch_rows, row_buffer, row_source, scale_rows
from beyondlinear.models.datamodule import Batches

MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_rows_that_need_no_scaling_stay_in_their_matrix():
    source = row_source(torch.from_numpy(MATRIX), np.array([3, 1]))
    buffer = row_buffer(2, source)
    assert buffer.shape == (0, 3)
    rows = source.order.copy()
    assert scale_rows(source, rows, buffer) is source.matrix
    assert rows.tolist() == [3, 1]


def test_scaled_rows_come_into_the_buffer():
    shift = np.array([1, 1, 1], np.float32)
    factor = np.array([1, 2, 3], np.float32)
    scaled = ScaledRows(MATRIX, np.array([2, 0, 3]), shift, factor)
    source = row_source(scaled, np.array([2, 0]))
    assert source.order.tolist() == [3, 2]
    buffer = row_buffer(2, source)
    rows = source.order.copy()
    x = scale_rows(source, rows, buffer)
    # rows 3 (9, 10, 11) and 2 (6, 7, 8), less 1, times 1, 2 and 3
    assert x[rows].tolist() == [[8, 18, 30], [5, 12, 21]]


def test_an_epoch_is_all_rows_once_in_batches_of_even_size():
    codes = torch.tensor([0, 1, 2, 3, 4])
    x = torch.arange(5.0)[:, None]
    batches = Batches(x, codes, 3, torch.Generator().manual_seed(0))
    rows = epoch_rows(batches)
    assert rows.ends.tolist() == [0, 3, 5]
    assert sorted(rows.source.order.tolist()) == [0, 1, 2, 3, 4]
    assert rows.codes.tolist() == rows.source.order.tolist()  # sample i is of class i
    assert epoch_rows(batches).source.order.tolist() != rows.source.order.tolist()

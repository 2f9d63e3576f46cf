"""Genes of a file are found in the annotation's order."""

import numpy as np
import pandas as pd
import pytest

from beyondlinear.data.gene_table import DamagedFileError, GeneLines
from beyondlinear.data.recount3.gene_order import GeneOrder


def lines(ids: str, first: int) -> GeneLines:
    return GeneLines(ids.encode(), np.zeros((ids.count("\n"), 1)), first)


@pytest.fixture
def order(tmp_path) -> GeneOrder:
    path = tmp_path / "first.tsv"
    path.write_text("gene_id\tr\nb\t1\nnone\t1\na\t1\n")
    return GeneOrder(pd.Series({"a": 5.0, "absent": 6.0, "b": 7.0}), path)


def test_genes_are_those_of_both_as_the_annotation_orders_them(order):
    assert order.gene_ids.tolist() == ["a", "b"]
    assert order.lengths.tolist() == [5.0, 7.0]
    assert (order.n_without_length, order.n_absent) == (1, 1)


@pytest.mark.parametrize(
    ("ids", "first", "rows"),
    [
        ("b\nnone\na\n", 0, [1, -1, 0]),
        ("a\n", 2, [0]),
        ("a\nb\n", 0, [0, 1]),  # in another order than in the first file
        ("b\nother\n", 7, [1, -1]),  # beyond the first file's end
    ],
)
def test_rows_of_lines(order, ids, first, rows):
    assert order.rows(lines(ids, first)).tolist() == rows


def test_no_gene_in_common(tmp_path):
    path = tmp_path / "first.tsv"
    path.write_text("gene_id\tr\nx\t1\n")
    with pytest.raises(DamagedFileError, match="no gene in common, e.g. x, a"):
        GeneOrder(pd.Series({"a": 5.0}), path)

"""Sums of products over blocks of rows, and the map that solves for them, against plain NumPy."""

import numpy as np
import pytest

from beyondlinear.removal import covariance as module
from beyondlinear.removal.covariance import (
    blocks,
    gene_products,
    row_products,
    through_genes,
    transposed_product,
)

X = np.array([[1.0, 2, 0], [3, 2, 1], [5, 2, 5]])
CENTRE = X.mean(axis=0)
VARIES = np.array([True, False, True])
CENTRED = (X - CENTRE)[:, VARIES]


def test_blocks_cover_all_rows_once(monkeypatch: pytest.MonkeyPatch):
    assert blocks(5, 100) == [slice(0, 5)]
    monkeypatch.setattr(module, "_BLOCK_VALUES", 6)
    assert blocks(5, 3) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert blocks(2, 100) == [slice(0, 1), slice(1, 2)]  # at least one row


@pytest.mark.parametrize("block_values", [1, 2**22])
def test_products_are_those_of_the_centred_rows(block_values, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_BLOCK_VALUES", block_values)
    of_genes = gene_products(X, CENTRE[VARIES], VARIES)
    np.testing.assert_allclose(of_genes, np.triu(CENTRED.T @ CENTRED))
    np.testing.assert_allclose(of_genes, [[8, 10], [0, 14]])
    of_rows = row_products(X, CENTRE[VARIES], VARIES)
    np.testing.assert_allclose(of_rows, np.triu(CENTRED @ CENTRED.T))
    weights = np.array([[1.0], [0], [-1]])
    product = transposed_product(X, CENTRE[VARIES], VARIES, weights)
    np.testing.assert_allclose(product, [[-4], [-5]])


@pytest.mark.parametrize("safe", [1e-10, np.inf])
def test_the_map_solves_for_the_covariance(safe, monkeypatch: pytest.MonkeyPatch):
    """`right` spans Σ⁻¹·between, by Cholesky factor and, where none is safe, by eigenvalues."""
    monkeypatch.setattr(module, "_SAFE", safe)
    random = np.random.default_rng(0)
    x = random.normal(size=(50, 4))
    centred = x - x.mean(axis=0)
    between = random.normal(size=(4, 1))
    upper = gene_products(x, x.mean(axis=0), np.ones(4, dtype=bool))
    right, contrasts = through_genes(upper, between, x.shape, shrinkage=False)
    expected = np.linalg.solve(centred.T @ centred, between)
    np.testing.assert_allclose(right[:, 0] / right[0, 0], expected[:, 0] / expected[0, 0])
    assert (between @ contrasts).T @ right == pytest.approx(1.0)

"""From genes to an orthogonal basis of the rows: one eigendecomposition per training set serves
every penalty and class.

An unpenalised intercept makes centring free, and a ridge solution lies in the span of the centred
rows. So with X_c = U S Q' the problem in n_genes unknowns becomes one in rank(X_c) ≤ min(n − 1,
n_genes), with features z = U S, whose columns are orthogonal. S and U come from X_c X_c' (Gram)
where there are fewer samples than genes, S and Q from X_c' X_c elsewhere.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_GENES_AT_ONCE = 1024
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class Reduction:
    """z: (n, rank) float64, centred rows in the basis. One of `left` and `basis` is None.

    left: (n, rank), U S⁻¹, with which coefficients become weights of rows; basis: (n_genes, rank),
    Q. centre: (n_genes,) mean of the rows, None where only a Gram matrix is known.
    """

    z: Tensor
    left: Tensor | None
    basis: Tensor | None
    centre: Tensor | None

    @property
    def mean_square(self) -> float:
        """Mean squared distance of a row from the centre."""
        return float(self.z.square().sum() / len(self.z))

    def row_weights(self, coefficients: Tensor) -> Tensor:
        """(n, k) weights of the training rows whose weighted sum is the (n_genes, k) coefficients;
        centred."""
        assert self.left is not None
        weights = self.left @ coefficients
        return weights - weights.mean(0)

    def gene_coefficients(self, coefficients: Tensor, x: np.ndarray) -> Tensor:
        """(n_genes, k) coefficients of genes from (rank, k) coefficients of the basis; x: the
        training rows."""
        if self.basis is not None:
            return self.basis @ coefficients
        return transposed_product(x, self.row_weights(coefficients))


def reduce(x: np.ndarray) -> Reduction:
    """x: (n, n_genes) float32 or float64."""
    n, p = x.shape
    if n <= p:
        reduction = reduce_gram(gram(x, centred=True))
        return Reduction(
            reduction.z, reduction.left, None, torch.from_numpy(x.mean(0, dtype=np.float64))
        )
    centre = torch.from_numpy(x.mean(0, dtype=np.float64))
    covariance = torch.zeros(p, p, dtype=torch.float64)
    for i in range(0, n, _ROWS_AT_ONCE):
        block = _rows(x, i) - centre
        covariance.addmm_(block.T, block)
    values, vectors = torch.linalg.eigh(covariance)
    basis = vectors[:, _kept(values)].contiguous()
    del covariance, vectors
    z = torch.empty(n, basis.shape[1], dtype=torch.float64)
    for i in range(0, n, _ROWS_AT_ONCE):
        torch.mm(_rows(x, i) - centre, basis, out=z[i : i + _ROWS_AT_ONCE])
    return Reduction(z, None, basis, centre)


def reduce_gram(inner: Tensor) -> Reduction:
    """inner: (n, n) float64 inner products of the rows, not centred."""
    mean = inner.mean(0)
    centred = inner - mean - mean[:, None] + mean.mean()
    values, vectors = torch.linalg.eigh(centred)
    kept = _kept(values)
    root = values[kept].sqrt()
    vectors = vectors[:, kept]
    return Reduction(vectors * root, vectors / root, None, None)


def _kept(values: Tensor) -> Tensor:
    """What lies above the rounding of the largest eigenvalue; the rest spans no direction of the
    rows."""
    largest = float(values[-1].clamp(min=0))
    if largest == 0:
        return torch.arange(0)
    return torch.nonzero(values > 32 * torch.finfo(torch.float64).eps * largest)[:, 0]


def gram(x: np.ndarray, other: np.ndarray | None = None, *, centred: bool = False) -> Tensor:
    """(n_other, n) float64 inner products of rows, of x with itself if no other is given; genes go
    by in blocks.

    :param centred: take the mean row off x first; nothing that has an intercept depends on it, and
        a gene far from 0 would otherwise leave the others no digits
    """
    left = x if other is None else other
    out = torch.zeros(len(left), len(x), dtype=torch.float64)
    for j in range(0, x.shape[1], _GENES_AT_ONCE):
        b = _genes(x, j)
        b = b - b.mean(0) if centred else b
        a = b if other is None else _genes(left, j)
        out.addmm_(a, b.T)
    return out


def transposed_product(x: np.ndarray, weights: Tensor) -> Tensor:
    """x' @ weights in float64, (n_genes, k); genes go by in blocks."""
    parts = [_genes(x, j).T @ weights for j in range(0, x.shape[1], _GENES_AT_ONCE)]
    return torch.cat(parts)


def in_blocks(x: np.ndarray, coefficients: Tensor) -> Tensor:
    """x @ coefficients in float64, (n, k); rows go by in blocks."""
    return torch.cat([_rows(x, i) @ coefficients for i in range(0, len(x), _ROWS_AT_ONCE)])


# torch's memory starts at 64 bytes: products of equal numbers then give equal bits in every process
def _genes(x: np.ndarray, start: int) -> Tensor:
    return (
        torch.from_numpy(x)[:, start : start + _GENES_AT_ONCE]
        .to(torch.float64, copy=True)
        .contiguous()
    )


def _rows(x: np.ndarray, start: int) -> Tensor:
    return torch.from_numpy(x)[start : start + _ROWS_AT_ONCE].to(torch.float64, copy=True)

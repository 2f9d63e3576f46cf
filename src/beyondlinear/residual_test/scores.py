"""Score statistics: how much the residuals of the linear model follow products of genes that it cannot express.

With out-of-fold probabilities e of the linear law, r = y − e are its residuals and v = e(1 − e) their variances under it. A
feature g that the law lacks has the score statistic z = Σ_i r_i g_i / √(Σ_i v_i g_i²), near N(0, 1) if the law is right. For
all products of two genes at once (squares included) the numerators are X'diag(r)X, one matrix product: tens of millions of
candidate interactions are looked at in a second, and one strong one stands out of the largest |z| of them all.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

LINEAR_SHARE = 0.25  # degrees of freedom, a sample, of the linear part that is taken off the residuals


@dataclass(frozen=True)
class Expression:
    """x: (n, n_genes) float32, standardised; components: (n, q) float32, its leading principal components, standardised;
    linear: (n, n) float64, the hat matrix of a ridge regression on the genes, None for none."""

    x: np.ndarray
    components: np.ndarray
    linear: np.ndarray | None = None

    @classmethod
    def of(cls, x: np.ndarray, n_components: int) -> "Expression":
        """:param x: (n, n_genes) float32, standardised"""
        return cls(x, principal_components(x, n_components), hat_matrix(x))

    def without_linear(self, residuals: np.ndarray) -> np.ndarray:
        """Residuals less what a ridge regression on the genes makes of them: linear signal that a shrunken model left over must
        not pass for signal of another kind."""
        return residuals if self.linear is None else residuals - self.linear @ residuals


def hat_matrix(x: np.ndarray) -> np.ndarray:
    """(n, n) hat matrix of ridge regression on the genes and an intercept, with as many degrees of freedom as LINEAR_SHARE of
    the samples, or 95 % of the rank where that is less."""
    n = len(x)
    centred = (x - x.mean(0)).astype(np.float64)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values = np.maximum(values, 0)
    degrees = min(LINEAR_SHARE * n, 0.95 * int((values > 1e-9 * values[-1]).sum()))
    exponent = brentq(lambda e: float((values / (values + values[-1] * 10**e)).sum()) - degrees, -14, 8)
    shrunk = values / (values + values[-1] * 10**exponent)
    return (vectors * shrunk) @ vectors.T + 1 / n


def principal_components(x: np.ndarray, n_components: int) -> np.ndarray:
    """(n, at most n_components) float32 scores of the rows on their leading components, each of variance 1."""
    centred = x - x.mean(0)
    n, p = centred.shape
    if n <= p:
        values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
        scores = vectors[:, ::-1][:, :n_components]
    else:
        values, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
        scores = centred @ vectors[:, ::-1][:, :n_components]
    kept = values[::-1][: scores.shape[1]] > 1e-6 * values[-1]
    scores = scores[:, kept]
    return (scores / scores.std(0)).astype(np.float32)


def score_statistics(data: Expression, residuals: np.ndarray, variances: np.ndarray) -> dict[str, float]:
    """Statistics that are large where the residuals follow products; each needs a null distribution of its own.

    pairs: largest |z| of all products of two genes; many_pairs: mean z² of them all, for many weak ones; components: largest
    |z| of products of a gene, or a component, with a leading component, which stand for clusters.

    :param residuals, variances: (n, n_classes) y − e and e(1 − e)
    """
    largest, total, count, with_components = 0.0, 0.0, 0, 0.0
    residuals = data.without_linear(residuals)
    columns = [1] if residuals.shape[1] == 2 else range(residuals.shape[1])
    squares = data.x**2
    both = np.hstack([data.x, data.components])
    for c in columns:
        r, v = residuals[:, c].astype(np.float32), variances[:, c].astype(np.float32)
        z = _scores(data.x, data.x, squares, squares, r, v)
        upper = np.triu_indices(len(z))
        z = z[upper]
        largest = max(largest, float(np.abs(z).max()))
        total += float(np.square(z, dtype=np.float64).sum())
        count += len(z)
        mixed = _scores(both, data.components, both**2, data.components**2, r, v)
        with_components = max(with_components, float(np.abs(mixed).max()))
    return {"pairs": largest, "many_pairs": total / count, "components": with_components}


def _scores(
    a: np.ndarray, b: np.ndarray, a_squared: np.ndarray, b_squared: np.ndarray, r: np.ndarray, v: np.ndarray
) -> np.ndarray:
    """(p, q) score statistics of all products of a column of a and one of b, each about its mean under the weights v."""
    w = v / v.sum()
    numerator = a.T @ (r[:, None] * b)
    mean = a.T @ (w[:, None] * b)
    variance = (a_squared.T @ (v[:, None] * b_squared)) - mean**2 * v.sum()
    # r sums to about zero, so that centring the product changes its numerator little; it is done all the same
    numerator = numerator - mean * r.sum()
    return numerator / np.sqrt(np.maximum(variance, 1e-6 * v.sum()))

"""Score statistics: how much the residuals of the linear model follow products of genes that it cannot express.

With out-of-fold probabilities e of the linear law, r = y − e are its residuals and v = e(1 − e) their variances under it. A
feature g that the law lacks has the score statistic z = Σ_i r_i g_i / √(Σ_i v_i g_i²), near N(0, 1) if the law is right. For
all products of two genes at once (squares included) the numerators are X'diag(r)X, one matrix product: tens of millions of
candidate interactions are looked at in a second, and one strong one stands out of the largest |z| of them all.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Expression:
    """x: (n, n_genes) float32, standardised; components: (n, q) float32, its leading principal components, standardised."""

    x: np.ndarray
    components: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, n_components: int) -> "Expression":
        """:param x: (n, n_genes) float32, standardised"""
        return cls(x, principal_components(x, n_components))


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

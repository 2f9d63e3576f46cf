"""Score statistics: how much the residuals of the linear model follow products of genes that it
cannot express.

With out-of-fold probabilities e of the null model, r = y − e are its residuals and v = e(1 − e)
their variances under it. A feature g that the model lacks has the score statistic z = Σ_i r_i g_i /
√(Σ_i v_i g_i²), near N(0, 1) if the model is right. For all products of two genes at once (squares
included) the numerators are X'diag(r)X, one matrix product: tens of millions of candidate
interactions are looked at in a second, and one strong one stands out of the largest |z| of them
all.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

# degrees of freedom, a sample, of the linear part that is taken off the residuals
LINEAR_SHARE = 0.25


@dataclass(frozen=True)
class Expression:
    """What the residuals are compared with, the same for all labellings.

    x: (n, n_genes) float32, standardised; components: (n, q) float32, its leading principal
    components, standardised; linear: (n, n) float64, the hat matrix of a ridge regression on the
    genes, None for none.
    """

    x: np.ndarray
    components: np.ndarray
    linear: np.ndarray | None = None

    @classmethod
    def of(cls, x: np.ndarray, n_components: int) -> "Expression":
        """:param x: (n, n_genes) float32, standardised"""
        return cls(x, principal_components(x, n_components), hat_matrix(x))

    def without_linear(self, residuals: np.ndarray) -> np.ndarray:
        """Residuals less what a ridge regression on the genes makes of them: linear signal that a
        shrunken model left over must not pass for signal of another kind."""
        return residuals if self.linear is None else residuals - self.linear @ residuals


def hat_matrix(x: np.ndarray) -> np.ndarray:
    """(n, n) hat matrix of ridge regression on the genes and an intercept, with as many degrees of
    freedom as LINEAR_SHARE of the samples, or 95 % of the rank where that is less."""
    n = len(x)
    centred = (x - x.mean(0)).astype(np.float64)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values = np.maximum(values, 0)
    largest = values[-1]
    rank = int((values > 1e-9 * largest).sum())
    wanted = min(LINEAR_SHARE * n, 0.95 * rank)

    def shrunk(exponent: float) -> np.ndarray:
        """λ / (λ + penalty) of each eigenvalue λ; their sum is the degrees of freedom."""
        return values / (values + largest * 10**exponent)

    exponent = brentq(lambda e: float(shrunk(e).sum()) - wanted, -14, 8)
    return (vectors * shrunk(exponent)) @ vectors.T + 1 / n


def principal_components(x: np.ndarray, n_components: int) -> np.ndarray:
    """(n, at most n_components) float32 scores of the rows on their leading components, each of
    variance 1."""
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


def score_statistics(
    data: Expression, residuals: np.ndarray, variances: np.ndarray
) -> dict[str, float]:
    """Statistics that are large where the residuals follow products; each needs a null distribution
    of its own.

    pairs: largest |z| of all products of two genes; many_pairs: mean z² of them all, for many weak
    ones; components: largest |z| of products of a gene, or a component, with a leading component,
    which stand for clusters.

    :param residuals, variances: (n, n_classes) y − e and e(1 − e)
    """
    residuals = data.without_linear(residuals)
    n_classes = residuals.shape[1]
    classes = [1] if n_classes == 2 else range(n_classes)  # two classes mirror each other
    squares = data.x**2
    both = np.hstack([data.x, data.components])
    largest_pair = 0.0
    sum_of_squares = 0.0
    n_pairs = 0
    largest_with_component = 0.0
    for c in classes:
        r = residuals[:, c].astype(np.float32)
        v = variances[:, c].astype(np.float32)
        z = _scores(data.x, data.x, squares, squares, r, v)
        z = z[np.triu_indices(len(z))]
        largest_pair = max(largest_pair, float(np.abs(z).max()))
        sum_of_squares += float(np.square(z, dtype=np.float64).sum())
        n_pairs += len(z)
        mixed = _scores(both, data.components, both**2, data.components**2, r, v)
        largest_with_component = max(largest_with_component, float(np.abs(mixed).max()))
    return {
        "pairs": largest_pair,
        "many_pairs": sum_of_squares / n_pairs,
        "components": largest_with_component,
    }


def _scores(
    a: np.ndarray,
    b: np.ndarray,
    a_squared: np.ndarray,
    b_squared: np.ndarray,
    r: np.ndarray,
    v: np.ndarray,
) -> np.ndarray:
    """(p, q) score statistics of all products of a column of a and one of b, each about its mean
    under the weights v."""
    w = v / v.sum()
    numerator = a.T @ (r[:, None] * b)
    mean = a.T @ (w[:, None] * b)
    variance = (a_squared.T @ (v[:, None] * b_squared)) - mean**2 * v.sum()
    # r sums to about zero, so that centring the product changes its numerator little; it is done
    # all the same
    numerator = numerator - mean * r.sum()
    return numerator / np.sqrt(np.maximum(variance, 1e-6 * v.sum()))

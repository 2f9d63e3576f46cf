"""The covariance of genes, summed over blocks of rows, and what an eraser needs of its inverse.

One Cholesky factor is enough: of the covariance of genes, or of the inner products of rows where
there are no more rows than genes. An eigendecomposition, many times slower, is left for covariances
that are singular.

X_c are the centred rows, H the orthonormal contrasts of their classes (`ClassContrasts.indicator`),
between = X_c' H. Sums are not divided by the number of rows: X_c' X_c = n·Σ.
"""

import numpy as np
import torch
from scipy.linalg import eigh, solve_triangular
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpocon

_BLOCK_VALUES = 2**22  # values of x that are held in float64 at a time
_EPS = float(np.finfo(np.float64).eps)

# A factor's error grows with the condition number: 1e10 leaves the map 5 digits, and far more where
# the classes differ.
_SAFE = 1e-10

# Between a contrast of class means and the genes, a canonical correlation of chance is near 1/√n,
# above 1e-5 for any data set, and that of equal class means is the rounding of the triangular
# solve, √(1/_SAFE)·eps = 2e-11.
_NO_CORRELATION = 1e-9


def gene_products(x: np.ndarray, centre: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Upper triangle (the lower is 0) of X_c' X_c, (n_genes, n_genes) float64 by columns, for the
    genes of a bool mask."""
    upper = np.zeros((len(centre), len(centre)), order="F")
    for rows in blocks(len(x), max(1, len(centre))):
        upper = dsyrk(1.0, (x[rows][:, genes] - centre).T, beta=1.0, c=upper, overwrite_c=True)
    return upper


def row_products(x: np.ndarray, centre: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Upper triangle (the lower is 0) of X_c X_c', (n_samples, n_samples) float64 by columns."""
    upper = np.zeros((len(x), len(x)), order="F")
    columns = np.flatnonzero(genes)
    for some in blocks(len(columns), len(x)):
        upper = dsyrk(1.0, x[:, columns[some]] - centre[some], beta=1.0, c=upper, overwrite_c=True)
    return upper


def transposed_product(
    x: np.ndarray, centre: np.ndarray, genes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """X_c' @ weights, (n_genes, k) float64, of (n_samples, k) weights of rows."""
    product = np.zeros((len(centre), weights.shape[1]))
    for rows in blocks(len(x), max(1, len(centre))):
        product += (x[rows][:, genes] - centre).T @ weights[rows]
    return product


def through_genes(
    upper: np.ndarray, between: np.ndarray, shape: tuple[int, int], shrinkage: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The map from the products of genes: (n_genes, rank) `right`, and (k - 1, rank) contrasts
    whose class means are `left`.

    :param upper: `gene_products`, which is used up
    :param between: (n_genes, k - 1) contrasts of the class means
    :param shape: (n_samples, n_genes) of x, constant genes included
    """
    if shrinkage:
        alpha, beta = _shrinkage(upper, shape)
        upper *= alpha
        upper[np.diag_indices_from(upper)] += beta
    # Σ^-½ Σ_xz is no other in units that give each gene a variance near 1, whose condition is
    # better; powers of 2 round nothing
    units = np.exp2(np.round(np.log2(upper.diagonal()) / 2))
    upper /= units
    upper /= units[:, None]
    factor = _cholesky(upper)
    if factor is not None:
        solved = solve_triangular(factor, between / units[:, None], lower=True, check_finite=False)
        whitened, correlations, contrasts = _significant(solved)
        right = solve_triangular(factor, whitened, lower=True, trans="T", check_finite=False)
        return right / units[:, None], contrasts / correlations
    upper *= units
    upper *= units[:, None]
    values, vectors = _spectrum(upper, shape[1])
    standard_deviations = np.sqrt(values)[:, None]
    whitened, correlations, contrasts = _significant((vectors.T @ between) / standard_deviations)
    return vectors @ (whitened / standard_deviations), contrasts / correlations


def through_rows(
    upper: np.ndarray, indicator: np.ndarray, shape: tuple[int, int], shrinkage: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(n_samples, rank) weights of the centred rows that give `right`, and contrasts as
    `through_genes` has them; `upper` is used up.

    With X_c X_c' = U λ U', Σ⁺ X_c' H = X_c' U λ⁻¹ U' H; with no λ of 0 but the centring's, all
    correlations are 1.
    """
    alpha, beta = 1.0, 0.0
    if shrinkage:
        alpha, beta = _shrinkage(upper, shape)
    else:
        # gives the constant vector, orthogonal to H, the mean eigenvalue
        upper += upper.diagonal().mean() / len(upper)
        factor = _cholesky(upper)
        if factor is not None:
            solved = solve_triangular(factor, indicator, lower=True, check_finite=False)
            weights = solve_triangular(factor, solved, lower=True, trans="T", check_finite=False)
            return weights, np.eye(indicator.shape[1])
    values, vectors = _spectrum(upper, shape[1])
    shrunk = alpha * values + beta
    between = (vectors.T @ indicator) * np.sqrt(values / shrunk)[:, None]
    whitened, correlations, contrasts = _significant(between)
    return vectors @ (whitened / np.sqrt(values * shrunk)[:, None]), contrasts / correlations


def _shrinkage(upper: np.ndarray, shape: tuple[int, int]) -> tuple[float, float]:
    """α and n·β of the estimate αS + β·I (Bodnar, Gupta & Parolya 2014), from the upper triangle
    of n·S; I has n_genes rows, constant genes included."""
    n_samples, n_genes = shape
    diagonal = upper.diagonal()
    trace = float(diagonal.sum())
    squared_norm = 2 * float(np.linalg.norm(upper) ** 2) - float(np.square(diagonal).sum())
    # squared distance from the nearest multiple of I; 0: S is one, and nothing need be shrunk
    unevenness = squared_norm - trace**2 / n_genes
    if unevenness <= 0:
        return 1.0, 0.0
    alpha = 1 - trace**2 / n_samples / unevenness
    return alpha, (1 - alpha) * trace / n_genes


def _cholesky(upper: np.ndarray) -> np.ndarray | None:
    """Lower factor of the matrix with this upper triangle; None where its condition number may
    exceed 1/_SAFE."""
    # several times as fast as SciPy's
    factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(upper.T))
    lower = factor.numpy()
    norm = np.sqrt(2) * np.linalg.norm(upper)  # at least the largest eigenvalue
    reciprocal_condition, _ = dpocon(np.asfortranarray(lower), norm, uplo="L")
    safe = not failed and reciprocal_condition >= _SAFE
    return lower if safe else None


def _spectrum(upper: np.ndarray, n_genes: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues above rounding, ascending, and their eigenvectors; `upper` is used up."""
    values, vectors = eigh(upper, lower=False, overwrite_a=True, check_finite=False)
    above_rounding = values > values[-1] * n_genes * _EPS
    return values[above_rounding], vectors[:, above_rounding]


def _significant(whitened: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left vectors, values and right vectors of the singular values that are no rounding: canonical
    correlations of the genes with the contrasts."""
    left, values, right = np.linalg.svd(whitened, full_matrices=False)
    significant = values > _NO_CORRELATION
    return left[:, significant], values[significant], right[significant].T


def blocks(n: int, width: int) -> list[slice]:
    """Slices of n rows of `width` values, each of at most 32 MiB in float64 (or one row)."""
    step = max(1, _BLOCK_VALUES // max(1, width))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]

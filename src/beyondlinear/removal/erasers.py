"""Label-free erasers: an affine map of genes that is fitted with labels once, frozen, and applied to any row without them.

LEACE (Belrose et al. 2023, 10.48550/arXiv.2306.03819) is the map of least mean squared change that leaves no linear
predictor of the label anything to use. The paper writes it as x' = x - Σ^½ U U' Σ^-½ (x - μ), where U spans Σ^-½ Σ_xz.
As Σ_xz lies in the range of Σ, this is x' = x - Σ_xz (Σ_zx Σ⁺ Σ_xz)⁺ Σ_zx Σ⁺ (x - μ), for which one Cholesky
factor is enough: of the covariance of genes, or of the inner products of rows where there are no more rows than genes.
An eigendecomposition, many times slower, is left for covariances that are singular.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh, null_space, solve_triangular
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpocon

from beyondlinear.errors import RemovalError
from beyondlinear.removal.class_means import class_means

_BLOCK_VALUES = 2**22  # values of x that are held in float64 at a time
_EPS = float(np.finfo(np.float64).eps)

# A factor's error grows with the condition number: 1e10 leaves the map 5 digits, and far more where the classes differ.
_SAFE = 1e-10

# Between a contrast of class means and the genes, a canonical correlation of chance is near 1/√n, above 1e-5 for any data
# set, and that of equal class means is the rounding of the triangular solve, √(1/_SAFE)·eps = 2e-11.
_NO_CORRELATION = 1e-9


@dataclass(frozen=True, eq=False)
class Eraser:
    """A label-free affine map of genes, fitted once: x' = x - ((x - centre) @ right) @ left where it `subtracts`, else
    x' = centre + ((x - centre) @ right) @ left. Its fixed point is `centre`.

    centre: (n_genes,) float64, the mean of the rows it was fitted on
    right: (n_genes, rank) float64; left: (rank, n_genes) float64; left @ right is the identity, so the map is idempotent
    """

    centre: np.ndarray
    right: np.ndarray
    left: np.ndarray
    subtracts: bool = True

    def apply(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The map of each row, computed in float64, returned in the type of x.

        :param x: (n_samples, n_genes) float32 or float64, finite, in the units of the rows the eraser was fitted on
        :param out: where to write: x itself (in place) or an array of its shape and type that does not overlap it
        :raises RemovalError: another type or number of genes, values that are not finite (x is then as it was)
        """
        n_genes = len(self.centre)
        if x.ndim != 2 or x.shape[1] != n_genes or x.dtype not in (np.float32, np.float64):
            raise RemovalError(
                f"x: shape {x.shape}, type {x.dtype}; the eraser was fitted on {n_genes} genes, so it takes "
                f"(n_samples, {n_genes}), float32 or float64, with the genes in the same order"
            )
        if out is None:
            out = np.empty(x.shape, x.dtype)
        elif out.shape != x.shape or out.dtype != x.dtype:
            raise RemovalError(
                f"out: shape {out.shape}, type {out.dtype}; expected those of x, {x.shape} and {x.dtype}"
            )
        for rows in blocks(len(x), n_genes):
            finite = np.isfinite(x[rows]).all(axis=0)
            if not finite.all():
                raise RemovalError(
                    f"x: values that are not finite in {(~finite).sum()} genes or more (first: column "
                    f"{int(finite.argmin())}); fill them, or leave these rows out"
                )
        for rows in blocks(len(x), n_genes):
            block = x[rows] - self.centre
            moved = (block @ self.right) @ self.left
            out[rows] = x[rows] - moved if self.subtracts else self.centre + moved
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """What `from_arrays` reads, for an .npz file."""
        return {
            "eraser_centre": self.centre,
            "eraser_right": self.right,
            "eraser_left": self.left,
            "eraser_subtracts": np.array(self.subtracts),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Eraser | None":
        """The eraser among the arrays of a fit; None where there is none."""
        if "eraser_centre" not in arrays:
            return None
        return cls(
            arrays["eraser_centre"], arrays["eraser_right"], arrays["eraser_left"], bool(arrays["eraser_subtracts"])
        )


def fit_leace(x: np.ndarray, codes: np.ndarray, n_classes: int, *, shrinkage: bool = False) -> Eraser:
    """Least-squares concept erasure of the class means; rank: classes present - 1, less where their means are equal.

    Applied to the fit rows: equal class means (spread ≤ 1e-12 of the largest value in float64, 1e-5 in float32), the
    grand mean unchanged, and the least mean squared change that any affine map with equal class means makes. A second
    application changes nothing. Other rows go through the same map and their labels through none of it: their class
    means become nearly equal only as far as the fit rows' differences hold for them. Where no more rows than genes
    leave each centred row independent, each fit row loses exactly its class mean, a map of new rows that follows the
    noise of the fit rows.

    Directions in which no fit row varies (constant genes, collinear genes, more genes than rows) are left as they are. Where
    no Cholesky factor is safe, eigenvalues up to n_genes·eps of the largest count as 0, as in the package concept-erasure.

    :param x: (n_samples, n_genes) float32 or float64, finite; not copied as a whole
    :param codes: (n_samples,) integers in 0 … n_classes - 1; a class may be absent
    :param shrinkage: estimate Σ by αS + β·I (Bodnar, Gupta & Parolya 2014, 10.48550/arXiv.1308.2608), the default of
        concept-erasure; class means of the fit rows become equal all the same
    :raises RemovalError: fewer than two classes, a class with one sample, values that are not finite, other shapes
    """
    fitted = fit_classes(x, codes, n_classes)
    varies = x.min(axis=0) < x.max(axis=0)
    centre, between = fitted.centre[varies], fitted.between[varies]
    shape = n, p = x.shape
    if not varies.any():
        return Eraser(fitted.centre, np.zeros((p, 0)), np.zeros((0, p)))
    if n > len(centre):
        right, contrasts = _through_genes(gene_products(x, centre, varies), between, shape, shrinkage)
    else:
        weights, contrasts = _through_rows(row_products(x, centre, varies), fitted.indicator(codes), shape, shrinkage)
        right = transposed_product(x, centre, varies, weights)
    left = (between @ contrasts).T
    # makes the map idempotent to rounding, whatever the condition of the covariance took from `right`
    right = right @ np.linalg.inv(left @ right)
    of_all_genes = np.zeros((2, p, right.shape[1]))
    of_all_genes[:, varies] = right, left.T
    return Eraser(fitted.centre, of_all_genes[0], of_all_genes[1].T)


def fit_projection(x: np.ndarray, codes: np.ndarray, n_classes: int) -> Eraser:
    """Orthogonal projection off the span of the class means' differences from the grand mean; rank ≤ classes present - 1.

    Fixed point, equal class means of the fit rows, idempotence and label-freedom are those of `fit_leace`; the change is
    larger, but no covariance is estimated, so that little of the fit rows' noise goes into it.

    :raises RemovalError: as `fit_leace`
    """
    fitted = fit_classes(x, codes, n_classes)
    basis, lengths, _ = np.linalg.svd(fitted.between, full_matrices=False)
    # what sums of n values leave of equal class means by rounding; `size` is the root of Σx²
    size = np.sqrt(sum(float(np.square(x[rows], dtype=np.float64).sum()) for rows in blocks(*x.shape)))
    basis = np.ascontiguousarray(basis[:, lengths > 64 * _EPS * size])
    return Eraser(fitted.centre, basis, np.ascontiguousarray(basis.T))


@dataclass(frozen=True, eq=False)
class Classes:
    """What an eraser needs of the labels. centre: (n_genes,) grand mean; counts: (n_classes,).

    contrasts: (n_classes, k - 1) weights of √n_c·(m_c - grand mean), orthonormal and without the sum that is always 0;
    between: (n_genes, k - 1), these contrasts of the class means.
    """

    centre: np.ndarray
    between: np.ndarray
    contrasts: np.ndarray
    counts: np.ndarray

    def indicator(self, codes: np.ndarray) -> np.ndarray:
        """(n, k - 1) orthonormal columns H that sum to 0, with X_c' H = between."""
        scaled = self.contrasts / np.sqrt(np.maximum(self.counts, 1))[:, None]
        return scaled[codes] - self.counts / len(codes) @ scaled


def fit_classes(x: np.ndarray, codes: np.ndarray, n_classes: int) -> Classes:
    """:raises RemovalError: as `fit_leace`"""
    means, counts = (fitted := class_means(x, codes, n_classes)).means, fitted.counts
    present = np.flatnonzero(counts)
    if len(present) < 2:
        raise RemovalError(
            f"codes: {len(present)} class in {len(x)} samples; an eraser needs samples of two or more classes"
        )
    if (counts == 1).any():
        raise RemovalError(
            f"codes: class {int((counts == 1).argmax())} has 1 sample, whose noise would be taken for its class's mean; "
            "give each class at least 2 (10 advised), or leave it out"
        )
    shares = counts / counts.sum()
    centre = shares[present] @ means[present]
    contrasts = np.zeros((n_classes, len(present) - 1))
    contrasts[present] = null_space(np.sqrt(shares[present])[None])
    apart = np.sqrt(counts[present])[:, None] * (means[present] - centre)
    return Classes(centre, apart.T @ contrasts[present], contrasts, counts)


def gene_products(x: np.ndarray, centre: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Upper triangle (the lower is 0) of X_c' X_c, (n_genes, n_genes) float64 by columns, for the genes of a bool mask."""
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


def transposed_product(x: np.ndarray, centre: np.ndarray, genes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """X_c' @ weights, (n_genes, k) float64, of (n_samples, k) weights of rows."""
    product = np.zeros((len(centre), weights.shape[1]))
    for rows in blocks(len(x), max(1, len(centre))):
        product += (x[rows][:, genes] - centre).T @ weights[rows]
    return product


def _through_genes(
    upper: np.ndarray, between: np.ndarray, shape: tuple[int, int], shrinkage: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(n_genes, rank) `right` and (k - 1, rank) contrasts whose class means are `left`; `upper` is used up."""
    if shrinkage:
        alpha, beta = _shrinkage(upper, shape)
        upper *= alpha
        upper[np.diag_indices_from(upper)] += beta
    # Σ^-½ Σ_xz is no other in units that give each gene a variance near 1, whose condition is better; powers of 2 round nothing
    units = np.exp2(np.round(np.log2(upper.diagonal()) / 2))
    upper /= units
    upper /= units[:, None]
    factor = _cholesky(upper)
    if factor is not None:
        solved = solve_triangular(factor, between / units[:, None], lower=True, check_finite=False)
        whitened, correlation, contrasts = _significant(solved)
        right = solve_triangular(factor, whitened, lower=True, trans="T", check_finite=False) / units[:, None]
        return right, contrasts / correlation
    upper *= units
    upper *= units[:, None]
    values, vectors = _spectrum(upper, shape[1])
    whitened, correlation, contrasts = _significant((vectors.T @ between) / np.sqrt(values)[:, None])
    return vectors @ (whitened / np.sqrt(values)[:, None]), contrasts / correlation


def _through_rows(
    upper: np.ndarray, indicator: np.ndarray, shape: tuple[int, int], shrinkage: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(n_samples, rank) weights of the centred rows that give `right`, and contrasts as `_through_genes` has them.

    With X_c X_c' = U λ U', Σ⁺ X_c' H = X_c' U λ⁻¹ U' H; with no λ of 0 but the centring's, all correlations are 1.
    """
    alpha, beta = _shrinkage(upper, shape) if shrinkage else (1.0, 0.0)
    if not shrinkage:
        upper += upper.diagonal().mean() / len(upper)  # gives the constant vector, orthogonal to H, the mean eigenvalue
        factor = _cholesky(upper)
        if factor is not None:
            solved = solve_triangular(factor, indicator, lower=True, check_finite=False)
            weights = solve_triangular(factor, solved, lower=True, trans="T", check_finite=False)
            return weights, np.eye(indicator.shape[1])
    values, vectors = _spectrum(upper, shape[1])
    shrunk = alpha * values + beta
    whitened, correlation, contrasts = _significant((vectors.T @ indicator) * np.sqrt(values / shrunk)[:, None])
    return vectors @ (whitened / np.sqrt(values * shrunk)[:, None]), contrasts / correlation


def _shrinkage(upper: np.ndarray, shape: tuple[int, int]) -> tuple[float, float]:
    """α and n·β of the estimate αS + β·I, from the triangle of n·S; I has n_genes rows, constant genes included."""
    n, p = shape
    trace = float(upper.diagonal().sum())
    squares = 2 * float(np.linalg.norm(upper) ** 2) - float(np.square(upper.diagonal()).sum())
    uneven = squares - trace**2 / p  # 0 where S is a multiple of I, to which nothing need be shrunk
    alpha = 1 - trace**2 / n / uneven if uneven > 0 else 1.0
    return alpha, (1 - alpha) * trace / p


def _cholesky(upper: np.ndarray) -> np.ndarray | None:
    """Lower factor of the matrix with this upper triangle; None where its condition number may exceed 1/_SAFE."""
    factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(upper.T))  # several times as fast as SciPy's
    lower = factor.numpy()
    norm = np.sqrt(2) * np.linalg.norm(upper)  # at least the largest eigenvalue
    reciprocal, _ = dpocon(np.asfortranarray(lower), norm, uplo="L")
    return lower if not failed and reciprocal >= _SAFE else None


def _spectrum(upper: np.ndarray, n_genes: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues above rounding, ascending, and their eigenvectors; `upper` is used up."""
    values, vectors = eigh(upper, lower=False, overwrite_a=True, check_finite=False)
    kept = values > values[-1] * n_genes * _EPS
    return values[kept], vectors[:, kept]


def _significant(whitened: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left vectors, values and right vectors of the singular values that are no rounding."""
    left, values, right = np.linalg.svd(whitened, full_matrices=False)
    kept = values > _NO_CORRELATION
    return left[:, kept], values[kept], right[kept].T


def blocks(n: int, width: int) -> list[slice]:
    """Slices of n rows of `width` values, each of at most 32 MiB in float64 (or one row)."""
    step = max(1, _BLOCK_VALUES // max(1, width))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]

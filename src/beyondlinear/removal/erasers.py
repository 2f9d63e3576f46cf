"""Label-free erasers: an affine map of genes that is fitted with labels once, frozen, and applied
to any row without them.

LEACE (Belrose et al. 2023, 10.48550/arXiv.2306.03819) is the map of least mean squared change that
leaves no linear predictor of the label anything to use. The paper writes it as x' = x - Σ^½ U U'
Σ^-½ (x - μ), where U spans Σ^-½ Σ_xz. As Σ_xz lies in the range of Σ, this is x' = x - Σ_xz (Σ_zx
Σ⁺ Σ_xz)⁺ Σ_zx Σ⁺ (x - μ), for which one Cholesky factor is enough (`covariance.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.linalg import null_space

from beyondlinear.removal.class_means import class_means
from beyondlinear.removal.covariance import (
    blocks,
    gene_products,
    row_products,
    through_genes,
    through_rows,
    transposed_product,
)
from beyondlinear.runtime.errors import RemovalError

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Eraser:
    """A label-free affine map of genes, fitted once: x' = x - ((x - centre) @ right) @ left where
    it `subtracts`, else x' = centre + ((x - centre) @ right) @ left. Its fixed point is `centre`.

    centre: (n_genes,) float64, the mean of the rows it was fitted on; right: (n_genes, rank)
    float64; left: (rank, n_genes) float64; left @ right is the identity, so the map is idempotent.
    """

    centre: np.ndarray
    right: np.ndarray
    left: np.ndarray
    subtracts: bool = True

    def apply(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The map of each row, computed in float64, returned in the type of x.

        :param x: (n_samples, n_genes) float32 or float64, finite, in the units of the rows the
            eraser was fitted on
        :param out: where to write: x itself (in place) or an array of its shape and type that does
            not overlap it
        :raises RemovalError: another type or number of genes, values that are not finite (x is then
            as it was)
        """
        n_genes = len(self.centre)
        if x.ndim != 2 or x.shape[1] != n_genes or x.dtype not in (np.float32, np.float64):
            raise RemovalError(
                f"x: shape {x.shape}, type {x.dtype}; the eraser was fitted on {n_genes} genes, so"
                f" it takes (n_samples, {n_genes}), float32 or float64, with the genes in the same"
                " order"
            )
        if out is None:
            out = np.empty(x.shape, x.dtype)
        elif out.shape != x.shape or out.dtype != x.dtype:
            raise RemovalError(
                f"out: shape {out.shape}, type {out.dtype}; expected those of x, {x.shape} and"
                f" {x.dtype}"
            )
        for rows in blocks(len(x), n_genes):
            finite = np.isfinite(x[rows]).all(axis=0)
            if not finite.all():
                raise RemovalError(
                    f"x: values that are not finite in {(~finite).sum()} genes or more (first:"
                    f" column {int(finite.argmin())}); fill them, or leave these rows out"
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
            arrays["eraser_centre"],
            arrays["eraser_right"],
            arrays["eraser_left"],
            bool(arrays["eraser_subtracts"]),
        )


def fit_leace(
    x: np.ndarray, codes: np.ndarray, n_classes: int, *, shrinkage: bool = False
) -> Eraser:
    """Least-squares concept erasure of the class means; rank: classes present - 1, less where their
    means are equal.

    Applied to the train rows: equal class means (spread ≤ 1e-12 of the largest value in float64,
    1e-5 in float32), the grand mean unchanged, and the least mean squared change that any affine
    map with equal class means makes. A second application changes nothing. Other rows go through
    the same map and their labels through none of it: their class means become nearly equal only as
    far as the train rows' differences hold for them. Where no more rows than genes leave each
    centred row independent, each fit row loses exactly its class mean, a map of new rows that
    follows the noise of the train rows.

    Directions in which no fit row varies (constant genes, collinear genes, more genes than rows)
    are left as they are. Where no Cholesky factor is safe, eigenvalues up to n_genes·eps of the
    largest count as 0, as in the package concept-erasure.

    :param x: (n_samples, n_genes) float32 or float64, finite; not copied as a whole
    :param codes: (n_samples,) integers in 0 … n_classes - 1; a class may be absent
    :param shrinkage: estimate Σ by αS + β·I (Bodnar, Gupta & Parolya 2014,
        10.48550/arXiv.1308.2608), the default of concept-erasure; class means of the train rows
        become equal all the same
    :raises RemovalError: fewer than two classes, a class with one sample, values that are not
        finite, other shapes
    """
    fitted = fit_contrasts(x, codes, n_classes)
    n_samples, n_genes = x.shape
    varies = x.min(axis=0) < x.max(axis=0)
    if not varies.any():
        return Eraser(fitted.centre, np.zeros((n_genes, 0)), np.zeros((0, n_genes)))
    centre = fitted.centre[varies]
    between = fitted.between[varies]
    if n_samples > varies.sum():
        products = gene_products(x, centre, varies)
        right, contrasts = through_genes(products, between, x.shape, shrinkage)
    else:
        products = row_products(x, centre, varies)
        indicator = fitted.indicator(codes)
        weights, contrasts = through_rows(products, indicator, x.shape, shrinkage)
        right = transposed_product(x, centre, varies, weights)
    left = (between @ contrasts).T
    # makes the map idempotent to rounding, whatever the condition of the covariance took from
    # `right`
    right = right @ np.linalg.inv(left @ right)
    # genes that do not vary are left as they are
    rank = len(left)
    right_of_all_genes = np.zeros((n_genes, rank))
    right_of_all_genes[varies] = right
    left_of_all_genes = np.zeros((n_genes, rank)).T
    left_of_all_genes[:, varies] = left
    return Eraser(fitted.centre, right_of_all_genes, left_of_all_genes)


def fit_projection(x: np.ndarray, codes: np.ndarray, n_classes: int) -> Eraser:
    """Orthogonal projection off the span of the class means' differences from the grand mean; rank
    ≤ classes present - 1.

    Fixed point, equal class means of the train rows, idempotence and label-freedom are those of
    `fit_leace`; the change is larger, but no covariance is estimated, so that little of the train
    rows' noise goes into it.

    :raises RemovalError: as `fit_leace`
    """
    fitted = fit_contrasts(x, codes, n_classes)
    basis, lengths, _ = np.linalg.svd(fitted.between, full_matrices=False)
    sum_of_squares = sum(
        float(np.square(x[rows], dtype=np.float64).sum()) for rows in blocks(*x.shape)
    )
    # what sums of n values leave of equal class means by rounding
    rounding = 64 * _EPS * np.sqrt(sum_of_squares)
    basis = np.ascontiguousarray(basis[:, lengths > rounding])
    return Eraser(fitted.centre, basis, np.ascontiguousarray(basis.T))


@dataclass(frozen=True, eq=False)
class ClassContrasts:
    """What an eraser needs of the labels, for k classes that have samples.

    centre: (n_genes,) float64, the grand mean; between: (n_genes, k - 1), contrasts of the class
    means; contrasts: (n_classes, k - 1), their weights of √n_c·(m_c - grand mean), orthonormal and
    without the sum that is always 0; counts: (n_classes,) int64, samples of each class.
    """

    centre: np.ndarray
    between: np.ndarray
    contrasts: np.ndarray
    counts: np.ndarray

    def indicator(self, codes: np.ndarray) -> np.ndarray:
        """(n, k - 1) orthonormal columns H that sum to 0, with X_c' H = between."""
        scaled = self.contrasts / np.sqrt(np.maximum(self.counts, 1))[:, None]
        return scaled[codes] - self.counts / len(codes) @ scaled


def fit_contrasts(x: np.ndarray, codes: np.ndarray, n_classes: int) -> ClassContrasts:
    """The contrasts of the class means of these rows.

    :raises RemovalError: as `fit_leace`
    """
    fitted = class_means(x, codes, n_classes)
    counts = fitted.counts
    present = np.flatnonzero(counts)
    if len(present) < 2:
        raise RemovalError(
            f"codes: {len(present)} class in {len(x)} samples; an eraser needs samples of two or"
            " more classes"
        )
    if (counts == 1).any():
        raise RemovalError(
            f"codes: class {int((counts == 1).argmax())} has 1 sample, whose noise would be taken"
            " for its class's mean; give each class at least 2 (10 advised), or leave it out"
        )
    means = fitted.means[present]
    shares = counts[present] / counts.sum()
    centre = shares @ means
    # orthonormal weights, orthogonal to √share: Σ_c √share_c·√n_c·(m_c - grand mean) is always 0
    contrasts = null_space(np.sqrt(shares)[None])
    weighted_differences = np.sqrt(counts[present])[:, None] * (means - centre)
    between = weighted_differences.T @ contrasts
    contrasts_of_all = np.zeros((n_classes, len(present) - 1))
    contrasts_of_all[present] = contrasts
    return ClassContrasts(centre, between, contrasts_of_all, counts)

"""A label-free eraser of class means and of class-dependent second moments, in the leading principal components.

What LEACE is for means, this is for covariances. Belrose et al. 2023 (10.48550/arXiv.2306.03819) equalise both with an
optimal transport map of each class (QLEACE), which needs the label of the row; here the directions in which the class
covariances differ are dropped instead, for every row alike.
"""

import numpy as np
from scipy.linalg import eigh

from beyondlinear.errors import RemovalError
from beyondlinear.removal.erasers import (
    Eraser,
    blocks,
    fit_classes,
    fit_leace,
    gene_products,
    row_products,
    transposed_product,
)
from beyondlinear.seeds import stream

_ROUNDING = 1e-12  # share of the largest variance below which a component holds nothing but rounding
_EQUAL = 1e-9  # with hardly more rows than components every eigenvalue is 1, whatever the labels


def fit_quadratic(
    x: np.ndarray, codes: np.ndarray, n_classes: int, n_components: int, seed: int, n_permutations: int = 20
) -> Eraser:
    """An eraser that keeps, of the fit rows' leading principal components, the part in which classes have equal means and
    covariances that differ by no more than those of permuted labels.

    1. LEACE takes the class means out of the scores of the `n_components` leading components about the grand mean.
    2. The scores are whitened by their pooled within-class covariance. S_c being the second moments of class c then, the
       leading eigenvectors of D = Σ_c (n_c/n) (S_c - I)² are the directions in which the classes differ. Those whose
       eigenvalue exceeds the largest under `n_permutations` permutations of the labels are dropped, and D is computed anew
       from what is left, until none does.
    3. What is left is mapped back to genes. What lies outside the components is dropped as well (`subtracts` is False),
       since its second moments were not looked at.

    Guaranteed: class means of the fit rows are equal; the map is affine, idempotent and the same for every row; equal
    arguments give an equal map. Not guaranteed: class covariances that are equal. A difference that is spread thinly stays
    where no direction rises above chance: with standard deviations of 1.15 against 1 in each of 21 genes and 1,000 rows,
    ‖x‖² tells the classes apart nearly as well as before. Third and higher moments stay. Permuted labels take rows for
    independent, so that in rows that come in groups more is dropped than need be; without any difference, something is
    dropped in about one of `n_permutations` + 1 data sets.

    :param n_components: at least 1; more than the rank of the centred rows counts as that rank
    :raises RemovalError: as `fit_leace`; `n_components` below 1; no direction left
    """
    if n_components < 1:
        raise RemovalError(f"n_components: {n_components}; expected at least 1 principal component (50 is usual)")
    centre = fit_classes(x, codes, n_classes).centre
    basis = _principal_components(x, centre, n_components)
    scores = np.concatenate([(x[rows] - centre) @ basis for rows in blocks(*x.shape)])
    means = fit_leace(scores, codes, n_classes)
    kept = np.eye(basis.shape[1]) - means.right @ means.left
    values, vectors = np.linalg.eigh(kept.T @ (scores.T @ scores) @ kept / len(x))
    some = values > _ROUNDING * np.square(scores).sum() / len(x)  # the class means' directions hold rounding alone
    scale = np.sqrt(values[some])
    whiten = kept @ vectors[:, some] / scale
    alike = _alike(scores @ whiten, codes, n_classes, n_permutations, stream(seed, "quadratic removal"))
    if alike.shape[1] == 0:
        raise RemovalError(
            f"n_components: classes differ in mean or variance in every direction of {basis.shape[1]} principal "
            "components, so that nothing would be left; take more components, or a removal of class means alone"
        )
    return Eraser(centre, basis @ (whiten @ alike), (alike.T * scale) @ (basis @ vectors[:, some]).T, subtracts=False)


def _principal_components(x: np.ndarray, centre: np.ndarray, n_components: int) -> np.ndarray:
    """(n_genes, at most n_components) orthonormal, the largest variance first."""
    n, p = x.shape
    genes = np.ones(p, dtype=bool)
    upper = gene_products(x, centre, genes) if n > p else row_products(x, centre, genes)
    last = len(upper) - 1
    values, vectors = eigh(upper, lower=False, subset_by_index=[max(0, last + 1 - n_components), last])
    varies = values > values[-1] * _ROUNDING
    vectors = vectors[:, varies][:, ::-1]
    return vectors if n > p else np.linalg.qr(transposed_product(x, centre, genes, vectors))[0]


def _alike(
    white: np.ndarray, codes: np.ndarray, n_classes: int, n_permutations: int, random: np.random.Generator
) -> np.ndarray:
    """(q, d) orthonormal: the directions of whitened scores (n, q) that are left."""
    left = np.eye(white.shape[1])
    shuffles = [random.permutation(codes) for _ in range(n_permutations)]
    while left.shape[1]:
        scores = white @ left
        values, vectors = np.linalg.eigh(_unlikeness(scores, codes, n_classes))
        chance = max(np.linalg.eigvalsh(_unlikeness(scores, c, n_classes))[-1] for c in shuffles)
        within = values <= chance * (1 + _EQUAL)
        if within.all():
            break
        left = left @ vectors[:, within]
    return left


def _unlikeness(scores: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """D, (q, q). Permuted labels lose means and are whitened as the labels were, since both shrink covariances."""
    identity = np.eye(scores.shape[1])
    pooled, covariances = np.zeros_like(identity), []
    for c in range(n_classes):
        rows = scores[codes == c]
        if len(rows):
            rows = rows - rows.mean(axis=0)
            share = len(rows) / len(scores)
            covariances.append((share, rows.T @ rows / len(rows)))
            pooled += share * covariances[-1][1]
    values, vectors = np.linalg.eigh(pooled)
    root = (vectors / np.sqrt(np.maximum(values, _ROUNDING))) @ vectors.T
    apart = [(share, root @ covariance @ root - identity) for share, covariance in covariances]
    return np.sum([share * a @ a for share, a in apart], axis=0)

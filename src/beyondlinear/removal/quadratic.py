"""A label-free eraser of class means and of class-dependent second moments, in the leading
principal components.

What LEACE is for means, this is for covariances. Belrose et al. 2023 (10.48550/arXiv.2306.03819)
equalise both with an optimal transport map of each class (QLEACE), which needs the label of the
row; here the directions in which the class covariances differ are dropped instead, for every row
alike.
"""

import numpy as np
from scipy.linalg import eigh

from beyondlinear.removal.covariance import (
    blocks,
    gene_products,
    row_products,
    transposed_product,
)
from beyondlinear.removal.erasers import Eraser, fit_contrasts, fit_leace
from beyondlinear.runtime.errors import RemovalError
from beyondlinear.runtime.seeds import stream

# share of the largest variance below which a component holds nothing but rounding
_ROUNDING = 1e-12
_EQUAL = 1e-9  # with hardly more rows than components every eigenvalue is 1, whatever the labels


def fit_quadratic(
    x: np.ndarray,
    codes: np.ndarray,
    n_classes: int,
    n_components: int,
    seed: int,
    n_permutations: int = 20,
) -> Eraser:
    """An eraser that keeps, of the train rows' leading principal components, the part in which
    classes have equal means and covariances that differ by no more than those of permuted labels.

    1. LEACE takes the class means out of the scores of the `n_components` leading components about
    the grand mean.
    2. The scores are whitened by their pooled within-class covariance. S_c being the second moments
    of class c then, the leading eigenvectors of D = Σ_c (n_c/n) (S_c - I)² are the directions in
    which the classes differ. Those whose eigenvalue exceeds the largest under `n_permutations`
    permutations of the labels are dropped, and D is computed anew from what is left, until none
    does.
    3. What is left is mapped back to genes. What lies outside the components is dropped as well
    (`subtracts` is False), since its second moments were not looked at.

    Guaranteed: class means of the train rows are equal; the map is affine, idempotent and the same
    for every row; equal arguments give an equal map. Not guaranteed: class covariances that are
    equal. A difference that is spread thinly stays where no direction rises above chance: with
    standard deviations of 1.15 against 1 in each of 21 genes and 1,000 rows, ‖x‖² tells the classes
    apart nearly as well as before. Third and higher moments stay. Permuted labels take rows for
    independent, so that in rows that come in groups more is dropped than need be; without any
    difference, something is dropped in about one of `n_permutations` + 1 data sets.

    :param n_components: at least 1; more than the rank of the centred rows counts as that rank
    :raises RemovalError: as `fit_leace`; `n_components` below 1; no direction left
    """
    if n_components < 1:
        raise RemovalError(
            f"n_components: {n_components}; expected at least 1 principal component (50 is usual)"
        )
    centre = fit_contrasts(x, codes, n_classes).centre
    basis = _principal_components(x, centre, n_components)
    scores = np.concatenate([(x[rows] - centre) @ basis for rows in blocks(*x.shape)])
    means = fit_leace(scores, codes, n_classes)
    without_means = np.eye(basis.shape[1]) - means.right @ means.left
    within = without_means.T @ (scores.T @ scores) @ without_means / len(x)
    variances, vectors = np.linalg.eigh(within)
    # in the directions of the class means there is rounding alone
    varies = variances > _ROUNDING * np.square(scores).sum() / len(x)
    deviations = np.sqrt(variances[varies])
    whiten = without_means @ vectors[:, varies] / deviations
    random = stream(seed, "quadratic removal")
    alike = _alike_directions(scores @ whiten, codes, n_classes, n_permutations, random)
    if alike.shape[1] == 0:
        raise RemovalError(
            "n_components: classes differ in mean or variance in every direction of"
            f" {basis.shape[1]} principal components, so that nothing would be left; take more"
            " components, or a removal of class means alone"
        )
    right = basis @ (whiten @ alike)
    left = (alike.T * deviations) @ (basis @ vectors[:, varies]).T
    return Eraser(centre, right, left, subtracts=False)


def _principal_components(x: np.ndarray, centre: np.ndarray, n_components: int) -> np.ndarray:
    """(n_genes, at most n_components) orthonormal, the largest variance first."""
    n_samples, n_genes = x.shape
    all_genes = np.ones(n_genes, dtype=bool)
    by_genes = n_samples > n_genes
    products = gene_products if by_genes else row_products
    upper = products(x, centre, all_genes)
    last = len(upper) - 1
    first = max(0, last + 1 - n_components)
    values, vectors = eigh(upper, lower=False, subset_by_index=[first, last])
    varies = values > values[-1] * _ROUNDING
    vectors = vectors[:, varies][:, ::-1]
    if by_genes:
        return vectors
    return np.linalg.qr(transposed_product(x, centre, all_genes, vectors))[0]


def _alike_directions(
    white: np.ndarray,
    codes: np.ndarray,
    n_classes: int,
    n_permutations: int,
    random: np.random.Generator,
) -> np.ndarray:
    """(q, d) orthonormal: the directions of whitened scores (n, q) in which the classes differ no
    more than permuted labels do."""
    directions = np.eye(white.shape[1])
    permuted = [random.permutation(codes) for _ in range(n_permutations)]
    while directions.shape[1]:
        scores = white @ directions
        values, vectors = np.linalg.eigh(_difference(scores, codes, n_classes))
        chance = max(np.linalg.eigvalsh(_difference(scores, c, n_classes))[-1] for c in permuted)
        within_chance = values <= chance * (1 + _EQUAL)
        if within_chance.all():
            break
        directions = directions @ vectors[:, within_chance]
    return directions


def _difference(scores: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """D, (q, q): by how much class covariances differ. Permuted labels lose means and are whitened
    as the labels were, since both shrink covariances."""
    identity = np.eye(scores.shape[1])
    pooled = np.zeros_like(identity)
    shares: list[float] = []
    covariances: list[np.ndarray] = []
    for c in range(n_classes):
        rows = scores[codes == c]
        if len(rows) == 0:
            continue
        centred = rows - rows.mean(axis=0)
        covariance = centred.T @ centred / len(rows)
        share = len(rows) / len(scores)
        pooled += share * covariance
        shares.append(share)
        covariances.append(covariance)
    values, vectors = np.linalg.eigh(pooled)
    inverse_root = (vectors / np.sqrt(np.maximum(values, _ROUNDING))) @ vectors.T
    differences = [
        inverse_root @ covariance @ inverse_root - identity for covariance in covariances
    ]
    terms = [share * d @ d for share, d in zip(shares, differences, strict=True)]
    return np.sum(terms, axis=0)

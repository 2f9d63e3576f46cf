"""Removal of class means from large matrices: one factor, no missing values, two passes over the
rows.

The result is that of limma's `removeBatchEffect(x, batch)`: x - (m_c - m̄), with m_c the mean of
the sample's class and m̄ the unweighted mean of the class means. Equal class means are what keeps
every linear predictor from beating a constant one (Belrose et al. 2023, 10.48550/arXiv.2306.03819).

Both passes are bound by memory traffic, so they run in row blocks that stay in the cache, on one
thread and without BLAS: the result does not depend on the number of threads.
"""

from dataclasses import dataclass

import numpy as np

from beyondlinear.runtime.errors import RemovalError

_BLOCK_VALUES = 2**19  # values of x in a block: 2 MiB in float32, which stays in the cache


@dataclass(frozen=True, eq=False)
class ClassMeans:
    """Mean of each gene in each class.

    means: (n_classes, n_genes) float64; NaN for a class without samples
    counts: (n_classes,) int64, samples of each class
    """

    means: np.ndarray
    counts: np.ndarray

    def offsets(self) -> np.ndarray:
        """(n_classes, n_genes) float64: class mean minus the unweighted mean over the classes
        present; absent: 0."""
        present = self.counts > 0
        offsets = np.zeros_like(self.means)
        offsets[present] = self.means[present] - self.means[present].mean(axis=0)
        return offsets


def class_means(x: np.ndarray, codes: np.ndarray, n_classes: int) -> ClassMeans:
    """Class means of every gene, accumulated in float64.

    x: (n_samples, n_genes) float32 or float64, finite; row-major is fast, other layouts are correct
    codes: (n_samples,) integers in 0 … n_classes - 1

    Raises RemovalError for other types or shapes, codes out of range, no samples, and values that
    are not finite.
    """
    _check(x, codes, n_classes)
    if len(x) == 0:
        raise RemovalError("x: no samples, so no class has a mean; give at least one row")
    by_class = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=n_classes).astype(np.int64)
    means = np.full((n_classes, x.shape[1]), np.nan)
    step = _block_rows(x)
    end = 0
    for c in np.flatnonzero(counts):
        start, end = end, end + counts[c]
        total = np.zeros(x.shape[1])
        for row in range(start, end, step):
            total += x[by_class[row : min(row + step, end)]].sum(axis=0, dtype=np.float64)
        means[c] = total / counts[c]
    broken = ~np.isfinite(means[counts > 0]).all(axis=0)
    if broken.any():
        raise RemovalError(
            f"x: values that are not finite in {broken.sum()} of {x.shape[1]} genes (first: column"
            f" {int(broken.argmax())}); leave these genes out, or use remove_batch_effect, which"
            " fits the finite values"
        )
    return ClassMeans(means, counts)


def subtract_offsets(
    x: np.ndarray, codes: np.ndarray, offsets: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """x with the offset of its row's class subtracted from each row, in the type of x.

    x: (n_samples, n_genes) float32 or float64; codes: (n_samples,); offsets: (n_classes, n_genes)
    out: where to write: x itself (in place) or an array of its shape and type that does not overlap
    it; default: new

    Raises RemovalError for other types or shapes and codes out of range.
    """
    _check(x, codes, len(offsets))
    if offsets.shape[1:] != x.shape[1:]:
        raise RemovalError(
            f"offsets: shape {offsets.shape}; x has {x.shape[1]} genes, so (n_classes,"
            f" {x.shape[1]})"
        )
    if out is None:
        out = np.empty(x.shape, x.dtype)
    elif out.shape != x.shape or out.dtype != x.dtype:
        raise RemovalError(
            f"out: shape {out.shape}, type {out.dtype}; expected those of x, {x.shape} and"
            f" {x.dtype}"
        )
    offsets = offsets.astype(x.dtype)
    step = _block_rows(x)
    for row in range(0, len(x), step):
        rows = slice(row, row + step)
        np.subtract(x[rows], offsets[codes[rows]], out=out[rows])
    return out


def remove_class_means(
    x: np.ndarray, codes: np.ndarray, n_classes: int, out: np.ndarray | None = None
) -> np.ndarray:
    """x with equal class means: `class_means`, then `subtract_offsets`, on the same rows.

    Raises RemovalError where they do, and when fewer than two classes have samples.
    """
    fitted = class_means(x, codes, n_classes)
    n_present = int((fitted.counts > 0).sum())
    if n_present < 2:
        raise RemovalError(
            f"codes: {n_present} class in {len(x)} samples; removal needs samples of two or more"
            " classes"
        )
    return subtract_offsets(x, codes, fitted.offsets(), out)


def _block_rows(x: np.ndarray) -> int:
    return max(1, _BLOCK_VALUES // max(1, x.shape[1]))


def _check(x: np.ndarray, codes: np.ndarray, n_classes: int) -> None:
    if x.ndim != 2 or x.dtype not in (np.float32, np.float64):
        raise RemovalError(
            f"x: shape {x.shape}, type {x.dtype}; expected (n_samples, n_genes), float32 or float64"
        )
    if codes.shape != x.shape[:1] or codes.dtype.kind not in "iu":
        raise RemovalError(
            f"codes: shape {codes.shape}, type {codes.dtype}; expected ({len(x)},) integers, one"
            " a row"
        )
    if len(codes) and not (codes.min() >= 0 and codes.max() < n_classes):
        raise RemovalError(
            f"codes: {codes.min()} … {codes.max()}; expected 0 … {n_classes - 1} for {n_classes}"
            " classes"
        )

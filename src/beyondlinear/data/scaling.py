"""Gene selection and scaling: fitted on the rows of one part, frozen, applied to every part on its
way out of the matrix."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from beyondlinear.data.scaled_rows import ScaledRows
from beyondlinear.data.store_statistics import WholeStore

BLOCK = 64  # rows; a block of 5,000 genes in float64 is 2.6 MB


@dataclass(frozen=True)
class Preparation:
    """Which genes a fit uses and the affine map that scales them: (x[:, genes] − shift) · factor.

    genes: positions, or None for all; shift, factor: (n_selected_genes,) float32, or None for no
    scaling.
    """

    genes: np.ndarray | None
    shift: np.ndarray | None
    factor: np.ndarray | None

    def scaled_rows(self, x: np.ndarray, rows: np.ndarray) -> ScaledRows | None:
        """What `apply` gives without the copy; None where x cannot be read so: genes are selected,
        or it is not plain float32 in memory."""
        if (
            self.genes is not None
            or x.dtype != np.float32
            or not (x.flags.c_contiguous and x.flags.writeable)
        ):
            return None
        return ScaledRows(x, rows, self.shift, self.factor)

    def apply(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The selected, scaled rows of x as a new (n_rows, n_selected_genes) float32 array; x is
        read block by block."""
        n_genes = x.shape[1] if self.genes is None else len(self.genes)
        # torch's memory starts at 64 bytes: matrix products of equal numbers then give equal bits
        # in every process
        out = torch.empty((len(rows), n_genes), dtype=torch.float32).numpy()
        for i in range(0, len(rows), BLOCK):
            block = x[rows[i : i + BLOCK]]
            if self.genes is not None:
                block = block[:, self.genes]
            if self.shift is None or self.factor is None:
                out[i : i + BLOCK] = block
            else:
                np.subtract(block, self.shift, out=out[i : i + BLOCK])
                out[i : i + BLOCK] *= self.factor
        return out


def fit_preparation(
    x: np.ndarray,
    rows: np.ndarray,
    *,
    top_variance: int | None,
    scale: Literal["none", "standardise", "minmax"],
    whole_store: WholeStore | None = None,
) -> Preparation:
    """Learn the gene selection and the scaling from the given rows of x, in one pass in float64.

    :param top_variance: keep the genes with the largest variance over `rows` (in their order in x);
        None keeps all
    :param scale: "standardise" to mean 0 and standard deviation 1 (over n), "minmax" to 0–1, each
        per gene over `rows`; a gene that is constant there becomes 0
    :param whole_store: select and scale to 0–1 by all samples of the store in place of `rows`
    """
    n_genes = x.shape[1]
    select = top_variance is not None and top_variance < n_genes
    if scale == "none" and not select:
        return Preparation(None, None, None)
    mean, squares = np.zeros(n_genes), np.zeros(n_genes)
    low, high = np.full(n_genes, np.inf), np.full(n_genes, -np.inf)
    seen = 0
    if whole_store is not None and scale != "standardise":
        rows = rows[:0]
        low, high = whole_store.smallest.astype(np.float64), whole_store.largest.astype(np.float64)
    for i in range(0, len(rows), BLOCK):
        block = x[rows[i : i + BLOCK]].astype(np.float64)
        n, block_mean = len(block), block.mean(0)
        # Chan, Golub & LeVeque (1979): merging means and sums of squares without cancellation
        delta = block_mean - mean
        squares += ((block - block_mean) ** 2).sum(0) + delta**2 * (seen * n / (seen + n))
        mean += delta * (n / (seen + n))
        seen += n
        np.minimum(low, block.min(0), out=low)
        np.maximum(high, block.max(0), out=high)
    constant = low == high
    genes = None
    if select:
        variance = np.where(constant, 0.0, squares) if whole_store is None else whole_store.spread
        genes = np.sort(np.argsort(-variance, kind="stable")[:top_variance])
    if scale == "none":
        return Preparation(genes, None, None)
    shift, width = (mean, np.sqrt(squares / seen)) if scale == "standardise" else (low, high - low)
    shift = np.where(constant, low, shift)
    factor = np.divide(1.0, width, out=np.ones(n_genes), where=~constant)
    chosen = slice(None) if genes is None else genes
    return Preparation(genes, shift[chosen].astype(np.float32), factor[chosen].astype(np.float32))

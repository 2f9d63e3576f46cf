"""Scaling and ranking of genes over all samples of a prepared store: what the paper did, whatever
the task's samples."""

from dataclasses import dataclass

import numpy as np
from anndata import AnnData

from beyondlinear.data.transforms import Transform, transform

KEY = "whole_store"  # in the uns of a data set that was read from a store


@dataclass(frozen=True)
class WholeStore:
    """Of each gene over all samples of a store, on the scale that a run sees.

    smallest, largest: (n_genes,) float32; spread: (n_genes,) float64, what genes are ranked by.
    """

    smallest: np.ndarray
    largest: np.ndarray
    spread: np.ndarray

    def bytes(self) -> bytes:
        """What a fingerprint of the data takes in."""
        return self.smallest.tobytes() + self.largest.tobytes() + self.spread.tobytes()


def over_whole_store(
    adata: AnnData, names: Transform | list[Transform], *, scaled: bool
) -> WholeStore | None:
    """Of a data set as it comes from a store, before its transform; None under cpm and tpm, which
    look at whole samples.

    :param adata: var: min, max, variance and variance_log2p1 over the whole store, as TPM
    :param scaled: rank by the variance after 0–1 scaling (the published code for GTEx), else before
        it (for recount3)
    """
    given = [names] if isinstance(names, str) else names
    chain = [name for name in given if name != "none"]
    if chain not in ([], ["log1p"], ["log2p1"]):
        return None
    ends = AnnData(np.stack([adata.var["min"], adata.var["max"]]).astype(np.float32))
    # both logs grow with the value, so the ends stay the ends; they rank genes alike
    smallest, largest = transform(ends, names).X
    variance_column = "variance_log2p1" if chain else "variance"
    spread = adata.var[variance_column].to_numpy(np.float64)
    if scaled:
        # the variance after 0–1 scaling, 0 for a gene that does not vary
        width = largest.astype(np.float64) - smallest
        spread = np.divide(spread, width**2, out=np.zeros(len(width)), where=width > 0)
    return WholeStore(smallest, largest, spread)

"""What every expression matrix must pass before it is used: finite values, ids that occur once."""

import logging
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from beyondlinear.runtime.errors import DataError

log = logging.getLogger(__name__)

OnNan = Literal["error", "drop_genes", "drop_samples"]
OnDuplicates = Literal["error", "first"]

_BLOCK_BYTES = 1 << 23


def check_finite(adata: AnnData, on_nan: OnNan) -> AnnData:
    """The same data without NaN and infinite values; `adata` itself, not a copy, when there are
    none.

    :param adata: X dense, (n_samples, n_genes)
    :param on_nan: "error", or drop every gene, or every sample, that has such a value
    :raises DataError: there are some and `on_nan` is "error", or nothing would be left
    """
    x: np.ndarray = adata.X
    per_sample, per_gene = np.zeros(adata.n_obs, np.int64), np.zeros(adata.n_vars, np.int64)
    for rows in row_blocks(x):
        bad = ~np.isfinite(x[rows])
        if bad.any():
            per_sample[rows] = bad.sum(axis=1)
            per_gene += bad.sum(axis=0)
    n_values = int(per_gene.sum())
    if not n_values:
        return adata
    genes_left, samples_left = int((per_gene == 0).sum()), int((per_sample == 0).sum())
    found = (
        f"{n_values:,} values are NaN or infinite, in"
        f" {named(adata.var_names[per_gene > 0], 'gene')} and"
        f" {named(adata.obs_names[per_sample > 0], 'sample')}"
    )
    remedy = (
        f"dataset.on_nan=drop_genes leaves {genes_left:,} of {adata.n_vars:,} genes, "
        f"dataset.on_nan=drop_samples leaves {samples_left:,} of {adata.n_obs:,} samples"
    )
    if on_nan == "error":
        raise DataError(f"dataset.on_nan: {found}. {remedy}; or fill them in the file")
    if (genes_left if on_nan == "drop_genes" else samples_left) == 0:
        raise DataError(
            f"dataset.on_nan: {on_nan} leaves nothing: {found}. {remedy}; or fill them in the file"
        )
    if on_nan == "drop_genes":
        log.info("%s; these genes are dropped, %s are left", found, f"{genes_left:,}")
        return subset(adata, genes=np.flatnonzero(per_gene == 0))
    log.info("%s; these samples are dropped, %s are left", found, f"{samples_left:,}")
    return subset(adata, samples=np.flatnonzero(per_sample == 0))


def check_unique(adata: AnnData, on_duplicates: OnDuplicates) -> AnnData:
    """The same data with every sample id and gene id once; `adata` itself, not a copy, when they
    already are.

    :param on_duplicates: "error", or keep the first of each id
    :raises DataError: an id occurs twice and `on_duplicates` is "error"
    """
    if adata.obs_names.is_unique and adata.var_names.is_unique:
        return adata
    samples = unique_positions(adata.obs_names, "sample", on_duplicates)
    return subset(adata, samples, unique_positions(adata.var_names, "gene", on_duplicates))


def unique_positions(
    ids: pd.Index | np.ndarray, what: str, on_duplicates: OnDuplicates
) -> np.ndarray:
    """Positions, ascending, of the first occurrence of each id.

    :param what: "sample" or "gene", for the message
    :raises DataError: an id occurs twice and `on_duplicates` is "error"
    """
    index = pd.Index(ids)
    repeats = index.duplicated()
    if not repeats.any():
        return np.arange(len(index))
    found = (
        f"{named(index[repeats].unique(), f'{what} id')} occur more than once, in {repeats.sum():,}"
        " surplus places"
    )
    if on_duplicates == "error":
        raise DataError(
            f"dataset.on_duplicates: {found}. Make them unique, or dataset.on_duplicates=first"
            " keeps the first"
        )
    log.warning("%s; the first of each is kept", found)
    return np.flatnonzero(~repeats)


def subset(
    adata: AnnData, samples: np.ndarray | None = None, genes: np.ndarray | None = None
) -> AnnData:
    """Some samples and genes, by position: X (copied once, C-contiguous), obs, var and uns; layers
    are left behind."""
    x: np.ndarray = adata.X
    obs, var = adata.obs, adata.var
    if samples is not None and len(samples) < adata.n_obs:
        x, obs = np.take(x, samples, axis=0), obs.iloc[samples]
    if genes is not None and len(genes) < adata.n_vars:
        x, var = np.take(x, genes, axis=1), var.iloc[genes]
    return AnnData(X=x, obs=obs, var=var, uns=adata.uns)


def row_blocks(x: np.ndarray) -> Iterator[slice]:
    """Slices of rows that fit a processor's cache, so that a temporary is never as large as the
    matrix."""
    step = max(1, _BLOCK_BYTES // max(1, x[:1].nbytes))
    for start in range(0, len(x), step):
        yield slice(start, min(start + step, len(x)))


def named(ids: pd.Index | np.ndarray, what: str, limit: int = 5) -> str:
    """A count with its first names: "2 genes ('TP53', 'XIST')"."""
    names = ", ".join(f"'{i}'" for i in ids[:limit]) + (", …" if len(ids) > limit else "")
    return f"{len(ids):,} {what}{'' if len(ids) == 1 else 's'} ({names})"

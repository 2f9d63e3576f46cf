"""Scales of expression: each looks at one sample, or one value, alone, so nothing passes from one
sample to another."""

import logging
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from beyondlinear.data.checks import named, row_blocks, subset
from beyondlinear.data.metadata import read_metadata, without_version
from beyondlinear.runtime.errors import ConfigError, DataError, choices

log = logging.getLogger(__name__)

Transform = Literal["none", "log1p", "log2p1", "cpm", "tpm"]
_PER_SAMPLE = ("cpm", "tpm")
_LOG = ("log1p", "log2p1")
_MILLION = 1e6  # what a sample's values sum to under cpm and tpm


def transform(
    adata: AnnData, names: Transform | list[Transform], gene_lengths: str | None = None
) -> AnnData:
    """Bring X to another scale, in place (`tpm` may return fewer genes); several are applied from
    left to right.

    - log1p: ln(x + 1); log2p1: log2(x + 1)
    - cpm: x / Σ x · 10⁶ per sample
    - tpm: (x / length) / Σ (x / length) · 10⁶ per sample (Li & Dewey 2011,
      doi:10.1186/1471-2105-12-323), over the genes that have a length; the others are dropped and
      named

    :param adata: X (n_samples, n_genes) float32, finite; counts for cpm and tpm, or base coverage
        for tpm
    :param gene_lengths: table of gene ids and exonic lengths in bases, for tpm
    :raises ConfigError: unknown transform, or an order that makes no sense
    :raises DataError: negative values, all-zero samples under cpm or tpm, tpm without usable
        lengths
    """
    chain = _chain(names)
    if gene_lengths is not None and "tpm" not in chain:
        raise ConfigError(
            f"dataset.gene_lengths: '{gene_lengths}' is read by dataset.transform=tpm only;"
            " leave it null"
        )
    for name in chain:
        if name == "tpm":
            lengths = _lengths(adata.var_names, gene_lengths)
            known = np.flatnonzero(np.isfinite(lengths))
            adata = subset(adata, genes=known)
            _scale_samples(adata, name, lengths[known])
        elif name == "cpm":
            _scale_samples(adata, name, None)
        else:
            _take_log(adata, name)
    return adata


def _chain(names: str | list[Transform]) -> list[str]:
    """The transforms to apply in turn, without "none".

    :raises ConfigError: an unknown one, or an order that makes no sense
    """
    chain: list[str] = [names] if isinstance(names, str) else list(names)
    known = ("none", *_LOG, *_PER_SAMPLE)
    for name in chain:
        if name not in known:
            raise ConfigError(
                f"dataset.transform: '{name}' is not a transform. {choices(name, known)}"
            )
    chain = [name for name in chain if name != "none"]
    # a log of a log, or a library size of logs, has no meaning
    per_sample = [name for name in chain if name in _PER_SAMPLE]
    logs = [name for name in chain if name in _LOG]
    if len(per_sample) > 1 or len(logs) > 1 or chain != per_sample + logs:
        raise ConfigError(
            f"dataset.transform: [{', '.join(chain)}] makes no sense; at most one of cpm, tpm,"
            " and after it at most one of log1p, log2p1, e.g. dataset.transform=[cpm,log2p1]"
        )
    return chain


def _take_log(adata: AnnData, name: str) -> None:
    x: np.ndarray = adata.X
    for rows in row_blocks(x):
        block = x[rows]
        _check_not_negative(adata, rows, name)
        np.log1p(block, out=block)
        if name == "log2p1":
            block /= np.log(2)


def _scale_samples(adata: AnnData, name: str, lengths: np.ndarray | None) -> None:
    """Bring each sample's sum to a million, of values divided by the lengths where there are
    any."""
    x: np.ndarray = adata.X
    zero_samples: list[str] = []
    for rows in row_blocks(x):
        _check_not_negative(adata, rows, name)
        block = x[rows].astype(np.float64) if lengths is None else x[rows] / lengths
        sums = block.sum(axis=1, keepdims=True)
        zero_samples.extend(adata.obs_names[rows][sums[:, 0] == 0])
        np.divide(block, sums, out=block, where=sums > 0)
        block *= _MILLION
        x[rows] = block
    if zero_samples:
        raise DataError(
            f"dataset.transform: {named(np.array(zero_samples), 'sample')} hold zeros only,"
            f" so {name} is not defined there. Take them out of the metadata:"
            " samples without metadata are dropped"
        )


def _check_not_negative(adata: AnnData, rows: slice, name: str) -> None:
    block: np.ndarray = adata.X[rows]
    if block.size and block.min() < 0:
        i, j = np.unravel_index(block.argmin(), block.shape)
        raise DataError(
            f"dataset.transform: {name} needs values from 0, but '{adata.var_names[j]}' is"
            f" {block[i, j]:g} in sample '{adata.obs_names[rows][i]}';"
            " the data may be on a log scale already: dataset.transform=none"
        )


def _lengths(genes: pd.Index, path: str | None) -> np.ndarray:
    """Length in bases of each gene, NaN where the table has none or several that differ."""
    if path is None:
        raise DataError(
            "dataset.gene_lengths: tpm needs a table of gene ids and lengths in bases,"
            " and none is given"
        )
    table, text = read_metadata(path, "dataset.gene_lengths")
    column = _length_column(table, path)
    values = table[column].to_numpy(np.float64)
    wrong = ~np.isnan(values) & ~((values > 0) & np.isfinite(values))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"dataset.gene_lengths: '{path}', row {at + 1}: {column} is {values[at]:g};"
            " a length is a number of bases above 0"
        )
    # by the column of ids that matches the most genes, the first of them
    lengths = np.full(len(genes), np.nan)
    for id_column in table:
        if id_column == column:
            continue
        found = _match_genes(genes, text[id_column], values)
        if np.isfinite(found).sum() > np.isfinite(lengths).sum():
            lengths = found
    missing = genes[np.isnan(lengths)]
    if len(missing) == len(genes):
        in_data = ", ".join(map(repr, genes[:3]))
        in_table = ", ".join(map(repr, text.drop(columns=column).iloc[0]))
        raise DataError(
            f"dataset.gene_lengths: no gene id of the data is in '{path}'."
            f" Data: {in_data}; table: {in_table}."
            " Versions of Ensembl ids may differ, other names may not"
        )
    if len(missing):
        log.warning(
            "tpm: %s have no length in %s, or several that differ, and are dropped",
            named(missing, "gene"),
            path,
        )
    return lengths


def _length_column(table: pd.DataFrame, path: str) -> str:
    """The column of lengths: "bp_length", else the only one that holds numbers."""
    numbers = [name for name in table if pd.api.types.is_numeric_dtype(table[name])]
    if "bp_length" in numbers:
        return "bp_length"
    if "bp_length" in table or len(numbers) != 1:
        named_numbers = ", ".join(map(str, numbers))
        raise DataError(
            f"dataset.gene_lengths: '{path}' needs a column 'bp_length' of numbers, or one column"
            f" of numbers only; its columns of numbers are: {named_numbers or '(none)'}"
        )
    return numbers[0]


def _match_genes(genes: pd.Index, ids: pd.Series, values: np.ndarray) -> np.ndarray:
    """(n_genes,) length of each gene by one column of ids; NaN where it has none."""
    # as written first, so that a version that is there is used; a PAR_Y copy has its own length,
    # never its X twin's
    as_written = _by_id(ids, values).reindex(genes).to_numpy()
    by_stripped_id = _by_id(ids.map(without_version), values)
    stripped = by_stripped_id.reindex(genes.map(without_version)).to_numpy()
    return np.where(np.isnan(as_written), stripped, as_written)


def _by_id(ids: pd.Series, values: np.ndarray) -> pd.Series:
    """The length of each id; NaN where the table gives several that differ."""
    lengths = pd.Series(values, index=pd.Index(ids))
    has_id = (ids != "").to_numpy()
    ends = lengths[has_id].groupby(level=0).agg(["min", "max"])
    return ends["min"].where(ends["min"] == ends["max"])

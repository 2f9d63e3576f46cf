"""The user's own files: an expression table in either orientation, and a table that says what each
sample is."""

import logging

import numpy as np
import pandas as pd
from anndata import AnnData

from beyondlinear.data.checks import OnDuplicates, OnNan, check_finite, named, unique_positions
from beyondlinear.data.metadata import Match, match, read_metadata, readable
from beyondlinear.data.transforms import Transform
from beyondlinear.data.transforms import transform as apply_transform
from beyondlinear.data.user_files.table import Table
from beyondlinear.data.user_files.tables import open_table
from beyondlinear.runtime.errors import DataError

log = logging.getLogger(__name__)


def load(
    expression: str,
    metadata: str | None = None,
    *,
    id_column: str | None = None,
    layer: str | None = None,
    transform: Transform | list[Transform] = "none",
    gene_lengths: str | None = None,
    on_nan: OnNan = "error",
    on_duplicates: OnDuplicates = "error",
) -> AnnData:
    """Read expression and metadata, and join them on sample ids.

    Which axis holds the samples is found by matching ids, and logged. Samples without metadata and
    metadata without expression are dropped and counted. Ids are text: "001" stays "001".

    :param expression: .h5ad, .parquet, .csv, .tsv, .txt or .gct (the last four also .gz); genes ×
        samples or samples × genes, ids in the first column (or the index)
    :param metadata: .csv, .tsv, .txt (also .gz) or .parquet, one row per sample; null: obs of an
        .h5ad. With an .h5ad its columns join those of obs, and win where both have one of the same
        name
    :param id_column: metadata column of sample ids; null: the one that matches
    :param layer: of an .h5ad, in place of X
    :param transform: see `beyondlinear.data.transforms.transform`
    :param gene_lengths: table of gene ids and lengths in bases, for tpm
    :param on_nan, on_duplicates: see `beyondlinear.data.checks`
    :returns: X (n_samples, n_genes) float32, C-contiguous; obs: metadata columns, indexed by sample
        id; var: gene ids
    :raises DataError: a file, an id or a value that does not fit; the message names it and the
        remedy
    :raises ConfigError: an unknown transform
    """
    table = open_table(expression, "dataset.expression", layer)
    if metadata is not None:
        numbers, text = read_metadata(metadata, "dataset.metadata")
        found = match(table.path, {"rows": table.rows, "columns": table.columns}, text, id_column)
        _report(table, found, text)
        samples, obs = _join(table, found, numbers, text, on_duplicates)
        genes = _genes(table, found, list(text.columns))
    elif table.obs is None:
        raise DataError(
            f"dataset.metadata: '{table.path}' holds expression only. Give a table with one row"
            " per sample, its id and its label: dataset.metadata=samples.csv"
        )
    elif id_column is not None:
        raise DataError(
            f"dataset.id_column: '{id_column}' is a column of dataset.metadata, and none is given"
        )
    else:
        found = Match("rows", "", np.arange(len(table.rows)))
        samples = unique_positions(table.rows, "sample", on_duplicates)
        obs = table.obs.iloc[samples]
        genes = np.arange(len(table.columns))
    gene_ids = table.columns if found.axis == "rows" else table.rows
    genes = genes[unique_positions(gene_ids[genes], "gene", on_duplicates)]
    with readable(table.path, "dataset.expression"):
        x = _values(table, found.axis, samples, genes)
    adata = AnnData(X=x, obs=obs, var=pd.DataFrame(index=pd.Index(gene_ids[genes], dtype=object)))
    return apply_transform(check_finite(adata, on_nan), transform, gene_lengths)


def load_unlabelled(
    expression: str,
    genes: np.ndarray,
    transform: Transform | list[Transform] = "none",
    gene_lengths: str | None = None,
) -> AnnData:
    """Read expression without metadata; which axis holds the genes is found by the ids of known
    genes.

    :param genes: (n_genes,) str, ids of which some must be there
    :returns: as `load`, with all genes of the file
    :raises DataError: neither axis holds any of the genes, or the file does not fit
    """
    table = open_table(expression, "expression")
    known_rows = int(np.isin(table.rows.astype(str), genes).sum())
    known_columns = int(np.isin(table.columns.astype(str), genes).sum())
    if not known_rows + known_columns:
        raise DataError(
            f"expression: '{table.path}' holds none of the {len(genes):,} genes, e.g. {genes[0]}"
        )
    if known_rows > known_columns:
        sample_axis = "columns"
        sample_ids, gene_ids = table.columns, table.rows
    else:
        sample_axis = "rows"
        sample_ids, gene_ids = table.rows, table.columns
    samples = unique_positions(sample_ids, "sample", "error")
    if sample_axis == "columns":
        samples = samples[table.numeric[samples]]
    positions = unique_positions(gene_ids, "gene", "error")
    with readable(table.path, "expression"):
        x = _values(table, sample_axis, samples, positions)
    obs = pd.DataFrame(index=pd.Index(sample_ids[samples], dtype=object))
    var = pd.DataFrame(index=pd.Index(gene_ids[positions], dtype=object))
    adata = check_finite(AnnData(X=x, obs=obs, var=var), "error")
    return apply_transform(adata, transform, gene_lengths)


def _report(table: Table, found: Match, text: pd.DataFrame) -> None:
    """Log which axis holds the samples, and what is dropped for want of a partner."""
    without_metadata = found.positions < 0
    if found.axis == "columns":
        orientation = "genes × samples"
        ids = table.columns
        annotation = without_metadata & ~table.numeric  # e.g. a column of gene names
    else:
        orientation = "samples × genes"
        ids = table.rows
        annotation = np.zeros_like(without_metadata)
    n_ids = len(ids) - int(annotation.sum())
    log.info(
        "%s: %s; %s of %s %s match metadata column '%s'",
        table.path.name,
        orientation,
        f"{found.n_matched:,}",
        f"{n_ids:,}",
        found.axis,
        found.id_column,
    )
    if annotation.any():
        log.info("%s without numbers are dropped", named(table.columns[annotation], "column"))
    without_metadata &= ~annotation
    n_lost = int(without_metadata.sum())
    _report_dropped(n_lost, n_ids, f"{named(ids[without_metadata], 'sample')} without metadata")
    rows_used = np.unique(found.positions[found.positions >= 0])
    n_unused = len(text) - len(rows_used)
    _report_dropped(n_unused, len(text), f"{n_unused:,} rows of metadata without expression")


def _report_dropped(n_dropped: int, n_all: int, what: str) -> None:
    """Log what is dropped; a warning where it is more than half."""
    if not n_dropped:
        return
    if 2 * n_dropped > n_all:
        log.warning("%s are dropped: more than half of %s; are the ids right?", what, f"{n_all:,}")
    else:
        log.info("%s are dropped", what)


def _join(
    table: Table,
    found: Match,
    numbers: pd.DataFrame,
    text: pd.DataFrame,
    on_duplicates: OnDuplicates,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Positions of the samples on their axis, and their obs."""
    ids = table.columns if found.axis == "columns" else table.rows
    samples = np.flatnonzero(found.positions >= 0)
    metadata_ids = text[found.id_column]
    matched_ids = metadata_ids[metadata_ids.isin(ids[samples])].to_numpy()
    unique_positions(matched_ids, "metadata sample", on_duplicates)
    samples = samples[unique_positions(ids[samples], "sample", on_duplicates)]
    obs = numbers.drop(columns=found.id_column).iloc[found.positions[samples]]
    obs.index = pd.Index(ids[samples], name=found.id_column, dtype=object)
    if table.obs is not None:
        own = table.obs.iloc[samples].set_axis(obs.index)
        both = own.columns.intersection(obs.columns)
        if len(both):
            log.info("%s of obs are replaced by those of the metadata", named(both, "column"))
        own = own.drop(columns=both).drop(columns=found.id_column, errors="ignore")
        obs = pd.concat([own, obs], axis=1)
    return samples, obs


def _genes(table: Table, found: Match, metadata_columns: list[str]) -> np.ndarray:
    """Positions of the genes on their axis; a column that the metadata has too is a label, not a
    gene."""
    if found.axis == "columns":
        return np.arange(len(table.rows))
    shared = np.isin(table.columns.astype(str), metadata_columns)
    if shared.all():
        raise DataError(
            f"dataset.expression: all {len(shared):,} columns of '{table.path}' are columns of"
            " the metadata too, so none is a gene."
            " Keep labels in one file and expression in the other"
        )
    if shared.any():
        log.warning(
            "%s: %s are columns of the metadata too and are not taken as genes",
            table.path.name,
            named(table.columns[shared], "column"),
        )
    return np.flatnonzero(~shared)


def _values(table: Table, axis: str, samples: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Parse straight into x (n_samples, n_genes) float32: the matrix is in memory once, plus a
    block."""
    x = np.empty((len(samples), len(genes)), np.float32)
    # as the file has it: rows × columns
    if axis == "columns":
        out, rows, columns = x.T, genes, samples
    else:
        out, rows, columns = x, samples, genes
    wanted = np.zeros(len(table.rows), dtype=bool)
    wanted[rows] = True
    n_read = 0
    n_filled = 0
    for block in table.blocks(columns):
        here = wanted[n_read : n_read + len(block)]
        n_read += len(block)
        if n_read > len(wanted):
            break
        n_here = int(here.sum())
        out[n_filled : n_filled + n_here] = block if n_here == len(block) else block[here]
        n_filled += n_here
    if n_read != len(wanted):
        raise DataError(
            f"dataset.expression: '{table.path}' has {len(wanted):,} lines of ids but"
            f" {n_read:,} or more rows of values; a line break inside a cell, or an open quote,"
            " does that. Save the table without line breaks in cells"
        )
    return x

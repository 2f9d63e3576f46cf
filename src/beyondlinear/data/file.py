"""The user's own files: an expression table in either orientation, and a table that says what each sample is."""

import logging

import numpy as np
import pandas as pd
from anndata import AnnData

from beyondlinear.data.checks import OnDuplicates, OnNan, check_finite, named, unique_positions
from beyondlinear.data.metadata import Match, match, read_metadata, readable
from beyondlinear.data.tables import Table, open_table
from beyondlinear.data.transforms import Transform
from beyondlinear.data.transforms import transform as apply_transform
from beyondlinear.errors import DataError

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

    Which axis holds the samples is found by matching ids, and logged. Samples without metadata and metadata without
    expression are dropped and counted. Ids are text: "001" stays "001".

    :param expression: .h5ad, .parquet, .csv, .tsv, .txt or .gct (the last four also .gz); genes × samples or samples ×
        genes, ids in the first column (or the index)
    :param metadata: .csv, .tsv, .txt (also .gz) or .parquet, one row per sample; null: obs of an .h5ad. With an .h5ad
        its columns join those of obs, and win where both have one of the same name
    :param id_column: metadata column of sample ids; null: the one that matches
    :param layer: of an .h5ad, in place of X
    :param transform: see `beyondlinear.data.transforms.transform`
    :param gene_lengths: table of gene ids and lengths in bases, for tpm
    :param on_nan, on_duplicates: see `beyondlinear.data.checks`
    :returns: X (n_samples, n_genes) float32, C-contiguous; obs: metadata columns, indexed by sample id; var: gene ids
    :raises DataError: a file, an id or a value that does not fit; the message names it and the remedy
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
            f"dataset.metadata: '{table.path}' holds expression only. Give a table with one row per sample, its id and "
            "its label: dataset.metadata=samples.csv"
        )
    elif id_column is not None:
        raise DataError(f"dataset.id_column: '{id_column}' is a column of dataset.metadata, and none is given")
    else:
        found = Match("rows", "", np.arange(len(table.rows)))
        samples = unique_positions(table.rows, "sample", on_duplicates)
        obs, genes = table.obs.iloc[samples], np.arange(len(table.columns))
    gene_ids = table.columns if found.axis == "rows" else table.rows
    genes = genes[unique_positions(gene_ids[genes], "gene", on_duplicates)]
    with readable(table.path, "dataset.expression"):
        x = _values(table, found.axis, samples, genes)
    adata = AnnData(X=x, obs=obs, var=pd.DataFrame(index=pd.Index(gene_ids[genes], dtype=object)))
    return apply_transform(check_finite(adata, on_nan), transform, gene_lengths)


def load_unlabelled(
    expression: str, genes: np.ndarray, transform: Transform | list[Transform] = "none", gene_lengths: str | None = None
) -> AnnData:
    """Read expression without metadata; which axis holds the genes is found by the ids of known genes.

    :param genes: (n_genes,) str, ids of which some must be there
    :returns: as `load`, with all genes of the file
    :raises DataError: neither axis holds any of the genes, or the file does not fit
    """
    table = open_table(expression, "expression")
    of_rows, of_columns = (int(np.isin(ids.astype(str), genes).sum()) for ids in (table.rows, table.columns))
    if not of_rows + of_columns:
        raise DataError(f"expression: '{table.path}' holds none of the {len(genes):,} genes, e.g. {genes[0]}")
    axis = "columns" if of_rows > of_columns else "rows"  # of the samples
    sample_ids, gene_ids = (table.columns, table.rows) if axis == "columns" else (table.rows, table.columns)
    samples = unique_positions(sample_ids, "sample", "error")
    numeric = table.numeric if axis == "columns" else np.ones(len(samples), dtype=bool)
    samples = samples[numeric[samples]]
    known = unique_positions(gene_ids, "gene", "error")
    with readable(table.path, "expression"):
        x = _values(table, axis, samples, known)
    obs, var = (pd.DataFrame(index=pd.Index(ids, dtype=object)) for ids in (sample_ids[samples], gene_ids[known]))
    return apply_transform(check_finite(AnnData(X=x, obs=obs, var=var), "error"), transform, gene_lengths)


def _report(table: Table, found: Match, text: pd.DataFrame) -> None:
    n_rows, rows_used = len(text), len(np.unique(found.positions[found.positions >= 0]))
    lost = found.positions < 0
    annotation = lost & ~table.numeric if found.axis == "columns" else np.zeros_like(lost)
    n_ids = len(lost) - int(annotation.sum())
    log.info(
        "%s: %s; %s of %s %s match metadata column '%s'",
        table.path.name,
        "genes × samples" if found.axis == "columns" else "samples × genes",
        *(f"{found.n_matched:,}", f"{n_ids:,}", found.axis, found.id_column),
    )
    if annotation.any():
        log.info("%s without numbers are dropped", named(table.columns[annotation], "column"))
    lost &= ~annotation
    ids = table.columns if found.axis == "columns" else table.rows
    for n, of, what in (
        (int(lost.sum()), n_ids, f"{named(ids[lost], 'sample')} without metadata"),
        (n_rows - rows_used, n_rows, f"{n_rows - rows_used:,} rows of metadata without expression"),
    ):
        if n:
            much = 2 * n > of
            log.log(
                logging.WARNING if much else logging.INFO,
                "%s are dropped%s",
                what,
                f": more than half of {of:,}; are the ids right?" if much else "",
            )


def _join(
    table: Table, found: Match, numbers: pd.DataFrame, text: pd.DataFrame, on_duplicates: OnDuplicates
) -> tuple[np.ndarray, pd.DataFrame]:
    """Positions of the samples on their axis, and their obs."""
    ids = table.columns if found.axis == "columns" else table.rows
    cells = text[found.id_column]
    unique_positions(cells[cells.isin(ids[found.positions >= 0])].to_numpy(), "metadata sample", on_duplicates)
    samples = np.flatnonzero(found.positions >= 0)
    samples = samples[unique_positions(ids[samples], "sample", on_duplicates)]
    obs = numbers.drop(columns=found.id_column).iloc[found.positions[samples]]
    obs.index = pd.Index(ids[samples], name=found.id_column, dtype=object)
    if table.obs is not None:
        own = table.obs.iloc[samples].set_axis(obs.index)
        both = own.columns.intersection(obs.columns)
        if len(both):
            log.info("%s of obs are replaced by those of the metadata", named(both, "column"))
        obs = pd.concat([own.drop(columns=[*both, *own.columns.intersection([found.id_column])]), obs], axis=1)
    return samples, obs


def _genes(table: Table, found: Match, metadata_columns: list[str]) -> np.ndarray:
    """Positions of the genes on their axis; a column that the metadata has too is a label, not a gene."""
    if found.axis == "columns":
        return np.arange(len(table.rows))
    shared = np.isin(table.columns.astype(str), metadata_columns)
    if shared.all():
        raise DataError(
            f"dataset.expression: all {len(shared):,} columns of '{table.path}' are columns of the metadata too, so "
            "none is a gene. Keep labels in one file and expression in the other"
        )
    if shared.any():
        log.warning(
            "%s: %s are columns of the metadata too and are not taken as genes",
            table.path.name,
            named(table.columns[shared], "column"),
        )
    return np.flatnonzero(~shared)


def _values(table: Table, axis: str, samples: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Parse straight into x (n_samples, n_genes) float32: the matrix is in memory once, plus a block."""
    x = np.empty((len(samples), len(genes)), np.float32)
    # as the file has it: rows × columns
    out, rows, columns = (x.T, genes, samples) if axis == "columns" else (x, samples, genes)
    wanted = np.zeros(len(table.rows), dtype=bool)
    wanted[rows] = True
    start = filled = 0
    for block in table.blocks(columns):
        here = wanted[start : start + len(block)]
        start += len(block)
        if start > len(wanted):
            break
        n = int(here.sum())
        out[filled : filled + n] = block if n == len(block) else block[here]
        filled += n
    if start != len(wanted):
        raise DataError(
            f"dataset.expression: '{table.path}' has {len(wanted):,} lines of ids but {start:,} or more rows of "
            "values; a line break inside a cell, or an open quote, does that. "
            "Save the table without line breaks in cells"
        )
    return x

"""Expression tables in binary formats: Parquet, and AnnData's .h5ad."""

import functools
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from anndata.io import read_elem

from beyondlinear.data.metadata import plain
from beyondlinear.data.user_files.table import BLOCK_BYTES, Table, float32_block, not_numeric
from beyondlinear.runtime.errors import DataError, choices

_FLOAT_BYTES = 4  # of a float32


def open_parquet(path: Path) -> Table:
    """Read the ids of a Parquet table: its pandas index, else its first column.

    :raises DataError: no rows, one column, or ids that are numbers with a point
    """
    file = pa.parquet.ParquetFile(path)
    schema = file.schema_arrow
    pandas_index = (schema.pandas_metadata or {}).get("index_columns", [])
    # an index of plain numbers is described by a dict and is no column
    index = [name for name in pandas_index if isinstance(name, str)]
    id_column = schema.names.index(index[0]) if index and index[0] in schema.names else 0
    n_rows = file.metadata.num_rows
    if len(schema) < 2 or not n_rows or pa.types.is_floating(schema.types[id_column]):
        first = ", ".join(map(str, [*schema][:1]))
        raise DataError(
            f"dataset.expression: '{path}' has {n_rows} rows, {len(schema)} columns and no ids:"
            f" the ids must be the index or the first column, as text (the first is {first})"
        )
    ids = file.read(columns=[schema.names[id_column]]).column(0).to_pandas()
    others = np.array([j for j in range(len(schema)) if j != id_column])
    numeric = np.array([_holds_numbers(column_type) for column_type in schema.types])
    return Table(
        path,
        rows=ids.astype(str).to_numpy(dtype=object),
        columns=np.array(schema.names, dtype=object)[others],
        numeric=numeric[others],
        blocks=functools.partial(_parquet_blocks, path, id_column, others, numeric),
    )


def _holds_numbers(column_type: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(column_type)
        or pa.types.is_floating(column_type)
        or pa.types.is_decimal(column_type)
    )


def _parquet_blocks(
    path: Path, id_column: int, others: np.ndarray, numeric: np.ndarray, wanted: np.ndarray
) -> Iterator[np.ndarray]:
    """`Table.blocks` of a Parquet table.

    :param others: positions in the file of the columns that are not the ids
    :param numeric: of each column of the file, whether it holds numbers
    """
    file = pa.parquet.ParquetFile(path)
    chosen = others[wanted]
    without_numbers = chosen[~numeric[chosen]]
    if len(without_numbers):
        j = int(without_numbers[0])
        first = next(file.iter_batches(batch_size=1))
        value = first.column(j)[0].as_py()
        row = first.column(id_column)[0].as_py()
        raise not_numeric(path, file.schema_arrow.names[j], value, row)
    # Parquet pays more than text does for each column of each block
    n_rows = max(64, 8 * BLOCK_BYTES // (_FLOAT_BYTES * len(others)))
    for batch in file.iter_batches(batch_size=n_rows):
        yield float32_block([batch.column(int(j)).cast(pa.float32(), safe=False) for j in chosen])


def open_h5ad(path: Path, layer: str | None) -> Table:
    """Read the ids and obs of an .h5ad.

    :param layer: to read in place of X
    :raises DataError: no AnnData, no such layer, no X, or values that are not numbers
    """
    with h5py.File(path) as file:
        if "obs" not in file or "var" not in file:
            raise DataError(
                f"dataset.expression: '{path}' is HDF5 but no AnnData: it lacks obs or var"
            )
        obs = read_elem(file["obs"])
        var = read_elem(file["var"])
        layers = list(file.get("layers", {}))
        if layer is not None and layer not in layers:
            raise DataError(
                f"dataset.layer: '{layer}' is not a layer of {path}. {choices(layer, layers)};"
                " null reads X"
            )
        name = "X" if layer is None else f"layers/{layer}"
        if name not in file or file[name].attrs.get("encoding-type") == "null":
            raise DataError(
                f"dataset.layer: '{path}' has no X; name a layer instead. {choices('X', layers)}"
            )
        stored = file[name]
        values = stored if isinstance(stored, h5py.Dataset) else stored["data"]  # dense or sparse
        if values.dtype.kind not in "fiub":
            raise DataError(
                f"dataset.layer: {name} of '{path}' holds {values.dtype}, not numbers;"
                " name another layer"
            )
    return Table(
        path,
        rows=obs.index.astype(str).to_numpy(dtype=object),
        columns=var.index.astype(str).to_numpy(dtype=object),
        numeric=np.ones(len(var), dtype=bool),
        blocks=functools.partial(_h5ad_blocks, path, name),
        obs=plain(obs),
    )


def _h5ad_blocks(path: Path, name: str, wanted: np.ndarray) -> Iterator[np.ndarray]:
    """`Table.blocks` of an .h5ad; a sparse matrix is read as a whole."""
    with h5py.File(path) as file:
        stored = file[name]
        if isinstance(stored, h5py.Dataset):
            matrix = stored.astype(np.float32)
            n_rows, n_columns = stored.shape
            chunk = stored.chunks[0] if stored.chunks else 1
        else:
            matrix = read_elem(stored).tocsr()
            matrix.data = matrix.data.astype(np.float32)
            n_rows, n_columns = matrix.shape
            chunk = 1
        all_columns = len(wanted) == n_columns
        # whole chunks, so that none is decompressed twice
        rows_a_block = chunk * max(1, BLOCK_BYTES // (_FLOAT_BYTES * n_columns * chunk))
        for start in range(0, n_rows, rows_a_block):
            block = matrix[start : start + rows_a_block]
            if not isinstance(block, np.ndarray):
                block = block.toarray()
            yield block if all_columns else block[:, wanted]

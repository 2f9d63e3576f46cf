"""Expression tables on disk: ids first, values later, so that orientation is settled before a value is parsed."""

import csv
import functools
import gzip
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from anndata.io import read_elem

from beyondlinear.data.metadata import DELIMITERS, MISSING, find, one_column, plain, readable
from beyondlinear.errors import DataError, choices

log = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 24

# float32 blocks (some rows, wanted columns), in the order of the file, for the column positions given
Blocks = Callable[[np.ndarray], Iterator[np.ndarray]]


@dataclass(frozen=True)
class Table:
    """A table of numbers on disk; its ids are read, its values are not.

    rows: (n_rows,) str; columns: (n_columns,) str, without the column of row ids; numeric: (n_columns,) bool, whether
    the column can hold numbers (the schema says so, or its first cell); obs: the samples' columns, of an AnnData only.
    """

    path: Path
    rows: np.ndarray
    columns: np.ndarray
    numeric: np.ndarray
    blocks: Blocks
    obs: pd.DataFrame | None = None


def open_table(path: str | Path, key: str, layer: str | None = None) -> Table:
    """Read the ids of an expression table.

    :param key: the config key that named the file, for errors
    :param layer: of an .h5ad: the layer to read in place of X
    :raises DataError: no such file, unknown extension, unreadable content, or a table without ids
    """
    path, kind = find(path, key, (".h5ad", ".parquet", *DELIMITERS))
    if layer is not None and kind != ".h5ad":
        raise DataError(f"dataset.layer: '{layer}' is given, but {path} has no layers; only .h5ad has. Leave it null")
    with readable(path, key):
        if kind == ".h5ad":
            return _open_h5ad(path, layer)
        if kind == ".parquet":
            return _open_parquet(path)
        return _open_text(path, kind)


def _open_bytes(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _open_text(path: Path, kind: str) -> Table:
    sep, quoted, key = DELIMITERS[kind], kind != ".gct", "dataset.expression"
    n_stated, n_skip = None, 1
    with _open_bytes(path) as f:
        first = f.readline().decode("utf-8-sig")
        if kind == ".gct":
            dimensions = f.readline().decode().split()
            if first.strip() != "#1.2" or len(dimensions) < 2 or not all(d.isdigit() for d in dimensions[:2]):
                raise DataError(
                    f"{key}: '{path}' begins {first[:40]!r}, {' '.join(dimensions)[:40]!r}; a GCT 1.2 file begins with "
                    "'#1.2' and a line of two numbers. Convert the file to GCT 1.2 or .csv"
                )
            n_stated, n_skip = (int(dimensions[0]), int(dimensions[1])), 3
            first = f.readline().decode()
        header = _cells(first, sep, quoted)
        ids, cells, row_bytes = list[str](), list[str](), 0
        for line in f:
            if line in (b"\n", b"\r\n"):  # Arrow skips these too
                continue
            if not ids:
                row_bytes = len(line)
                cells = _cells(line.decode(), sep, quoted)
            ids.append(_first_cell(line, sep.encode(), quoted).decode())
    if len(header) == 1 and len(cells) <= 1:
        raise one_column(path, key, sep, header[0])
    if not ids:
        raise DataError(f"{key}: '{path}' has a header of {len(header)} columns and no rows; copy or download it again")
    if len(cells) == len(header) + 1:  # R's write.table names no column of row names
        header = ["", *header]
    if len(cells) != len(header):
        raise DataError(
            f"{key}: '{path}': the first row has {len(cells)} cells and the header {len(header)}; they must be equal "
            "(the header may lack a name for the ids)"
        )
    if n_stated and n_stated != (len(ids), len(header) - 2):
        log.warning(
            "%s states %d genes × %d samples and holds %d × %d; the rows are trusted, not the statement",
            *(path.name, *n_stated, len(ids), len(header) - 2),
        )
    # a few hundred rows a block: Arrow pays for each column of each block
    block_bytes = int(np.clip(256 * row_bytes, _BLOCK_BYTES, 8 * _BLOCK_BYTES))
    blocks = functools.partial(_text_blocks, path, sep, quoted, n_skip, len(header), block_bytes)
    numeric = np.array([_is_number(c) for c in cells[1:]])
    return Table(path, np.array(ids, dtype=object), np.array(header[1:], dtype=object), numeric, blocks)


def _cells(line: str, sep: str, quoted: bool) -> list[str]:
    line = line.rstrip("\r\n")
    return next(csv.reader([line], delimiter=sep), [""]) if quoted else line.split(sep)


def _first_cell(line: bytes, sep: bytes, quoted: bool) -> bytes:
    if quoted and line[:1] == b'"':
        return line[1 : line.find(b'"', 1)]
    end = line.find(sep)
    return line[:end] if end >= 0 else line.rstrip(b"\r\n")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip() in MISSING
    return True


def _text_blocks(
    path: Path, sep: str, quoted: bool, n_skip: int, n_columns: int, block_bytes: int, wanted: np.ndarray
) -> Iterator[np.ndarray]:
    names = [str(j) for j in range(n_columns)]  # positions: the file's own names may occur twice
    chosen = [names[j + 1] for j in wanted]
    zipped = path.suffix.lower() == ".gz"
    try:
        with pa.input_stream(str(path), compression="gzip" if zipped else None) as stream:
            reader = pyarrow.csv.open_csv(
                stream,
                pyarrow.csv.ReadOptions(block_size=block_bytes, skip_rows=n_skip, column_names=names),
                pyarrow.csv.ParseOptions(delimiter=sep, quote_char='"' if quoted else False),
                pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(chosen, pa.float32()), include_columns=chosen, null_values=list(MISSING)
                ),
            )
            for batch in reader:
                yield _block(batch.columns)
    except pa.ArrowInvalid as e:
        raise _bad_cell(path, sep, quoted, n_skip, n_columns, wanted, str(e)) from e


def _block(columns: list[pa.Array]) -> np.ndarray:
    # filled column by column, as Arrow stores it, and seen from the other side
    block = np.empty((len(columns), len(columns[0])), np.float32)
    for j, column in enumerate(columns):
        block[j] = column.to_numpy(zero_copy_only=False)
    return block.T


def _bad_cell(
    path: Path, sep: str, quoted: bool, n_skip: int, n_columns: int, wanted: np.ndarray, why: str
) -> DataError:
    """Where it is that Arrow failed: Arrow names no row."""
    with _open_bytes(path) as f:
        for _ in range(n_skip - 1):
            f.readline()
        header = _cells(f.readline().decode("utf-8-sig"), sep, quoted)
        header = header if len(header) == n_columns else ["", *header]
        for line in f:
            cells = _cells(line.decode(), sep, quoted)
            if len(cells) != n_columns and line.strip():
                return DataError(
                    f"dataset.expression: '{path}', row '{cells[0]}': {len(cells)} cells, but the header has "
                    f"{n_columns} columns; repair the row or download the file again"
                )
            for j in wanted + 1 if line.strip() else ():
                if not _is_number(cells[j]):
                    return not_numeric(path, header[j], cells[j], cells[0])
    return DataError(f"dataset.expression: '{path}' cannot be parsed: {why}")


def not_numeric(path: Path, column: str, value: object, row: str) -> DataError:
    return DataError(
        f"dataset.expression: '{path}', column '{column}': '{value}' in row '{row}' is not a number. Expression "
        "columns hold numbers with a decimal point, or nothing where a value is missing; "
        "move labels to the metadata table"
    )


def _open_parquet(path: Path) -> Table:
    file = pa.parquet.ParquetFile(path)
    schema = file.schema_arrow
    index = [c for c in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(c, str)]
    at = schema.names.index(index[0]) if index and index[0] in schema.names else 0
    if len(schema) < 2 or not file.metadata.num_rows or pa.types.is_floating(schema.types[at]):
        raise DataError(
            f"dataset.expression: '{path}' has {file.metadata.num_rows} rows, {len(schema)} columns and no ids: the "
            f"ids must be the index or the first column, as text (the first is {', '.join(map(str, [*schema][:1]))})"
        )
    ids = file.read(columns=[schema.names[at]]).column(0).to_pandas().astype(str).to_numpy(dtype=object)
    others = np.array([j for j in range(len(schema)) if j != at])
    is_number = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    numeric = np.array([any(is_(t) for is_ in is_number) for t in schema.types])
    columns = np.array(schema.names, dtype=object)[others]
    return Table(path, ids, columns, numeric[others], functools.partial(_parquet_blocks, path, at, others, numeric))


def _parquet_blocks(
    path: Path, at: int, others: np.ndarray, numeric: np.ndarray, wanted: np.ndarray
) -> Iterator[np.ndarray]:
    file = pa.parquet.ParquetFile(path)
    for j in others[wanted][~numeric[others[wanted]]]:
        first = next(file.iter_batches(batch_size=1))
        raise not_numeric(
            path, file.schema_arrow.names[j], first.column(int(j))[0].as_py(), first.column(at)[0].as_py()
        )
    # Parquet pays more than text does for each column of each block
    rows = max(64, 8 * _BLOCK_BYTES // (4 * len(others)))
    for batch in file.iter_batches(batch_size=rows):
        yield _block([batch.column(int(j)).cast(pa.float32(), safe=False) for j in others[wanted]])


def _open_h5ad(path: Path, layer: str | None) -> Table:
    with h5py.File(path) as f:
        if "obs" not in f or "var" not in f:
            raise DataError(f"dataset.expression: '{path}' is HDF5 but no AnnData: it lacks obs or var")
        obs, var = read_elem(f["obs"]), read_elem(f["var"])
        layers = list(f.get("layers", {}))
        if layer is not None and layer not in layers:
            raise DataError(
                f"dataset.layer: '{layer}' is not a layer of {path}. {choices(layer, layers)}; null reads X"
            )
        name = "X" if layer is None else f"layers/{layer}"
        if name not in f or f[name].attrs.get("encoding-type") == "null":
            raise DataError(f"dataset.layer: '{path}' has no X; name a layer instead. {choices('X', layers)}")
        kind = (f[name] if isinstance(f[name], h5py.Dataset) else f[name]["data"]).dtype
        if kind.kind not in "fiub":
            raise DataError(f"dataset.layer: {name} of '{path}' holds {kind}, not numbers; name another layer")
    return Table(
        path,
        obs.index.astype(str).to_numpy(dtype=object),
        var.index.astype(str).to_numpy(dtype=object),
        np.ones(len(var), dtype=bool),
        functools.partial(_h5ad_blocks, path, name),
        plain(obs),
    )


def _h5ad_blocks(path: Path, name: str, wanted: np.ndarray) -> Iterator[np.ndarray]:
    with h5py.File(path) as f:
        stored = f[name]
        if isinstance(stored, h5py.Dataset):
            matrix = stored.astype(np.float32)
            n_rows, n_columns = stored.shape
            chunk = stored.chunks[0] if stored.chunks else 1
        else:
            matrix, chunk = read_elem(stored).tocsr(), 1
            matrix.data = matrix.data.astype(np.float32)
            n_rows, n_columns = matrix.shape
        all_columns = len(wanted) == n_columns
        # whole chunks, so that none is decompressed twice
        rows = chunk * max(1, _BLOCK_BYTES // (4 * n_columns * chunk))
        for start in range(0, n_rows, rows):
            block = matrix[start : start + rows]
            block = block if isinstance(block, np.ndarray) else block.toarray()
            yield block if all_columns else block[:, wanted]

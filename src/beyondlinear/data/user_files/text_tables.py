"""Expression tables as text: .csv, .tsv, .txt and .gct, plain or gzipped.

The ids are read line by line; the values are parsed by Arrow, a block of rows at a time.
"""

import csv
import functools
import gzip
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from beyondlinear.data.metadata import DELIMITERS, MISSING, one_column
from beyondlinear.data.user_files.table import BLOCK_BYTES, Table, float32_block, not_numeric
from beyondlinear.runtime.errors import DataError

log = logging.getLogger(__name__)

_KEY = "dataset.expression"
_GCT = ".gct"


@dataclass(frozen=True)
class TextLayout:
    """How a text table is written.

    quoted: whether cells may stand in double quotes (not in GCT); n_skip: lines up to the end of
    the header; n_columns: of the table, that of the row ids included.
    """

    path: Path
    sep: str
    quoted: bool
    n_skip: int
    n_columns: int


def open_text(path: Path, kind: str) -> Table:
    """Read the ids of a text table.

    :param kind: extension without .gz, a key of DELIMITERS
    :raises DataError: another header than that of GCT 1.2, one column, no rows, or a first row that
        does not fit the header
    """
    sep = DELIMITERS[kind]
    quoted = kind != _GCT
    n_stated: tuple[int, int] | None = None
    n_skip = 1
    ids: list[str] = []
    first_cells: list[str] = []  # of the first row of values
    row_bytes = 0
    with _open_bytes(path) as file:
        first_line = file.readline().decode("utf-8-sig")
        if kind == _GCT:
            n_stated = _gct_dimensions(path, first_line, file.readline().decode())
            n_skip = 3
            first_line = file.readline().decode()
        header = _cells(first_line, sep, quoted)
        for line in file:
            if line in (b"\n", b"\r\n"):  # Arrow skips these too
                continue
            if not ids:
                row_bytes = len(line)
                first_cells = _cells(line.decode(), sep, quoted)
            ids.append(_first_cell(line, sep.encode(), quoted).decode())
    if len(header) == 1 and len(first_cells) <= 1:
        raise one_column(path, _KEY, sep, header[0])
    if not ids:
        raise DataError(
            f"{_KEY}: '{path}' has a header of {len(header)} columns and no rows;"
            " copy or download it again"
        )
    if len(first_cells) == len(header) + 1:  # R's write.table names no column of row names
        header = ["", *header]
    if len(first_cells) != len(header):
        raise DataError(
            f"{_KEY}: '{path}': the first row has {len(first_cells)} cells and the header"
            f" {len(header)}; they must be equal (the header may lack a name for the ids)"
        )
    n_genes, n_samples = len(ids), len(header) - 2  # of a GCT, whose second column is a description
    if n_stated and n_stated != (n_genes, n_samples):
        log.warning(
            "%s states %d genes × %d samples and holds %d × %d; the rows are trusted,"
            " not the statement",
            path.name,
            n_stated[0],
            n_stated[1],
            n_genes,
            n_samples,
        )
    # a few hundred rows a block: Arrow pays for each column of each block
    block_bytes = int(np.clip(256 * row_bytes, BLOCK_BYTES, 8 * BLOCK_BYTES))
    layout = TextLayout(path, sep, quoted, n_skip, len(header))
    return Table(
        path,
        rows=np.array(ids, dtype=object),
        columns=np.array(header[1:], dtype=object),
        numeric=np.array([_is_number(cell) for cell in first_cells[1:]]),
        blocks=functools.partial(_text_blocks, layout, block_bytes),
    )


def _open_bytes(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _gct_dimensions(path: Path, first_line: str, second_line: str) -> tuple[int, int]:
    """Genes and samples that a GCT 1.2 file states in its second line."""
    dimensions = second_line.split()
    has_two_numbers = len(dimensions) >= 2 and all(d.isdigit() for d in dimensions[:2])
    if first_line.strip() != "#1.2" or not has_two_numbers:
        raise DataError(
            f"{_KEY}: '{path}' begins {first_line[:40]!r}, {' '.join(dimensions)[:40]!r};"
            " a GCT 1.2 file begins with '#1.2' and a line of two numbers."
            " Convert the file to GCT 1.2 or .csv"
        )
    return int(dimensions[0]), int(dimensions[1])


def _cells(line: str, sep: str, quoted: bool) -> list[str]:
    line = line.rstrip("\r\n")
    if not quoted:
        return line.split(sep)
    return next(csv.reader([line], delimiter=sep), [""])


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


def _text_blocks(layout: TextLayout, block_bytes: int, wanted: np.ndarray) -> Iterator[np.ndarray]:
    """`Table.blocks` of a text table."""
    # columns go by their positions: the file's own names may occur twice
    names = [str(j) for j in range(layout.n_columns)]
    chosen = [names[j + 1] for j in wanted]
    zipped = layout.path.suffix.lower() == ".gz"
    reading = pyarrow.csv.ReadOptions(
        block_size=block_bytes, skip_rows=layout.n_skip, column_names=names
    )
    parsing = pyarrow.csv.ParseOptions(
        delimiter=layout.sep, quote_char='"' if layout.quoted else False
    )
    converting = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(chosen, pa.float32()),
        include_columns=chosen,
        null_values=list(MISSING),
    )
    try:
        with pa.input_stream(str(layout.path), compression="gzip" if zipped else None) as stream:
            for batch in pyarrow.csv.open_csv(stream, reading, parsing, converting):
                yield float32_block(batch.columns)
    except pa.ArrowInvalid as e:
        raise _bad_cell(layout, wanted, str(e)) from e


def _bad_cell(layout: TextLayout, wanted: np.ndarray, why: str) -> DataError:
    """Where it is that Arrow failed: Arrow names no row."""
    path, sep, quoted = layout.path, layout.sep, layout.quoted
    with _open_bytes(path) as file:
        for _ in range(layout.n_skip - 1):
            file.readline()
        header = _cells(file.readline().decode("utf-8-sig"), sep, quoted)
        if len(header) != layout.n_columns:
            header = ["", *header]
        for line in file:
            if not line.strip():
                continue
            cells = _cells(line.decode(), sep, quoted)
            if len(cells) != layout.n_columns:
                return DataError(
                    f"{_KEY}: '{path}', row '{cells[0]}': {len(cells)} cells, but the header has"
                    f" {layout.n_columns} columns; repair the row or download the file again"
                )
            for j in wanted + 1:
                if not _is_number(cells[j]):
                    return not_numeric(path, header[j], cells[j], cells[0])
    return DataError(f"{_KEY}: '{path}' cannot be parsed: {why}")

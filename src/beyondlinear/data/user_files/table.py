"""What is known of an expression table on disk once its ids are read, and how its values follow."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from beyondlinear.runtime.errors import DataError

BLOCK_BYTES = 1 << 24  # of values that are parsed at a time, about

# float32 blocks (some rows, wanted columns), in the order of the file, for the column positions
# given
Blocks = Callable[[np.ndarray], Iterator[np.ndarray]]


@dataclass(frozen=True)
class Table:
    """A table of numbers on disk; its ids are read, its values are not.

    rows: (n_rows,) str; columns: (n_columns,) str, without the column of row ids; numeric:
    (n_columns,) bool, whether the column can hold numbers (the schema says so, or its first cell);
    obs: the samples' columns, of an AnnData only.
    """

    path: Path
    rows: np.ndarray
    columns: np.ndarray
    numeric: np.ndarray
    blocks: Blocks
    obs: pd.DataFrame | None = None


def float32_block(columns: list[pa.Array]) -> np.ndarray:
    """(n_rows, n_columns) float32 of columns as Arrow holds them."""
    # filled column by column, as Arrow stores it, and seen from the other side
    block = np.empty((len(columns), len(columns[0])), np.float32)
    for j, column in enumerate(columns):
        block[j] = column.to_numpy(zero_copy_only=False)
    return block.T


def not_numeric(path: Path, column: str, value: object, row: str) -> DataError:
    """The error for a cell that holds something else than a number."""
    return DataError(
        f"dataset.expression: '{path}', column '{column}': '{value}' in row '{row}' is not a"
        " number. Expression columns hold numbers with a decimal point, or nothing where a value"
        " is missing; move labels to the metadata table"
    )

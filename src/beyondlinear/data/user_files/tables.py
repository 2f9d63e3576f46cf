"""Expression tables on disk: ids first, values later, so that orientation is settled before a value
is parsed."""

from pathlib import Path

from beyondlinear.data.metadata import DELIMITERS, find, readable
from beyondlinear.data.user_files.binary_tables import open_h5ad, open_parquet
from beyondlinear.data.user_files.table import Table
from beyondlinear.data.user_files.text_tables import open_text
from beyondlinear.runtime.errors import DataError


def open_table(path: str | Path, key: str, layer: str | None = None) -> Table:
    """Read the ids of an expression table.

    :param key: the config key that named the file, for errors
    :param layer: of an .h5ad: the layer to read in place of X
    :raises DataError: no such file, unknown extension, unreadable content, or a table without ids
    """
    path, kind = find(path, key, (".h5ad", ".parquet", *DELIMITERS))
    if layer is not None and kind != ".h5ad":
        raise DataError(
            f"dataset.layer: '{layer}' is given, but {path} has no layers; only .h5ad has."
            " Leave it null"
        )
    with readable(path, key):
        if kind == ".h5ad":
            return open_h5ad(path, layer)
        if kind == ".parquet":
            return open_parquet(path)
        return open_text(path, kind)

"""Parquet and .h5ad tables: ids, which columns hold numbers, and blocks of values."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from beyondlinear.data.user_files.binary_tables import open_h5ad, open_parquet
from beyondlinear.runtime.errors import DataError

X = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32)


def values(table, *wanted: int) -> list[list[float]]:
    return np.concatenate(list(table.blocks(np.array(wanted)))).tolist()


@pytest.mark.parametrize("ids_are", ["index", "first column"])
def test_parquet(tmp_path: Path, ids_are: str):
    frame = pd.DataFrame(
        {"A": [1, 4], "B": [2.5, 5], "stage": ["I", "II"]}, index=pd.Index(["s1", "s2"], name="id")
    )
    if ids_are == "first column":
        frame = frame.reset_index()
    frame.to_parquet(tmp_path / "e.parquet")
    table = open_parquet(tmp_path / "e.parquet")
    assert table.rows.tolist() == ["s1", "s2"]
    assert table.columns.tolist() == ["A", "B", "stage"]
    assert table.numeric.tolist() == [True, True, False]
    assert values(table, 1, 0) == [[2.5, 1], [5, 4]]
    with pytest.raises(DataError, match="column 'stage': 'I' in row 's1' is not a number"):
        values(table, 0, 2)


def test_parquet_without_ids(tmp_path: Path):
    pd.DataFrame({"A": [1.5], "B": [2.5]}).to_parquet(tmp_path / "e.parquet")
    with pytest.raises(DataError, match="has 1 rows, 2 columns and no ids"):
        open_parquet(tmp_path / "e.parquet")


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_h5ad(tmp_path: Path, kind):
    obs = pd.DataFrame({"tissue": pd.Categorical(["skin", "lung"])}, index=["s1", "s2"])
    adata = ad.AnnData(kind(X), obs=obs, var=pd.DataFrame(index=["A", "B", "C"]))
    adata.layers["twice"] = kind(2 * X)
    adata.write_h5ad(tmp_path / "e.h5ad")
    table = open_h5ad(tmp_path / "e.h5ad", None)
    assert table.rows.tolist() == ["s1", "s2"]
    assert table.columns.tolist() == ["A", "B", "C"]
    assert table.obs["tissue"].tolist() == ["skin", "lung"]
    assert values(table, 2, 0) == [[3, 1], [6, 4]]
    assert values(open_h5ad(tmp_path / "e.h5ad", "twice"), 0, 1, 2) == (2 * X).tolist()


def test_h5ad_without_the_layer(tmp_path: Path):
    adata = ad.AnnData(X, layers={"counts": X})
    adata.write_h5ad(tmp_path / "e.h5ad")
    with pytest.raises(DataError, match="'count' is not a layer of .* did you mean 'counts'"):
        open_h5ad(tmp_path / "e.h5ad", "count")

import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from beyondlinear.data import checks
from beyondlinear.data.checks import check_finite, check_unique, subset
from beyondlinear.runtime.errors import DataError


def data(values: list[list[float]]) -> AnnData:
    x = np.array(values, dtype=np.float32)
    samples = pd.DataFrame(
        {"tissue": list("abcdef"[: len(x)])}, index=[f"s{i}" for i in range(len(x))]
    )
    return AnnData(X=x, obs=samples, var=pd.DataFrame(index=[f"g{j}" for j in range(x.shape[1])]))


HOLES = [[1, np.nan, 3, 4], [5, 6, 7, 8], [9, np.inf, 11, np.nan]]


def test_finite_data_is_passed_on_without_a_copy():
    adata = data([[1, 2], [3, 4]])
    assert check_finite(adata, "error") is adata


def test_nan_is_an_error_that_counts_and_says_what_each_remedy_leaves():
    with pytest.raises(DataError) as e:
        check_finite(data(HOLES), "error")
    assert (
        "3 values are NaN or infinite, in 2 genes ('g1', 'g3') and 2 samples ('s0', 's2')"
        in str(e.value)
    )
    assert "dataset.on_nan=drop_genes leaves 2 of 4 genes" in str(e.value)
    assert "dataset.on_nan=drop_samples leaves 1 of 3 samples" in str(e.value)


def test_drop_genes(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        left = check_finite(data(HOLES), "drop_genes")
    np.testing.assert_array_equal(left.X, [[1, 3], [5, 7], [9, 11]])
    assert left.X.flags.c_contiguous
    assert list(left.var_names) == ["g0", "g2"]
    assert list(left.obs["tissue"]) == ["a", "b", "c"]
    assert "2 genes ('g1', 'g3')" in caplog.text


def test_drop_samples():
    left = check_finite(data(HOLES), "drop_samples")
    np.testing.assert_array_equal(left.X, [[5, 6, 7, 8]])
    assert list(left.obs["tissue"]) == ["b"]


def test_dropping_everything_is_an_error():
    with pytest.raises(
        DataError, match=r"drop_genes leaves nothing: 2 values .* leaves 0 of 2 genes"
    ):
        check_finite(data([[np.nan, 1], [2, -np.inf]]), "drop_genes")


def test_every_row_block_is_looked_at(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "_BLOCK_BYTES", 32)  # two rows of four float32
    values = np.ones((5, 4)).tolist()
    values[4][3] = np.nan
    assert list(check_finite(data(values), "drop_samples").obs_names) == ["s0", "s1", "s2", "s3"]


def twice() -> AnnData:
    adata = data([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    adata.obs_names, adata.var_names = ["s0", "s1", "s0"], ["g0", "g1", "g0"]
    return adata


def test_duplicates_are_an_error_or_the_first_is_kept():
    with pytest.raises(DataError, match=r"1 sample id \('s0'\) occur more than once"):
        check_unique(twice(), "error")
    left = check_unique(twice(), "first")
    np.testing.assert_array_equal(left.X, [[1, 2], [4, 5]])
    assert list(left.obs_names) == ["s0", "s1"]
    assert list(left.var_names) == ["g0", "g1"]
    assert check_unique(left, "error") is left


def test_subset_keeps_what_describes_the_data():
    adata = data([[1, 2], [3, 4]])
    adata.uns["units"] = "tpm"
    left = subset(adata, samples=np.array([1]), genes=np.array([0]))
    assert left.X.tolist() == [[3]]
    assert left.uns["units"] == "tpm"

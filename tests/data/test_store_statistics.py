"""Scaling and ranking over a whole store: from its statistics, on the scale that a run sees."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from beyondlinear.data.store_statistics import WholeStore, over_whole_store


def from_a_store() -> AnnData:
    """Two samples of three genes; the last gene does not vary over the store."""
    var = pd.DataFrame(
        {
            "min": [0.0, 1.0, 3.0],
            "max": [4.0, 3.0, 3.0],
            "variance": [2.0, 1.0, 0.0],
            "variance_log2p1": [0.5, 0.25, 0.0],
        },
        index=["g1", "g2", "g3"],
    )
    return AnnData(np.zeros((2, 3), np.float32), var=var)


def test_as_it_is_in_the_store():
    whole = over_whole_store(from_a_store(), "none", scaled=False)
    assert whole.smallest.tolist() == [0, 1, 3]
    assert whole.largest.tolist() == [4, 3, 3]
    assert whole.spread.tolist() == [2, 1, 0]
    assert (whole.smallest.dtype, whole.spread.dtype) == (np.float32, np.float64)


@pytest.mark.parametrize("names", ["log2p1", ["log2p1"], ["none", "log2p1"]])
def test_a_log_moves_the_ends_and_ranks_by_the_variance_of_logs(names):
    whole = over_whole_store(from_a_store(), names, scaled=False)
    np.testing.assert_allclose(whole.smallest, [0, 1, 2], rtol=1e-6)  # log2(0 + 1), log2(1 + 1) …
    np.testing.assert_allclose(whole.largest, [np.log2(5), 2, 2], rtol=1e-6)
    assert whole.spread.tolist() == [0.5, 0.25, 0]


def test_both_logs_rank_genes_alike():
    whole = over_whole_store(from_a_store(), "log1p", scaled=False)
    np.testing.assert_allclose(whole.largest, np.log([5, 4, 4]), rtol=1e-6)
    assert whole.spread.tolist() == [0.5, 0.25, 0]


def test_scaled_is_the_variance_over_the_squared_width():
    whole = over_whole_store(from_a_store(), "none", scaled=True)
    assert whole.spread.tolist() == [2 / 4**2, 1 / 2**2, 0]


@pytest.mark.parametrize("names", ["cpm", "tpm", ["cpm", "log2p1"]])
def test_what_looks_at_whole_samples_has_none(names):
    assert over_whole_store(from_a_store(), names, scaled=False) is None


def test_bytes_tell_contents_apart():
    ones, twos = np.ones(2, np.float32), np.full(2, 2, np.float32)
    one = WholeStore(ones, twos, np.array([1.0, 2.0]))
    same = WholeStore(ones.copy(), twos.copy(), np.array([1.0, 2.0]))
    assert one.bytes() == same.bytes()
    assert one.bytes() != WholeStore(ones, twos, np.array([1.0, 3.0])).bytes()
    assert len(one.bytes()) == 2 * 4 + 2 * 4 + 2 * 8

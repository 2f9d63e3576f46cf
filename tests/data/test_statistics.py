"""Statistics of genes in one pass: those of the whole."""

import numpy as np
import pandas as pd

from beyondlinear.data.statistics import RunningStatistics, most_variable


def tpm(n: int, p: int) -> np.ndarray:
    """(n, p) float32, skewed and with zeros."""
    random = np.random.default_rng(0)
    return (random.gamma(0.5, 3, (n, p)) * (random.random((n, p)) > 0.4)).astype(np.float32)


def test_equal_those_of_the_whole_in_float64():
    x = tpm(400, 50)
    running = RunningStatistics(50)
    for start in range(0, 400, 33):
        running.update(x[start : start + 33])
    table, whole = running.table(), x.astype(np.float64)
    np.testing.assert_allclose(table["mean"], whole.mean(0), rtol=1e-12)
    np.testing.assert_allclose(table["variance"], whole.var(0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(
        table["variance_log2p1"], np.log2(whole + 1).var(0, ddof=1), rtol=1e-5
    )
    np.testing.assert_array_equal(table["min"], x.min(0))
    np.testing.assert_array_equal(table["max"], x.max(0))
    np.testing.assert_allclose(table["zero_share"], (x == 0).mean(0))


def test_hold_where_squares_would_cancel():
    x = (1e6 + np.array([[-1.0], [0.0], [1.0]])).astype(np.float32)
    running = RunningStatistics(1)
    running.update(x)
    assert running.table()["variance"][0] == 1.0


def test_merged_are_those_of_one_pass():
    x = tpm(300, 20)
    whole, first, second = RunningStatistics(20), RunningStatistics(20), RunningStatistics(20)
    whole.update(x)
    first.update(x[:70])
    second.update(x[70:])
    first.merge(second)
    pd.testing.assert_frame_equal(first.table(), whole.table(), rtol=1e-12)


def test_most_variable_genes_on_either_scale():
    table = pd.DataFrame({"variance": [9.0, 1, 5, 2], "variance_log2p1": [0.1, 3, 0.2, 2]})
    assert most_variable(table, 1).tolist() == [0, 1]
    assert most_variable(table, 2).tolist() == [0, 1, 2, 3]
    assert most_variable(table, None).tolist() == [0, 1, 2, 3]

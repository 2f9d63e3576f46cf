import numpy as np
import pytest
from anndata import AnnData

from beyondlinear.data.scaling import fit_preparation
from beyondlinear.data.store_statistics import over_whole_store


def matrix(n: int = 700, p: int = 6) -> np.ndarray:
    """More rows than two blocks; genes differ in mean and spread, gene 4 is constant."""
    rng = np.random.default_rng(0)
    x = rng.normal(rng.normal(0, 50, p), [1, 2, 3, 4, 0, 6][:p], (n, p)).astype(np.float32)
    x[:, 4] = 7.25
    return x


def test_standardise_gives_mean_0_and_sd_1_on_the_rows_it_was_fitted_on():
    x, rows = matrix(), np.arange(0, 700, 2)
    ready = fit_preparation(x, rows, top_variance=None, scale="standardise")
    scaled = ready.apply(x, rows)
    assert np.allclose(scaled.mean(0), 0, atol=1e-5)
    assert np.allclose(scaled.std(0), [1, 1, 1, 1, 0, 1], atol=1e-5)
    assert (scaled[:, 4] == 0).all()


def test_minmax_gives_0_to_1_and_does_not_clip_other_rows():
    x = matrix()
    x[1, 0] = 1e4
    rows = np.arange(0, 700, 2)
    ready = fit_preparation(x, rows, top_variance=None, scale="minmax")
    scaled = ready.apply(x, rows)
    assert scaled.min(0) == pytest.approx([0, 0, 0, 0, 0, 0], abs=1e-5)
    assert scaled.max(0) == pytest.approx([1, 1, 1, 1, 0, 1], abs=1e-5)
    assert ready.apply(x, np.array([1]))[0, 0] > 100


def test_nothing_is_learnt_from_other_rows():
    x, rows = matrix(), np.arange(350)
    before = fit_preparation(x, rows, top_variance=3, scale="standardise")
    x[350:] = 1e6
    after = fit_preparation(x, rows, top_variance=3, scale="standardise")
    assert all(
        np.array_equal(getattr(before, k), getattr(after, k)) for k in ("genes", "shift", "factor")
    )


def test_top_variance_keeps_the_most_variable_genes_in_their_order():
    x, rows = matrix(), np.arange(700)
    assert fit_preparation(x, rows, top_variance=3, scale="none").genes.tolist() == [2, 3, 5]
    assert fit_preparation(x, rows, top_variance=6, scale="none").genes is None
    picked = fit_preparation(x, rows, top_variance=3, scale="none").apply(x, np.array([9, 4]))
    assert np.array_equal(picked, x[[9, 4]][:, [2, 3, 5]])


def test_agrees_with_numpy_in_float64_despite_a_large_offset():
    x = (np.random.default_rng(1).normal(0, 1, (3000, 4)) + 1e4).astype(np.float32)
    ready = fit_preparation(x, np.arange(3000), top_variance=None, scale="standardise")
    reference = x.astype(np.float64)
    assert np.allclose(1 / ready.factor, reference.std(0), rtol=1e-6)
    assert np.allclose(ready.shift, reference.mean(0), rtol=1e-7)


def test_the_matrix_is_left_as_it_was():
    x = matrix()
    before = x.copy()
    out = fit_preparation(x, np.arange(9), top_variance=None, scale="none").apply(x, np.arange(9))
    out += 1
    assert np.array_equal(x, before)


def store_of_four_samples() -> AnnData:
    """The task has the first two of four samples: gene a is 0 2 | 8 10, b 1 3 | 1 3, c 4 4 | 4
    0."""
    adata = AnnData(np.array([[0, 1, 4], [2, 3, 4]], np.float32))
    adata.var["min"], adata.var["max"] = [0.0, 1.0, 0.0], [10.0, 3.0, 4.0]
    adata.var["variance"] = [68 / 3, 4 / 3, 4.0]
    adata.var["variance_log2p1"] = [
        np.var(np.log2([1, 3, 9, 11]), ddof=1),
        1 / 3,
        np.log2(5) ** 2 / 4,
    ]
    return adata


def test_over_the_whole_store_the_task_s_samples_are_scaled_by_all_samples():
    adata = store_of_four_samples()
    whole = over_whole_store(adata, "none", scaled=False)
    x, rows = adata.X, np.arange(2)
    ready = fit_preparation(x, rows, top_variance=2, scale="minmax", whole_store=whole)
    assert ready.genes.tolist() == [0, 2]  # of the task's two samples c is constant
    np.testing.assert_allclose(ready.apply(x, rows), [[0, 1], [0.2, 1]], rtol=1e-6)
    # GTEx ranks after 0-1 scaling: 68/300, 1/3, 1/4
    scaled = over_whole_store(adata, "none", scaled=True)
    np.testing.assert_allclose(scaled.spread, [68 / 300, 1 / 3, 1 / 4])
    assert fit_preparation(
        x, rows, top_variance=2, scale="none", whole_store=scaled
    ).genes.tolist() == [1, 2]
    # without it, the samples of the task: b is 0 and 1, c constant
    np.testing.assert_allclose(
        fit_preparation(x, rows, top_variance=None, scale="minmax").apply(x, rows),
        [[0, 0, 0], [1, 1, 0]],
    )


def test_over_the_whole_store_on_a_log_scale():
    adata = store_of_four_samples()
    whole = over_whole_store(adata, "log2p1", scaled=False)
    np.testing.assert_allclose(whole.largest, np.log2([11, 4, 5]), rtol=1e-6)
    np.testing.assert_allclose(whole.smallest, [0, 1, 0], atol=1e-6)
    assert whole.spread[1] == 1 / 3
    assert over_whole_store(adata, ["cpm", "log2p1"], scaled=False) is None
    assert adata.X[1, 0] == 2

"""Erasers leave the classes equal means on the rows they were fitted on, and are one map for every
other row."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from beyondlinear.removal import covariance as module
from beyondlinear.removal.erasers import Eraser, fit_leace, fit_projection
from beyondlinear.runtime.errors import RemovalError

Labelled = tuple[np.ndarray, np.ndarray, int]  # x, codes, n_classes
TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}
FITS = pytest.mark.parametrize("fit", [fit_leace, fit_projection])


@st.composite
def labelled(draw: st.DrawFn) -> Labelled:
    """Two or more samples of two or more classes; few values, so that genes are often constant,
    equal or collinear."""
    n_classes = draw(st.integers(2, 5))
    codes = [
        0,
        0,
        1,
        1,
        *(c for c in draw(st.lists(st.integers(0, n_classes - 1), max_size=10)) for _ in range(2)),
    ]
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    shape = (len(codes), draw(st.integers(1, 8)))
    x = draw(hnp.arrays(dtype, shape, elements=st.integers(-8, 8).map(float)))
    return x, np.array(draw(st.permutations(codes))), n_classes


def made(n: int, p: int, k: int, seed: int = 0) -> Labelled:
    """Correlated genes whose means differ between classes."""
    random = np.random.default_rng(seed)
    codes = np.arange(n) % k
    x = (
        random.normal(size=(n, p))
        + random.normal(size=(k, p))[codes]
        + random.normal(size=(n, 1))
        + 3
    )
    return x, codes, k


def spread(x: np.ndarray, codes: np.ndarray) -> float:
    means = np.array([x[codes == c].mean(axis=0, dtype=np.float64) for c in np.unique(codes)])
    return float(np.ptp(means, axis=0).max())


def tolerance(x: np.ndarray) -> float:
    return TOLERANCE[x.dtype] * max(1.0, float(np.abs(x).max()))


def test_two_genes_by_hand() -> None:
    # The classes differ in gene 1 alone, by 2; Σx₀² = 4, Σx₀x₁ = 4, Σx₁² = 8, so that Σ⁻¹Σ_xz is
    # along (-1, 1).
    x, codes = np.array([[-1.0, -2.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 2.0]]), np.array([0, 0, 1, 1])
    new = np.array([[3.0, 10.0]])
    np.testing.assert_allclose(
        fit_leace(x, codes, 2).apply(new), [[3, 3]], atol=1e-14
    )  # x₁' = x₀, what x₀ says of x₁
    np.testing.assert_allclose(
        fit_projection(x, codes, 2).apply(new), [[3, 0]], atol=1e-14
    )  # x₁' = its mean


def test_the_grand_mean_of_the_rows_is_the_fixed_point() -> None:
    x, codes = np.array([[0.0], [0.0], [0.0], [0.0], [3.0], [9.0]]), np.array([0, 0, 0, 0, 1, 1])
    for fit in (
        fit_leace,
        fit_projection,
    ):  # (0 + 0 + 0 + 0 + 3 + 9) / 6, not the mean 3 of the class means 0 and 6
        np.testing.assert_allclose(
            fit(x, codes, 2).apply(np.array([[5.0], [-1.0]])), [[2], [2]], atol=1e-14
        )


@FITS
@given(data=labelled())
@settings(deadline=None, max_examples=60)
def test_class_means_become_equal_and_a_second_time_changes_nothing(fit, data: Labelled) -> None:
    x, codes, n_classes = data
    before = x.copy()
    eraser = fit(x, codes, n_classes)
    out = eraser.apply(x)
    assert out.dtype == x.dtype
    np.testing.assert_array_equal(x, before)
    assert spread(out, codes) <= tolerance(x)
    np.testing.assert_allclose(out.mean(axis=0), x.mean(axis=0), rtol=0, atol=tolerance(x))
    np.testing.assert_allclose(eraser.apply(out), out, rtol=0, atol=tolerance(x))


@FITS
@given(data=labelled(), random=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_order_of_rows_and_genes_and_names_of_classes_do_not_matter(
    fit, data: Labelled, random: Random
) -> None:
    x, codes, n_classes = data[0].astype(np.float64), *data[1:]
    rows, genes, renamed = (np.array(random.sample(range(k), k)) for k in (*x.shape, n_classes))
    new = np.vstack([x, 10 * np.eye(x.shape[1])])  # rows of the fit and rows outside their span
    expected = fit(x, codes, n_classes).apply(new)[:, genes]
    out = fit(x[rows][:, genes], renamed[codes[rows]], n_classes).apply(new[:, genes])
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-9 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("shrinkage", [False, True])
@pytest.mark.parametrize(
    "kind",
    ["more rows", "more genes", "collinear genes", "constant gene", "equal rows", "rare class"],
)
def test_equals_concept_erasure(kind: str, shrinkage: bool) -> None:
    package = pytest.importorskip("concept_erasure")
    n, p = {"more genes": (30, 80), "equal rows": (30, 80), "rare class": (1000, 10)}.get(
        kind, (200, 20)
    )
    x, codes, k = made(n, p, 4)
    if kind == "collinear genes":
        x[:, 3] = x[:, 4] + 2 * x[:, 5]
    elif kind == "constant gene":
        x[:, 7] = 3.3
    elif kind == "equal rows":
        x[4], x[5] = x[0], x[0]  # of the same class, and of another
    elif kind == "rare class":
        codes = np.where(np.arange(n) < 3, 3, codes % 3)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(codes), k)
    fitter = package.LeaceFitter(p, k, dtype=torch.float64, svd_tol=1e-9, shrinkage=shrinkage)
    theirs = fitter.update(torch.from_numpy(x), one_hot).eraser
    ours = fit_leace(x, codes, k, shrinkage=shrinkage)
    assert spread(ours.apply(x), codes) <= tolerance(x) < 1e-3 < spread(x, codes)
    for rows in (x, 3 * np.random.default_rng(1).normal(size=(50, p))):
        np.testing.assert_allclose(
            ours.apply(rows), theirs(torch.from_numpy(rows)).numpy(), rtol=0, atol=1e-8
        )


@pytest.mark.parametrize(("n", "p"), [(200, 20), (30, 80)])
def test_factor_and_eigenvalues_give_one_map(
    n: int, p: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, codes, k = made(n, p, 4)
    new = np.random.default_rng(1).normal(size=(10, p))
    factored = fit_leace(x, codes, k).apply(new)
    monkeypatch.setattr(module, "_SAFE", np.inf)
    np.testing.assert_allclose(fit_leace(x, codes, k).apply(new), factored, rtol=0, atol=1e-10)


def test_with_no_more_rows_than_genes_each_row_loses_its_class_mean() -> None:
    x, codes, k = made(20, 50, 3)
    expected = x - np.array([x[codes == c].mean(axis=0) for c in range(3)])[codes] + x.mean(axis=0)
    np.testing.assert_allclose(fit_leace(x, codes, k).apply(x), expected, rtol=0, atol=1e-12)


@FITS
def test_genes_of_very_different_units(fit) -> None:
    x, codes, k = made(300, 6, 3)
    x *= 10.0 ** np.array([-6, -3, 0, 3, 4, 6])
    out = fit(x, codes, k).apply(x)
    for gene in (
        range(6) if fit is fit_leace else [5]
    ):  # a projection mixes genes, so that the largest sets the scale
        assert spread(out[:, [gene]], codes) <= 1e-11 * np.abs(x[:, gene]).max()


def test_leace_changes_less_than_the_projection() -> None:
    x, codes, k = made(300, 20, 4)
    changes = [
        np.square(fit(x, codes, k).apply(x) - x).sum() for fit in (fit_leace, fit_projection)
    ]
    assert changes[0] < 0.9 * changes[1]


@FITS
def test_other_rows_lose_the_difference_without_their_labels(fit) -> None:
    x, codes, k = made(4000, 5, 2)
    out = fit(x[:2000], codes[:2000], k).apply(x[2000:])
    assert spread(x[2000:], codes[2000:]) > 0.9
    assert (
        spread(out, codes[2000:]) < 0.27
    )  # 3 sd of the noise of two differences, 1,000 rows of variance 2 in each mean


@FITS
def test_equal_class_means_leave_nothing_to_erase(fit) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3)) + 1e3
    eraser = fit(np.vstack([x, x]), np.repeat([0, 1], 40), 2)
    assert eraser.right.shape == (3, 0)
    np.testing.assert_array_equal(eraser.apply(x), x)


@FITS
def test_a_class_may_be_absent(fit) -> None:
    x, codes, _ = made(60, 5, 3)
    np.testing.assert_allclose(
        fit(x, 2 * codes, 6).apply(x), fit(x, codes, 3).apply(x), rtol=0, atol=1e-13
    )


@FITS
@pytest.mark.parametrize("shape", [(60, 5), (10, 40)])
def test_blocks_types_layouts_and_places(
    fit, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, codes, k = made(*shape, 3)
    eraser = fit(x, codes, k)
    whole = eraser.apply(x)
    monkeypatch.setattr(module, "_BLOCK_VALUES", 3 * max(shape))  # three rows a block
    np.testing.assert_allclose(fit(x, codes, k).apply(x), whole, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        fit(np.asfortranarray(x), codes, k).apply(x), whole, rtol=0, atol=1e-12
    )
    single = x.astype(np.float32)
    out = fit(single, codes, k).apply(single)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, whole, rtol=0, atol=1e-5 * np.abs(x).max())
    other = np.empty_like(x)
    assert eraser.apply(x, out=other) is other
    assert eraser.apply(x, out=x) is x
    np.testing.assert_array_equal(other, x)
    np.testing.assert_allclose(x, whole, rtol=0, atol=1e-12)


def test_arrays_go_through_a_file(tmp_path: Path) -> None:
    x, codes, k = made(60, 5, 3)
    for eraser in (
        fit_leace(x, codes, k),
        Eraser(x.mean(axis=0), np.eye(5)[:, :1], np.eye(5)[:1], subtracts=False),
    ):
        np.savez(tmp_path / "fit.npz", predictions=codes, **eraser.arrays())
        with np.load(tmp_path / "fit.npz", allow_pickle=False) as arrays:
            read = Eraser.from_arrays(arrays)
        assert read is not None
        assert read.subtracts == eraser.subtracts
        np.testing.assert_array_equal(read.apply(x), eraser.apply(x))
    assert Eraser.from_arrays({"predictions": codes}) is None


def test_a_map_that_does_not_subtract_keeps_what_it_names() -> None:
    eraser = Eraser(
        np.array([1.0, 2.0]), np.array([[1.0], [0.0]]), np.array([[1.0, 0.0]]), subtracts=False
    )
    np.testing.assert_array_equal(eraser.apply(np.array([[5.0, 9.0]])), [[5, 2]])


@FITS
@pytest.mark.parametrize(
    ("x", "codes", "message"),
    [
        (
            np.zeros((3, 1)),
            np.array([1, 1, 1]),
            "codes: 1 class in 3 samples; an eraser needs samples of two",
        ),
        (np.zeros((3, 1)), np.array([0, 0, 1]), "codes: class 1 has 1 sample.*at least 2"),
        (
            np.array([[0, 0], [0, np.nan], [1, 1], [1, 1]]),
            np.array([0, 0, 1, 1]),
            r"not finite .*first: column 1\)",
        ),
        (
            np.array([[0, 0], [np.inf, 0], [1, 1], [1, 1]]),
            np.array([0, 0, 1, 1]),
            r"not finite .*first: column 0\)",
        ),
        (np.zeros((4, 1), int), np.array([0, 0, 1, 1]), "x: shape .* type int64"),
        (np.zeros((4, 1)), np.array([0, 0, 2, 2]), "codes: 0 … 2; expected 0 … 1"),
        (np.zeros((4, 1)), np.array([0, 1]), r"codes: shape \(2,\)"),
    ],
)
def test_errors_of_a_fit(fit, x: np.ndarray, codes: np.ndarray, message: str) -> None:
    with pytest.raises(RemovalError, match=message):
        fit(x, codes, 2)


def test_errors_of_applying() -> None:
    x, codes, k = made(60, 5, 3)
    eraser = fit_leace(x, codes, k)
    with pytest.raises(
        RemovalError, match=r"x: shape \(60, 4\), type float64; the eraser was fitted on 5 genes"
    ):
        eraser.apply(x[:, :4])
    with pytest.raises(RemovalError, match=r"type int64"):
        eraser.apply(np.zeros((2, 5), int))
    with pytest.raises(
        RemovalError, match=r"out: shape \(60, 5\), type float32; expected those of x"
    ):
        eraser.apply(x, out=np.empty((60, 5), np.float32))
    x[50, 3] = np.nan
    before = x.copy()
    with pytest.raises(RemovalError, match=r"not finite in 1 genes or more \(first: column 3\)"):
        eraser.apply(x, out=x)
    np.testing.assert_array_equal(x, before)

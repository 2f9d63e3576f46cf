"""Class means are removed exactly as limma removes them, and what that guarantees for linear models
holds."""

import tracemalloc
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from beyondlinear.removal import class_means as module
from beyondlinear.removal.class_means import class_means, remove_class_means, subtract_offsets
from beyondlinear.removal.limma import remove_batch_effect
from beyondlinear.runtime.errors import RemovalError

Labelled = tuple[np.ndarray, np.ndarray, int]  # x, codes, n_classes
TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}


@st.composite
def labelled(draw: st.DrawFn) -> Labelled:
    """Two or more classes with samples, some possibly without."""
    n_classes = draw(st.integers(2, 6))
    codes = [0, 1, *draw(st.lists(st.integers(0, n_classes - 1), max_size=38))]
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    elements = st.floats(-1000, 1000, width=32)  # float32 values are float64 values too
    x = draw(hnp.arrays(dtype, (len(codes), draw(st.integers(1, 6))), elements=elements))
    return x, np.array(draw(st.permutations(codes))), n_classes


def tolerance(x: np.ndarray) -> float:
    return TOLERANCE[x.dtype] * max(1.0, float(np.abs(x).max()))


def test_three_samples_by_hand() -> None:
    x = np.array([[1.0, 2.0], [3.0, 4.0], [10.0, 0.0]])
    fitted = class_means(x, np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(fitted.counts, [2, 0, 1])
    np.testing.assert_array_equal(fitted.means, [[2, 3], [np.nan, np.nan], [10, 0]])
    np.testing.assert_array_equal(
        fitted.offsets(), [[-4, 1.5], [0, 0], [4, -1.5]]
    )  # from the mean of means (6, 1.5)
    np.testing.assert_array_equal(
        remove_class_means(x, np.array([0, 0, 2]), 3), [[5, 0.5], [7, 2.5], [6, 1.5]]
    )


@given(labelled())
@settings(deadline=None)
def test_equals_limma_and_leaves_the_input_alone(data: Labelled) -> None:
    x, codes, n_classes = data
    before = x.copy()
    out = remove_class_means(x, codes, n_classes)
    assert out.dtype == x.dtype
    np.testing.assert_allclose(out, remove_batch_effect(x, codes), rtol=0, atol=tolerance(x))
    np.testing.assert_array_equal(x, before)


@given(labelled())
@settings(deadline=None)
def test_class_means_become_equal_and_a_second_removal_changes_nothing(
    data: Labelled,
) -> None:
    x, codes, n_classes = data
    out = remove_class_means(x, codes, n_classes)
    means = np.array([out[codes == c].mean(axis=0, dtype=np.float64) for c in np.unique(codes)])
    assert np.ptp(means, axis=0).max() <= tolerance(x)
    np.testing.assert_allclose(
        remove_class_means(out, codes, n_classes), out, rtol=0, atol=tolerance(x)
    )


@given(labelled(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_of_rows_and_names_of_classes_do_not_matter(data: Labelled, random: Random) -> None:
    x, codes, n_classes = data
    rows = np.array(random.sample(range(len(x)), len(x)))
    renamed = np.array(random.sample(range(n_classes), n_classes))
    out = remove_class_means(x, codes, n_classes)
    np.testing.assert_allclose(
        remove_class_means(x[rows], renamed[codes[rows]], n_classes),
        out[rows],
        rtol=0,
        atol=tolerance(x),
    )


@pytest.mark.parametrize(
    "layout", ["columns first", "view of more genes", "every second row", "reversed"]
)
def test_strided_input(layout: str) -> None:
    wide = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    x = {
        "columns first": np.asfortranarray(wide),
        "view of more genes": wide[:, 1:6],
        "every second row": wide[::2],
        "reversed": wide[::-1, ::-1],
    }[layout]
    codes = np.arange(len(x)) % 3
    expected = remove_class_means(np.ascontiguousarray(x), codes, 3)
    np.testing.assert_array_equal(remove_class_means(x, codes, 3), expected)
    np.testing.assert_array_equal(remove_class_means(x, codes, 3, out=x), expected)
    np.testing.assert_array_equal(x, expected)


def test_rows_of_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(50, 4))
    codes = np.arange(50) % 3
    whole = remove_class_means(x, codes, 3)
    monkeypatch.setattr(module, "_BLOCK_VALUES", 12)  # three rows a block
    np.testing.assert_allclose(remove_class_means(x, codes, 3), whole, rtol=0, atol=1e-15)


def test_offsets_fitted_on_some_rows_apply_to_others() -> None:
    fitted = class_means(np.array([[0.0], [4.0]]), np.array([0, 1]), 2)
    np.testing.assert_array_equal(
        subtract_offsets(np.array([[7.0], [7.0]]), np.array([1, 0]), fitted.offsets()), [[5], [9]]
    )


def test_in_place_removal_needs_no_second_matrix() -> None:
    x = (
        np.random.default_rng(0).normal(size=(20_000, 200)).astype(np.float32)
    )  # 16 MB, blocks of 2 MB
    codes = np.arange(len(x)) % 21
    tracemalloc.start()
    try:
        remove_class_means(x, codes, 21, out=x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8e6


# What equal class means guarantee (Belrose et al. 2023): no linear predictor beats the best
# constant one. The loss is the class-weighted multinomial logistic loss of scores x·W + b, W:
# (n_genes, n_classes), per sample.


def logistic_data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, codes, class weights): 60 samples, 12 genes, classes of 30, 20 and 10 that differ in
    mean."""
    random = np.random.default_rng(0)
    codes = np.repeat([0, 1, 2], [30, 20, 10])
    x = random.normal(size=(60, 12)) + random.normal(size=(3, 12))[codes]
    return x, codes, np.array([1.0, 0.5, 4.0])


def loss_and_gradient(
    parameters: np.ndarray,
    x: np.ndarray,
    codes: np.ndarray,
    class_weights: np.ndarray,
    ridge: float,
) -> tuple[float, np.ndarray]:
    sample_weights = class_weights[codes] / class_weights[codes].sum()
    slopes, intercepts = np.split(parameters.reshape(-1, len(class_weights)), [x.shape[1]])
    scores = x @ slopes + intercepts
    loss = -(sample_weights * log_softmax(scores, axis=1)[np.arange(len(x)), codes]).sum()
    error = sample_weights[:, None] * (softmax(scores, axis=1) - np.eye(len(class_weights))[codes])
    gradient = np.vstack([x.T @ error + ridge * slopes, error.sum(axis=0)])
    return loss + ridge / 2 * (slopes**2).sum(), gradient.ravel()


def best_constant(x: np.ndarray, codes: np.ndarray, class_weights: np.ndarray) -> np.ndarray:
    """Zero slopes, and the intercepts that are optimal with them: the logarithms of the weighted
    class shares."""
    shares = np.bincount(codes) * class_weights
    return np.vstack([np.zeros((x.shape[1], len(shares))), np.log(shares / shares.sum())]).ravel()


def test_the_gradient_vanishes_at_the_best_constant_predictor() -> None:
    x, codes, class_weights = logistic_data()
    constant = best_constant(x, codes, class_weights)
    removed = remove_class_means(x, codes, 3)
    assert np.abs(loss_and_gradient(constant, x, codes, class_weights, 0)[1]).max() > 0.1
    assert np.abs(loss_and_gradient(constant, removed, codes, class_weights, 0)[1]).max() < 1e-10


def test_a_converged_logistic_regression_does_not_beat_the_best_constant_predictor() -> None:
    x, codes, class_weights = logistic_data()
    constant = best_constant(x, codes, class_weights)
    start = constant + np.random.default_rng(1).normal(
        size=constant.size
    )  # the constant one would be stationary

    def converged(features: np.ndarray) -> float:
        arguments = (
            features,
            codes,
            class_weights,
            1e-6,
        )  # without a ridge, rounding itself is separable at p > n
        options = {"gtol": 1e-12, "ftol": 0.0, "maxiter": 20_000, "maxfun": 40_000}
        return minimize(
            loss_and_gradient, start, arguments, "L-BFGS-B", jac=True, options=options
        ).fun

    loss_of_constant = loss_and_gradient(constant, x, codes, class_weights, 0)[0]
    assert converged(x) < 0.01 < loss_of_constant
    assert converged(remove_class_means(x, codes, 3)) == pytest.approx(
        loss_of_constant, rel=0, abs=1e-10
    )


@pytest.mark.parametrize(
    ("x", "codes", "n_classes", "message"),
    [
        (
            np.zeros((2, 1), int),
            np.array([0, 1]),
            2,
            r"x: shape \(2, 1\), type int64; expected .* float32 or float64",
        ),
        (np.zeros(2), np.array([0, 1]), 2, r"x: shape \(2,\)"),
        (
            np.zeros((2, 1)),
            np.array([0]),
            2,
            r"codes: shape \(1,\), type int64; expected \(2,\) integers",
        ),
        (np.zeros((2, 1)), np.array([0.0, 1.0]), 2, r"codes: shape \(2,\), type float64"),
        (np.zeros((2, 1)), np.array([0, 2]), 2, "codes: 0 … 2; expected 0 … 1 for 2 classes"),
        (np.zeros((2, 1)), np.array([-1, 1]), 2, "codes: -1 … 1; expected 0 … 1 for 2 classes"),
        (np.zeros((2, 1)), np.array([1, 1]), 2, "codes: 1 class in 2 samples"),
        (np.zeros((0, 1)), np.array([], int), 2, "x: no samples"),
        (
            np.array([[0, np.nan], [1, 1]]),
            np.array([0, 1]),
            2,
            r"in 1 of 2 genes \(first: column 1\).*remove_batch_ef",
        ),
        (
            np.array([[np.inf, 0], [1, 1]]),
            np.array([0, 1]),
            2,
            r"in 1 of 2 genes \(first: column 0\)",
        ),
    ],
)
def test_errors_name_the_value_and_the_rule(
    x: np.ndarray, codes: np.ndarray, n_classes: int, message: str
) -> None:
    with pytest.raises(RemovalError, match=message):
        remove_class_means(x, codes, n_classes)


def test_shapes_that_do_not_fit_are_refused() -> None:
    x, codes = np.zeros((2, 3)), np.array([0, 1])
    with pytest.raises(RemovalError, match=r"offsets: shape \(2, 4\); x has 3 genes"):
        subtract_offsets(x, codes, np.zeros((2, 4)))
    with pytest.raises(
        RemovalError, match=r"out: shape \(2, 3\), type float32; expected those of x"
    ):
        subtract_offsets(x, codes, np.zeros((2, 3)), out=np.empty((2, 3), np.float32))

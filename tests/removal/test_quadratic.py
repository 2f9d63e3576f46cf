"""Class-dependent variances and covariances are gone from held-out rows after the quadratic
eraser."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from beyondlinear.removal.quadratic import fit_quadratic
from beyondlinear.runtime.errors import RemovalError

N_FIT = 1000
P = 21


def made(kind: str, n: int = 2 * N_FIT, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes of unit-variance noise genes, with what the kind names."""
    random = np.random.default_rng(seed)
    codes = np.arange(n) % 2
    x = random.normal(size=(n, P))
    if kind == "variance":  # equal means and no covariance: no linear model sees it
        x[:, 0] *= np.where(codes == 1, np.sqrt(37), 1)
    elif kind == "correlation":  # .8 against -.8 between two genes, equal variances
        x[:, 1] = np.where(codes == 1, 0.8, -0.8) * x[:, 0] + 0.6 * x[:, 1]
    elif kind == "means":
        x += 2 * random.normal(size=(2, P))[codes]
    return x, codes


def forest_auc(x: np.ndarray, codes: np.ndarray) -> float:
    forest = RandomForestClassifier(50, min_samples_leaf=5, random_state=0).fit(
        x[:N_FIT], codes[:N_FIT]
    )
    return float(roc_auc_score(codes[N_FIT:], forest.predict_proba(x[N_FIT:])[:, 1]))


def largest_auc_of_squares(x: np.ndarray, codes: np.ndarray) -> float:
    """Over genes, on held-out rows, in either direction."""
    aucs = [roc_auc_score(codes[N_FIT:], np.square(gene)) for gene in x[N_FIT:].T]
    return max(max(auc, 1 - auc) for auc in aucs)


@pytest.mark.parametrize(
    ("kind", "forest_before"), [("variance", 0.8), ("correlation", 0.65), ("means", 0.95)]
)
def test_what_the_second_moment_tells_is_gone_on_held_out_rows(
    kind: str, forest_before: float
) -> None:
    x, codes = made(kind)
    out = fit_quadratic(x[:N_FIT], codes[:N_FIT], 2, P, seed=0).apply(x)
    assert forest_auc(x, codes) > forest_before
    assert forest_auc(out, codes) <= 0.6
    assert largest_auc_of_squares(out, codes) <= 0.6


def test_a_variance_of_37_against_1_is_seen_before() -> None:
    # |x₀| of N(0, 37) exceeds that of N(0, 1) with probability 2·atan(√37)/π = .896
    x, codes = made("variance")
    assert largest_auc_of_squares(x, codes) == pytest.approx(0.896, abs=0.02)


def test_the_planted_direction_and_no_other_is_dropped() -> None:
    x, codes = made("variance")
    eraser = fit_quadratic(x[:N_FIT], codes[:N_FIT], 2, P, seed=0)
    assert eraser.right.shape == (P, P - 2)  # one for the class means, one for the variance
    share = eraser.apply(x).var(axis=0) / x.var(axis=0)
    assert share[0] < 0.05
    assert np.median(share[1:]) > 0.9
    assert not eraser.subtracts


def test_without_signal_little_but_the_class_means_is_dropped() -> None:
    dropped = []
    for seed in range(20):
        x, codes = made("none", n=200, seed=seed)
        dropped.append(P - 1 - fit_quadratic(x, codes, 2, P, seed).right.shape[1])
    assert sum(dropped) <= 4  # 1 of 21 is expected by chance: P(5 or more of 20) = .002


def test_class_means_of_the_fit_rows_are_equal_and_a_second_time_changes_nothing() -> None:
    x, codes = made("means", n=300)
    codes = np.where(np.arange(300) < 3, 2, codes)  # a rare class
    before = x.copy()
    eraser = fit_quadratic(x, codes, 4, 15, seed=0)
    out = eraser.apply(x)
    np.testing.assert_array_equal(x, before)
    means = np.array([out[codes == c].mean(axis=0) for c in range(3)])
    assert np.ptp(means, axis=0).max() <= 1e-12
    np.testing.assert_allclose(eraser.apply(out), out, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [300, 15])
def test_equal_arguments_give_an_equal_map_in_any_order_of_genes(n: int) -> None:
    x, codes = made("variance", n)
    eraser, again = (fit_quadratic(x, codes, 2, 10, seed=3) for _ in range(2))
    for name, array in eraser.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
    genes = np.random.default_rng(1).permutation(P)
    turned = fit_quadratic(x[:, genes], codes, 2, 10, seed=3)
    np.testing.assert_allclose(
        turned.apply(x[:, genes]), eraser.apply(x)[:, genes], rtol=0, atol=1e-9
    )
    swapped = fit_quadratic(x, 1 - codes, 2, 10, seed=3)
    np.testing.assert_allclose(swapped.apply(x), eraser.apply(x), rtol=0, atol=1e-9)


def test_float32_gives_the_map_of_float64() -> None:
    x, codes = made("variance", 300)
    single = x.astype(np.float32)
    out = fit_quadratic(single, codes, 2, 10, seed=0).apply(single)
    assert out.dtype == np.float32
    np.testing.assert_allclose(
        out, fit_quadratic(x, codes, 2, 10, seed=0).apply(x), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("n", [100, 12])
def test_what_lies_outside_the_components_is_dropped(n: int) -> None:
    x, codes = made("none", n)
    x[:, :5] *= 10
    eraser = fit_quadratic(x, codes, 2, 5, seed=0)
    assert (
        np.linalg.matrix_rank(eraser.apply(x) - x.mean(axis=0), tol=1e-8)
        == eraser.right.shape[1]
        == 4
    )


def test_more_components_than_the_rank_count_as_the_rank() -> None:
    x, codes = made("none", 100)
    x[:, 1] = x[:, 0]
    x[:, 2] = 7.0
    assert fit_quadratic(x, codes, 2, 1000, seed=0).right.shape == (
        P,
        P - 3,
    )  # a copy, a constant, the class means
    few, labels = made("none", 12)
    assert fit_quadratic(few, labels, 2, 12, seed=0).right.shape == (
        P,
        10,
    )  # 12 - 1 for the mean - 1 for the classes


@pytest.mark.parametrize(
    ("x", "codes", "n_components", "message"),
    [
        (np.eye(4), np.array([0, 0, 1, 1]), 0, "n_components: 0; expected at least 1"),
        (
            np.array([[0.0], [1], [2], [3]]),
            np.array([0, 0, 1, 1]),
            1,
            "every direction of 1 principal components",
        ),
        (np.ones((4, 2)), np.array([0, 0, 1, 1]), 1, "every direction of 0 principal components"),
        (np.full((4, 2), np.nan), np.array([0, 0, 1, 1]), 1, "not finite"),
        (np.eye(4), np.array([0, 0, 0, 1]), 2, "class 1 has 1 sample"),
        (np.eye(4), np.array([0, 0, 0, 0]), 2, "codes: 1 class in 4 samples"),
    ],
)
def test_errors(x: np.ndarray, codes: np.ndarray, n_components: int, message: str) -> None:
    with pytest.raises(RemovalError, match=message):
        fit_quadratic(x, codes, 2, n_components, seed=0)

"""Each number by hand, then by simulation: false positives and coverage."""

import numpy as np
import pytest
from scipy.stats import t

from beyondlinear.report.statistics import bootstrap, calibration, compare, holm


def test_corrected_t_test_by_hand():
    # mean 0.02, sd 0.01, J = 4, test/train = 1/4: scale = √(1/4 + 1/4) · 0.0115470 = 0.0081650, t =
    # 2.449490, 3 df
    found = compare([0.01, 0.03, 0.01, 0.03], n_train=80, n_test=20)
    assert found.mean == pytest.approx(0.02)
    assert found.sd == pytest.approx(0.011547, abs=1e-6)
    assert found.p_value == pytest.approx(0.0917211, abs=1e-6)  # 1 − (2/π)(arctan √2 + √2/3)
    # half width 3.182446 · 0.0081650 = 0.025985
    assert (found.low, found.high) == pytest.approx((-0.005985, 0.045985), abs=1e-6)
    # posterior: P(t₃ > (0.01 − 0.02)/0.0081650) = P(t₃ < 1.224745), the rest likewise
    assert found.above == pytest.approx(t.cdf(1.2247449, 3), abs=1e-7)
    assert found.above + found.rope + found.below == pytest.approx(1)


def test_posterior_is_the_one_of_benavoli_and_corani():
    """Their Matlab and Python code: rho = 1/folds, scale² = (1/n + rho/(1 − rho)) · var; ten folds
    of equal size."""
    d = np.array([0.03, -0.01, 0.02, 0.04, 0.0, 0.01, 0.05, -0.02, 0.03, 0.02])
    rho = 1 / 10
    scale = np.sqrt(d.var(ddof=1) * (1 / 10 + rho / (1 - rho)))
    found = compare(d, n_train=90, n_test=10)
    assert found.below == pytest.approx(t.cdf(-0.01, 9, d.mean(), scale))
    assert found.above == pytest.approx(1 - t.cdf(0.01, 9, d.mean(), scale))


def test_one_fold_has_a_mean_and_no_interval():
    found = compare([0.1], 80, 20)
    assert found.mean == pytest.approx(0.1)
    assert np.isnan([found.low, found.p_value, found.above]).all()


def test_folds_that_all_agree():
    assert compare([0.0, 0.0, 0.0], 80, 20).p_value == 1.0
    assert compare([0.0, 0.0, 0.0], 80, 20).rope == 1.0


def test_holm_by_hand():
    # sorted .005 ·4, .01 ·3, .03 ·2, .04 ·1 → .02, .03, .06, .06 (never below the one before)
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert np.isnan(holm([np.nan, 0.03])[0])
    assert holm([np.nan, 0.03])[1] == pytest.approx(0.03)


def test_calibration_by_hand():
    # confidence .9 (twice, one right) and .6 (twice, both right): ½·|.5 − .9| + ½·|1 − .6| = .4
    p = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]])
    found = calibration(p, np.array([0, 0, 0, 1]))
    assert found.ece == pytest.approx(0.4)
    assert found.n.tolist() == [2, 2]
    assert found.accuracy == pytest.approx([1.0, 0.5])


def test_bootstrap_value_is_balanced_accuracy_and_keeps_groups_whole():
    codes = np.array([0, 0, 0, 1] * 10)
    right = np.array([1, 1, 0, 1] * 10)  # recall 2/3 and 1
    alone = bootstrap(right, codes, np.arange(40), 2)
    assert alone.value == pytest.approx(5 / 6)
    together = bootstrap(
        right, codes, np.repeat(np.arange(10), 4), 2
    )  # every group is alike: nothing varies
    assert together.high - together.low == pytest.approx(0, abs=1e-9)
    assert np.isnan(bootstrap(right, codes, np.repeat(np.arange(2), 20), 2).low)


def test_false_positives_of_repeated_cross_validation():
    """Ten repeats of five folds, no difference: the plain t-test rejects at .05 far too often, the
    corrected one does not."""
    rng = np.random.default_rng(0)
    plain, corrected, runs = 0, 0, 200
    for _ in range(runs):
        state = rng.integers(1 << 31)
        # the same samples in every repeat, other folds: what seeds are
        d = np.concatenate([_repeat(state, repeat) for repeat in range(10)])
        corrected += compare(d, 80, 20).p_value < 0.05
        plain += 2 * t.sf(abs(d.mean()) / (d.std(ddof=1) / np.sqrt(len(d))), len(d) - 1) < 0.05
    assert corrected / runs < 0.09
    assert plain / runs > 0.3


def _repeat(state: int, repeat: int) -> np.ndarray:
    rng, shuffle = np.random.default_rng(state), np.random.default_rng((state, repeat))
    n, p = 100, 5
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 2 * p)) + 0.5 * (y[:, None] - 0.5)
    found = []
    for part in np.array_split(shuffle.permutation(n), 5):
        fit = np.setdiff1d(np.arange(n), part)
        right = []
        for genes in (slice(0, p), slice(p, 2 * p)):
            a, b = (x[fit][y[fit] == c][:, genes].mean(0) for c in (0, 1))
            right.append((((x[part][:, genes] - (a + b) / 2) @ (b - a) > 0) == y[part]).mean())
        found.append(right[0] - right[1])
    return np.array(found)


@pytest.mark.parametrize(("n_groups", "at_least"), [(10, 0.88), (40, 0.91)])
def test_coverage_of_the_cluster_bootstrap(n_groups, at_least):
    """Groups of 8 samples whose accuracy varies from group to group (beta, mean 0.8): the interval
    holds 0.8."""
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(300):
        groups = np.repeat(np.arange(n_groups), 8)
        codes = np.tile([0, 1], 4 * n_groups)
        right = rng.random(len(groups)) < rng.beta(8, 2, n_groups)[groups]
        found = bootstrap(right, codes, groups, 2, draws=400)
        inside += found.low <= 0.8 <= found.high
    assert inside / 300 >= at_least

import numpy as np
import pytest

from beyondlinear.evaluation.residual_test.test import (
    BootstrapNull,
    ResidualTest,
    strengthened,
)
from beyondlinear.models.linear.null_model import fit_null_model
from beyondlinear.runtime.errors import SignalTestError

FAST = ResidualTest(statistics=("pairs", "components"), draws=19)


def data(strength: float = 0.0, n: int = 300, p: int = 12, k: int = 2, seed: int = 0):
    random = np.random.default_rng(seed)
    x = random.standard_normal((n, p)).astype(np.float32)
    x = (x - x.mean(0)) / x.std(0)
    logit = 1.5 * x[:, 0] + strength * x[:, 1] * x[:, 2]
    codes = (random.random(n) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    if k == 3:
        codes = np.where(x[:, 3] > 1, 2, codes)
    return x, codes, np.arange(n) % 5, np.arange(n)


def test_a_planted_product_is_found_and_linear_labels_are_not():
    x, codes, folds, units = data(strength=2.0)
    found = FAST.run(x, codes, 2, folds, units, seed=0)
    assert found.verdict == "signal beyond linear"
    assert found.p_value == 0.05  # the smallest of 19 draws
    x, codes, folds, units = data()
    nothing = FAST.run(x, codes, 2, folds, units, seed=0)
    assert nothing.verdict == "none found"
    assert nothing.p_value > 0.05


def test_three_classes():
    x, codes, folds, units = data(strength=2.5, n=500, k=3)
    assert FAST.run(x, codes, 3, folds, units, seed=0).verdict == "signal beyond linear"


def test_redundant_where_the_linear_model_is_perfect():
    x, codes, folds, units = data()
    x[:, 0] += np.where(codes, 8, -8)
    verdict = FAST.run(x, codes, 2, folds, units, seed=0)
    assert verdict.verdict == "redundant"
    assert verdict.p_value is None
    assert verdict.linear_log_loss < 0.02 * verdict.constant_log_loss


def test_the_same_seed_gives_the_same_verdict():
    x, codes, folds, units = data(n=150)
    first, second = (FAST.run(x, codes, 2, folds, units, seed=3) for _ in range(2))
    assert first.statistics == second.statistics
    assert first.statistics != FAST.run(x, codes, 2, folds, units, seed=4).statistics


def test_draws_are_constant_within_units_and_refitted():
    x, codes, _, _ = data(n=200)
    units, folds = np.arange(200) // 2, (np.arange(200) // 2) % 5
    null = BootstrapNull(FAST, x, 2, folds, units)
    null_model = fit_null_model(null.rows, codes[units * 2], 2)
    drawn, look = null.draw(null_model, seed=1)
    np.testing.assert_array_equal(drawn[::2], drawn[1::2])
    assert set(look.statistics) == {"pairs", "components"}


def test_the_law_drawn_from_has_the_spread_of_the_truth():
    """As many genes as estimation can hardly bear: the estimated law is narrower than the true one,
    of logit sd 2, and what its own refits lose gives that back."""
    spreads, restored = [], []
    for seed in range(4):
        random = np.random.default_rng(seed)
        x = random.standard_normal((400, 60)).astype(np.float32)
        codes = (random.random(400) < 1 / (1 + np.exp(-2 * x[:, :20].sum(1) / np.sqrt(20)))).astype(
            np.int64
        )
        null = BootstrapNull(FAST, x, 2, np.arange(400) % 5, np.arange(400))
        null_model = fit_null_model(null.rows, codes, 2)
        spreads.append((null_model.logits[:, 1] - null_model.logits[:, 0]).std())
        stronger = strengthened(null_model, null.restore(null_model, seed))
        restored.append((stronger.logits[:, 1] - stronger.logits[:, 0]).std())
    assert np.mean(spreads) < 1.8
    assert abs(np.mean(restored) - 2) < abs(np.mean(spreads) - 2)


def test_bad_input():
    with pytest.raises(
        SignalTestError, match="test.statistics: 'pair' is none. did you mean 'pairs'"
    ):
        ResidualTest(statistics=("pair",))
    x, codes, folds, units = data(n=60)
    with pytest.raises(
        SignalTestError,
        match="needs a certified linear model. class 1 does not occur outside fold 0",
    ):
        FAST.run(x, (folds == 0).astype(int), 2, folds, units, seed=0)
    with pytest.raises(SignalTestError, match="needs a certified linear model. no gene varies"):
        FAST.run(np.zeros_like(x), codes, 2, folds, units, seed=0)
    rare = np.zeros(60, dtype=int)
    rare[[0, 1]] = 1  # in two folds of five: few draws keep both outside every pair of folds
    with pytest.raises(
        SignalTestError, match="too rare to test: with 2 of 60 samples in class 1 .* at least 10"
    ):
        FAST.run(x, rare, 2, folds, units, seed=0)
    two_folds = np.isin(folds, [0, 1]).astype(int)  # where both are left out, a class is gone
    with pytest.raises(
        SignalTestError, match=r"does not occur outside fold 0 and 1.* Leave rare classes out"
    ):
        ResidualTest(statistics=("forest",), draws=19).run(x, two_folds, 2, folds, units, seed=0)

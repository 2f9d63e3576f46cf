import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from beyondlinear.models.linear.null_model import (
    FoldedRows,
    balanced_bayes,
    calibrate,
    fit_null_model,
    log_loss,
    with_frequencies,
)
from beyondlinear.models.probabilities import softmax
from beyondlinear.runtime.errors import OptimumError


def linear_data(n: int, p: int, k: int = 2, strength: float = 2.0, seed: int = 0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, p)).astype(np.float32)
    logits = strength * x @ random.normal(size=(p, k)) / np.sqrt(p)
    codes = (random.random(n)[:, None] > softmax(logits).cumsum(1)[:, :-1]).sum(1)
    return x, codes, logits, np.arange(n) % 5


@pytest.mark.parametrize(("n", "p"), [(400, 10), (60, 90)])
def test_out_of_fold_logits_are_those_of_models_fitted_without_the_fold(n, p):
    """At one given penalty λ they are scikit-learn's, with C = 1/(λ·n), up to one slope and one
    intercept."""
    x, codes, _, folds = linear_data(n, p)
    law = fit_null_model(FoldedRows(x, folds), codes, 2, grid=np.array([0.1]))
    by_hand, wide = np.empty(n), x.astype(np.float64)
    for f in range(5):
        fit = folds != f
        spread = ((x[fit] - x[fit].mean(0)) ** 2).sum(1).mean()
        model = LogisticRegression(
            C=1 / (0.1 * spread * fit.sum()), solver="newton-cholesky", tol=1e-10
        ).fit(wide[fit], codes[fit])
        by_hand[~fit] = model.decision_function(wide[~fit])
    ours = law.out_of_fold[:, 1] - law.out_of_fold[:, 0]
    slope, intercept = np.polyfit(by_hand, ours, 1)
    np.testing.assert_allclose(ours, slope * by_hand + intercept, atol=1e-4)
    assert slope == pytest.approx(law.slope, rel=1e-3)
    assert law.relative_gradient <= 1e-6


def test_the_law_is_linear_and_as_spread_as_its_out_of_fold_logits():
    x, codes, _, folds = linear_data(500, 20, k=3)
    law = fit_null_model(FoldedRows(x, folds), codes, 3)
    design = np.c_[x, np.ones(len(x))]
    fitted = design @ np.linalg.lstsq(design, law.logits, rcond=None)[0]
    np.testing.assert_allclose(fitted, law.logits, atol=1e-6)
    about = [z - z.mean(0) for z in (law.logits, law.out_of_fold)]
    assert np.sqrt((about[0] ** 2).mean()) == pytest.approx(
        np.sqrt((about[1] ** 2).mean()), rel=1e-6
    )
    np.testing.assert_allclose(law.probabilities.mean(0), np.bincount(codes) / 500, atol=1e-6)


def test_the_slope_makes_an_overfitted_direction_honest():
    """With as many genes as samples the fitted model is sure of its own rows; the law is not: it
    expects what it scores."""
    x, codes, _, folds = linear_data(300, 300)
    law = fit_null_model(FoldedRows(x, folds), codes, 2)
    held_out = (law.out_of_fold.argmax(1) == codes).mean()
    assert law.bayes_balanced_accuracy() == pytest.approx(held_out, abs=0.06)


def test_pure_noise_gives_a_law_without_strength():
    random = np.random.default_rng(1)
    x, codes = random.normal(size=(300, 40)), np.arange(300) % 2
    law = fit_null_model(FoldedRows(x, random.integers(0, 5, 300)), codes, 2)
    assert law.bayes_balanced_accuracy() < 0.58


def test_coefficients_for_new_rows_are_the_calibrated_model():
    x, codes, _, folds = linear_data(400, 15, k=3)
    law = fit_null_model(FoldedRows(x, folds), codes, 3, for_new_rows=True)
    new = x @ law.coefficients + law.intercepts
    assert log_loss(new, codes) < log_loss(law.out_of_fold, codes)  # its own rows
    assert np.corrcoef(new[:, 0], law.out_of_fold[:, 0])[0, 1] > 0.98
    two = fit_null_model(FoldedRows(x, folds), (codes == 1).astype(int), 2, for_new_rows=True)
    assert two.coefficients.shape == (15, 2)
    np.testing.assert_allclose(two.coefficients.sum(1), 0, atol=1e-12)


def test_rows_of_one_unit_share_logit_and_label():
    x, codes, _, folds = linear_data(200, 6)
    units = np.arange(200) // 2
    law = fit_null_model(FoldedRows(x, folds[units], units), codes[units * 2], 2)
    np.testing.assert_array_equal(law.logits[::2], law.logits[1::2])
    drawn = law.draw(np.random.default_rng(0), units)
    np.testing.assert_array_equal(drawn[::2], drawn[1::2])


def test_draws_follow_the_law():
    x, codes, _, folds = linear_data(500, 5, k=3)
    law = fit_null_model(FoldedRows(x, folds), codes, 3)
    random = np.random.default_rng(0)
    draws = np.stack([law.draw(random, np.arange(500)) for _ in range(400)])
    shares = np.stack([(draws == c).mean(0) for c in range(3)], axis=1)
    np.testing.assert_allclose(shares, law.probabilities, atol=5 * np.sqrt(0.25 / 400))


def test_calibrate_finds_slope_and_intercept():
    random = np.random.default_rng(2)
    logits = random.normal(size=(40_000, 2))
    truth = softmax(0.5 * logits + [0.0, 1.0])
    codes = (random.random(40_000) > truth[:, 0]).astype(int)
    slope, shifts = calibrate(logits, codes, 2)
    assert slope == pytest.approx(0.5, abs=0.04)
    assert shifts[1] - shifts[0] == pytest.approx(1.0, abs=0.05)


def test_calibrate_stays_finite_where_logits_separate_and_flat_where_they_mislead():
    logits = np.repeat([[-1.0, 1.0], [1.0, -1.0]], 20, axis=0)
    codes = np.repeat([1, 0], 20)
    slope, _ = calibrate(logits, codes, 2)
    assert 1 < slope < 10
    assert calibrate(logits, 1 - codes, 2)[0] == 0


def test_frequencies_and_balanced_bayes_by_hand():
    logits = with_frequencies(np.array([[0.0, 5.0], [0.0, -5.0], [0.0, 1.0]]), np.array([0.7, 0.3]))
    np.testing.assert_allclose(softmax(logits).mean(0), [0.7, 0.3], atol=1e-6)
    # classes of .75 and .25; the rule says 1 where p₁/.25 > p₀/.75: the last two rows
    p = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5], [0.5, 0.5]])
    assert balanced_bayes(p) == pytest.approx((2 / 3 + 1.0) / 2)


def test_no_gene_varies():
    with pytest.raises(OptimumError, match="no gene varies over the 10 samples"):
        FoldedRows(np.ones((10, 3)), np.arange(10) % 2)


def test_a_class_in_one_fold_only():
    x, _, _, folds = linear_data(50, 4)
    with pytest.raises(OptimumError, match="class 1 does not occur outside fold 2"):
        fit_null_model(FoldedRows(x, folds), (np.arange(50) == 2).astype(int), 2)

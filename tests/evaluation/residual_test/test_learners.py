import numpy as np
import pytest

from beyondlinear.evaluation.residual_test.learners import (
    LEARNERS,
    TrainingRows,
    best_scale,
    held_out,
)
from beyondlinear.models.linear.null_model import FoldedRows, fit_null_model, nested_offsets
from beyondlinear.models.probabilities import softmax


def worlds(n: int = 600, p: int = 10, strength: float = 2.0, seed: int = 0):
    """Linear labels, and labels that a product of two genes decides as well."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((n, p)).astype(np.float32)
    linear = 1.5 * x[:, 0]
    draw = random.random(n)
    return x, *(
        (draw < 1 / (1 + np.exp(-s))).astype(int)
        for s in (linear, linear + strength * x[:, 1] * x[:, 2])
    )


def judged(name: str, x: np.ndarray, codes: np.ndarray):
    folds = np.arange(len(codes)) % 5
    rows = FoldedRows(x, folds)
    null_model = fit_null_model(rows, codes, 2)
    return held_out(LEARNERS[name], x, nested_offsets(rows, codes, 2, null_model), codes, folds, 0)


@pytest.mark.parametrize("name", ["pairs", "forest", "net"])
def test_learners_find_a_product_and_nothing_where_there_is_nothing(name):
    x, plain, product = worlds()
    found, nothing = judged(name, x, product), judged(name, x, plain)
    assert found.score > 4
    assert found.gain > 0.01
    assert abs(nothing.score) < 4
    assert nothing.gain < 0.01


def test_the_second_linear_model_finds_nothing_that_the_first_has_used():
    x, plain, product = worlds()
    for codes in (plain, product):
        assert abs(judged("linear", x, codes).gain) < 0.01


def test_nested_offsets_keep_held_out_labels_from_the_residuals():
    """Residuals of plain out-of-fold logits turn a learner against the held-out labels; those of
    nested ones do not."""
    nested, plain = [], []
    for seed in range(8):
        random = np.random.default_rng(seed)
        x = random.standard_normal((200, 30)).astype(np.float32)
        codes = (random.random(200) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(int)
        folds = np.arange(200) % 5
        rows = FoldedRows(x, folds)
        null_model = fit_null_model(rows, codes, 2)
        offsets = nested_offsets(rows, codes, 2, null_model)
        for f in range(5):
            np.testing.assert_allclose(offsets[f][folds == f], null_model.out_of_fold[folds == f])
        nested.append(held_out(LEARNERS["forest"], x, offsets, codes, folds, 0).score)
        leaking = dict.fromkeys(range(5), null_model.out_of_fold)
        plain.append(held_out(LEARNERS["forest"], x, leaking, codes, folds, 0).score)
    assert abs(np.mean(nested)) < 2
    assert np.mean(plain) < np.mean(nested) - 1


def test_scale_is_that_of_least_log_loss_and_never_negative():
    random = np.random.default_rng(0)
    offset, f = np.zeros((5000, 2)), random.standard_normal((5000, 2))
    codes = (random.random(5000) > softmax(0.7 * f)[:, 0]).astype(int)
    assert best_scale(offset, f, codes) == pytest.approx(0.7, abs=0.08)
    assert best_scale(offset, -f, codes) == 0.0


@pytest.mark.parametrize("name", LEARNERS)
def test_the_same_seed_gives_the_same_bits(name):
    x, _, product = worlds(120, 6)
    data = TrainingRows(x, np.zeros((120, 2)), product, 7)
    np.testing.assert_array_equal(LEARNERS[name](data, x), LEARNERS[name](data, x))


@pytest.mark.parametrize("name", LEARNERS)
def test_three_classes(name):
    x, plain, product = worlds(150, 6)
    out = LEARNERS[name](TrainingRows(x, np.zeros((150, 3)), plain + product, 7), x[:9])
    assert out.shape == (9, 3)
    assert np.isfinite(out).all()

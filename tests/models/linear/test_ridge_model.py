"""The certified models as a run uses them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from beyondlinear.models.interface import FitData, FitSeeds, Gram, Part, TrainerConfig
from beyondlinear.models.linear.optimality_gap import optimum_of
from beyondlinear.models.linear.reduction import gram
from beyondlinear.models.linear.ridge_model import RidgeModel
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.models.networks import Linear
from beyondlinear.runtime.errors import ConfigError, OptimumError

TRAINING = TrainerConfig("cpu", 1, 64, 1.0, 30, 7, None, 5)


def fit_data(
    n_classes: int = 2, n: int = 120, p: int = 300, noise: float = 1.0, seed: int = 0
) -> FitData:
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.minimum(np.arange(2 * n) % (n_classes + 1), n_classes - 1))
    x = rng.normal(size=(2 * n, p))
    x[:, :n_classes] += np.eye(n_classes)[codes] * 2 / noise
    x = x.astype(np.float32)
    rows = np.arange(2 * n)
    train, validation, test = rows[:n], rows[n : n + n // 2], rows[n + n // 2 :]
    parts = [Part(x[r], codes[r], r) for r in (train, validation)]
    return FitData(*parts, x[test], n_classes, FitSeeds.drawn(0))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("p", [20, 300])
def test_a_given_penalty_is_scikit_learns(n_classes, p):
    data = fit_data(n_classes, p=p)
    out = RidgeModel("logistic", penalty=0.01, keep_coefficients=True).fit(data, TRAINING)
    assert out.hyperparameters["C"] == pytest.approx(1 / (0.01 * 120))
    theirs = LogisticRegression(
        C=1 / (0.01 * 120), tol=1e-9, max_iter=10_000, class_weight="balanced"
    )
    theirs.fit(data.train.x.astype(np.float64), data.train.codes)
    expected = theirs.coef_.T
    assert np.linalg.norm(out.arrays["coefficients"] - expected) <= 1e-4 * np.linalg.norm(expected)
    decision = theirs.decision_function(data.test_x.astype(np.float64))
    mine = (
        out.scores[:, 1] - out.scores[:, 0]
        if n_classes == 2
        else out.scores - out.scores.mean(1, keepdims=True)
    )
    expected = decision if n_classes == 2 else decision - decision.mean(1, keepdims=True)
    np.testing.assert_allclose(mine, expected, atol=1e-3)
    assert out.training["relative_gradient"] <= 1e-6
    assert out.training["certified_on"] == "genes"


def test_the_certificate_is_the_gradient_on_the_genes():
    """Computed here once more, from the definition in ridge.py."""
    data = fit_data()
    out = RidgeModel("logistic", penalty=0.05, keep_coefficients=True).fit(data, TRAINING)
    w, b = out.arrays["coefficients"][:, 0], out.arrays["intercepts"][0]
    x, y = data.train.x.astype(np.float64), data.train.codes
    omega = data.class_weights()[y]

    def gradient(w, b):
        pull = omega * (1 / (1 + np.exp(-(x @ w + b))) - y) / len(y)
        return np.r_[x.T @ pull + 0.05 * w, pull.sum()]

    centred = x - x.mean(0)
    at_zero = np.linalg.norm(
        centred.T @ (omega * (0.5 - y) / len(y))
    )  # balanced weights: the best intercept is 0
    # the gradient by the intercept is that of the centred problem
    g = gradient(w, b)
    g[:-1] -= x.mean(0) * g[-1]
    assert np.linalg.norm(g) / at_zero <= 1e-6
    assert out.training["relative_gradient"] == pytest.approx(
        np.linalg.norm(g) / at_zero, rel=0.5, abs=1e-9
    )


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_validation_part_chooses_the_penalty(loss, n_classes):
    data = fit_data(n_classes, noise=2)
    model = RidgeModel(loss, patience=None)
    out = model.fit(data, TRAINING)
    used = {step: len(rows) for step, rows in out.rows_used.items()}
    assert used == {"weights": 120, "class weights": 120, "penalty": 60}
    steps = out.training["path"]
    assert len(steps) == 25
    assert [s["relative_penalty"] for s in steps] == pytest.approx(np.geomspace(1, 1e-8, 25))
    best = min(steps, key=lambda s: s["loss"])
    assert out.hyperparameters["relative_penalty"] == pytest.approx(best["relative_penalty"])
    # an end of the path that had long been rising changes nothing
    short = RidgeModel(loss, patience=6).fit(data, TRAINING)
    assert len(short.training["path"]) < 25
    assert short.hyperparameters == out.hyperparameters
    np.testing.assert_allclose(short.scores, out.scores, rtol=1e-4, atol=1e-4)


def test_inner_products_do_what_the_genes_do():
    data = fit_data(3)
    products = Gram(
        gram(data.train.x),
        {
            "validation": gram(data.train.x, data.validation.x),
            "test": gram(data.train.x, data.test_x),
        },
    )
    for loss in ("logistic", "squared_hinge"):
        by_genes = RidgeModel(loss).fit(data, TRAINING)
        by_products = RidgeModel(loss).fit(replace(data, gram=products), TRAINING)
        assert by_products.training["certified_on"] == "inner products"
        assert by_products.hyperparameters["penalty"] == pytest.approx(
            by_genes.hyperparameters["penalty"]
        )
        np.testing.assert_allclose(by_products.scores, by_genes.scores, atol=1e-3)


def test_no_penalty_on_separable_data_has_no_optimum():
    data = fit_data(p=300)
    with pytest.raises(
        OptimumError,
        match="model.penalty: 0 has no optimum.*linearly separable.*give a penalty above 0",
    ):
        RidgeModel("logistic", penalty=0.0).fit(data, TRAINING)
    with pytest.raises(OptimumError, match="no unique optimum"):
        RidgeModel("squared_hinge", penalty=0.0).fit(data, TRAINING)


def test_no_penalty_is_allowed_where_an_optimum_exists():
    data = fit_data(p=8, n=200, noise=3)
    out = RidgeModel("logistic", penalty=0.0, class_weights=False, keep_coefficients=True).fit(
        data, TRAINING
    )
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(
        data.train.x.astype(np.float64), data.train.codes
    )
    np.testing.assert_allclose(out.arrays["coefficients"].T, theirs.coef_, atol=1e-4)


def test_constant_genes():
    data = fit_data(p=30)
    constant = np.zeros((len(data.train), 30), dtype=np.float32)
    with pytest.raises(OptimumError, match="no gene varies over the 120 samples"):
        RidgeModel("logistic").fit(replace(data, train=replace(data.train, x=constant)), TRAINING)
    half = data.train.x.copy()
    half[:, :15] = 4.0
    out = RidgeModel("logistic", penalty=0.1, keep_coefficients=True).fit(
        replace(data, train=replace(data.train, x=half)), TRAINING
    )
    assert np.abs(out.arrays["coefficients"][:15]).max() < 1e-9
    assert np.abs(out.arrays["coefficients"][15:]).min() > 0


def test_two_penalties_are_refused():
    with pytest.raises(ConfigError, match="model.penalty and model.relative_penalty are both set"):
        RidgeModel("logistic", penalty=1.0, relative_penalty=1.0)
    with pytest.raises(ConfigError, match="model.smallest: 2.0 is above model.largest: 1.0"):
        RidgeModel("logistic", smallest=2.0)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_gap_of_an_adam_trained_model(n_classes):
    """How far the train part's loss could fall with coefficients no longer; training brings it
    down."""
    data = fit_data(n_classes, p=40, noise=3)

    def network(lr: float, epochs: int) -> dict[str, float]:
        model = NetworkModel(Linear, "cross_entropy", lambda p: torch.optim.Adam(p, lr=lr))
        training = replace(TRAINING, max_epochs=epochs, patience=epochs)
        out = model.fit(data, training)
        return optimum_of(model, data, training, out)[1]

    barely, well = network(1e-5, 1), network(3e-3, 60)
    assert barely["model"] == "ridge_logistic"
    assert barely["relative_gradient"] <= 1e-6
    assert np.log(n_classes) / 2 > barely["objective_gap"]
    assert 0 < well["objective_gap"] < barely["objective_gap"] / 2


def test_a_hinge_has_no_gap_but_a_held_out_comparison():
    data = fit_data()
    model = NetworkModel(Linear, "hinge", torch.optim.Adam)
    best, said = optimum_of(model, data, TRAINING, model.fit(data, replace(TRAINING, max_epochs=1)))
    assert said["model"] == "ridge_svm"
    assert "objective_gap" not in said
    assert best.scores.shape == (60, 2)

"""The gap of networks whose coefficients are known: at the optimum, and at zero.

tests/models/linear/test_ridge_model.py has those of networks that Adam trained.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from beyondlinear.models.interface import FitData, FitResult, FitSeeds, Part, TrainerConfig
from beyondlinear.models.linear.optimality_gap import optimum_of
from beyondlinear.models.linear.ridge_model import RidgeModel
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.models.networks import Linear

TRAINER = TrainerConfig("cpu", 1, 64, 1.0, 30, 7, None, 5)
MODEL = NetworkModel(Linear, "cross_entropy", torch.optim.Adam)


def fit_data(n_classes):
    random = np.random.default_rng(0)
    codes = np.arange(90) % n_classes
    x = random.normal(size=(90, 6)).astype(np.float32)
    x[np.arange(90), codes] += 1
    parts = [Part(x[r], codes[r], r) for r in (np.arange(60), np.arange(60, 90))]
    return FitData(*parts, x[60:], n_classes, FitSeeds.drawn(0))


def network_with(coefficients, intercepts):
    """coefficients: (n_genes, n_classes)"""
    network = Linear(len(coefficients), len(intercepts))
    with torch.no_grad():
        network.layer.weight.copy_(torch.as_tensor(coefficients).T)
        network.layer.bias.copy_(torch.as_tensor(intercepts))
    return FitResult(np.empty((0, 2)), None, None, {}, {}, network=network)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_network_at_the_optimum_has_no_gap(n_classes):
    data = fit_data(n_classes)
    # a penalty of the path, whose bound is then exact
    penalty = RidgeModel("logistic").grid()[8]
    best = RidgeModel("logistic", relative_penalty=penalty).fit(data, TRAINER).optimum
    w, b = best.coefficients.numpy(), best.intercepts.numpy()
    if n_classes == 2:  # one score vector: half of it to each class
        w, b = np.c_[-w / 2, w / 2], np.r_[-b / 2, b / 2]
    gap = optimum_of(MODEL, data, TRAINER, network_with(w, b))[1]["objective_gap"]
    assert gap == pytest.approx(0, abs=1e-6)
    # the same to all classes predicts the same
    moved = optimum_of(MODEL, data, TRAINER, network_with(w + 1, b + 1))[1]["objective_gap"]
    assert moved == pytest.approx(0, abs=1e-5)


def test_zero_coefficients_are_the_best_of_their_length():
    """Classes weighted to be equally common: log 3 is the lowest loss without coefficients. The
    path begins at a finite penalty, so that its bound lies a little above 0."""
    data = fit_data(3)
    said = optimum_of(MODEL, data, TRAINER, network_with(np.zeros((6, 3)), np.zeros(3)))[1]
    assert 0 <= said["objective_gap"] < 0.1
    biased = network_with(np.zeros((6, 3)), np.array([2.0, 0.0, 0.0]))
    worse = optimum_of(MODEL, data, TRAINER, biased)[1]
    loss_of_biased = np.log(np.exp(2) + 2) - 2 / 3
    assert worse["objective_gap"] - said["objective_gap"] == pytest.approx(
        loss_of_biased - np.log(3), abs=1e-5
    )


def test_a_hinge_is_compared_with_the_svm_and_by_held_out_scores_alone():
    hinge = replace(MODEL, loss="hinge")
    data = fit_data(2)
    best, said = optimum_of(hinge, data, TRAINER, network_with(np.zeros((6, 2)), np.zeros(2)))
    assert said["model"] == "ridge_svm"
    assert "objective_gap" not in said
    assert best.validation_scores.shape == (30, 2)

"""The train part in the basis of its rows: the same scores, losses and certificate as on genes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from beyondlinear.models.interface import FitData, FitSeeds, Gram, Part
from beyondlinear.models.linear import newton
from beyondlinear.models.linear.reduced_problem import ReducedProblem
from beyondlinear.models.linear.reduction import gram
from beyondlinear.runtime.errors import OptimumError


def fit_data(n_classes=2, n_genes=30):
    """12 train, 6 validation and 6 test samples."""
    random = np.random.default_rng(0)
    codes = np.arange(24) % n_classes
    x = random.normal(size=(24, n_genes)).astype(np.float32)
    x[np.arange(24), codes] += 2
    rows = np.arange(24)
    train = Part(x[:12], codes[:12], rows[:12])
    validation = Part(x[12:18], codes[12:18], rows[12:18])
    return FitData(train, validation, x[18:], n_classes, FitSeeds.drawn(0))


def solved(problem, penalty=0.1):
    return newton.solve(problem.problem, torch.tensor([penalty], dtype=torch.float64), 1e-9)


def test_weighted_loss_of_equal_scores():
    """log 2 a sample whatever the scores' two classes, weighted: its mean over (0, 1, 1) of
    weights."""
    problem = ReducedProblem(fit_data(), "logistic", class_weights=False)
    problem.class_weights = torch.tensor([3.0, 0.5]).double()
    losses = problem.weighted_loss(torch.zeros(3, 2, 1).double(), torch.tensor([0, 1, 1]))
    assert losses.tolist() == pytest.approx([4 / 3 * np.log(2)] * 2)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_genes", [5, 30])  # fewer genes than samples, and more
def test_the_scores_are_those_of_the_certified_coefficients(n_classes, n_genes):
    data = fit_data(n_classes, n_genes)
    problem = ReducedProblem(data, "logistic", class_weights=True)
    solution = solved(problem)
    optimum = problem.certify(solution, 0.1)
    assert optimum.relative_gradient < 1e-8
    scores = data.test_x @ optimum.coefficients.numpy() + optimum.intercepts.numpy()
    found = problem.class_scores("test", solution)
    assert found.shape == (6, n_classes)
    if n_classes == 2:
        np.testing.assert_allclose(found[:, 1:] - found[:, :1], scores, atol=1e-6)
        np.testing.assert_array_equal(found[:, 0], -found[:, 1])
    else:
        np.testing.assert_allclose(found, scores, atol=1e-6)


def test_inner_products_are_enough_for_all_but_the_coefficients():
    data = fit_data()
    x = data.train.x
    others = {"validation": gram(x, data.validation.x), "test": gram(x, data.test_x)}
    by_genes = ReducedProblem(data, "logistic", True)
    by_products = ReducedProblem(replace(data, gram=Gram(gram(x), others)), "logistic", True)
    for part in ("validation", "test"):
        np.testing.assert_allclose(
            by_products.class_scores(part, solved(by_products)),
            by_genes.class_scores(part, solved(by_genes)),
            atol=1e-6,
        )
    optimum = by_products.certify(solved(by_products), 0.1)
    assert optimum.coefficients is None
    assert optimum.objective == pytest.approx(by_genes.certify(solved(by_genes), 0.1).objective)


def test_a_wrong_solution_is_not_certified():
    problem = ReducedProblem(fit_data(), "logistic", True)
    solution = solved(problem)
    wrong = replace(solution, coefficients=solution.coefficients * 1.1)
    assert problem.certify(wrong, 0.1).relative_gradient > 1e-3


def test_constant_genes_are_refused():
    data = fit_data()
    constant = replace(data.train, x=np.ones_like(data.train.x))
    with pytest.raises(OptimumError, match="no gene varies over the 12 samples"):
        ReducedProblem(replace(data, train=constant), "logistic", True)

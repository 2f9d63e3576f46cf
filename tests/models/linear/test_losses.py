"""Convex losses: values by hand, gradients and curvatures against automatic differentiation."""

import numpy as np
import pytest
import torch

from beyondlinear.models.linear.losses import make_loss

CODES = {2: torch.tensor([0, 1, 1, 0]), 3: torch.tensor([0, 2, 1, 2])}
NAMES = ["logistic", "squared_hinge"]


def scores_of(*by_class):
    """(1, 1, k) scores of one sample and one problem."""
    return torch.tensor([[by_class]], dtype=torch.float64)


def test_values_by_hand():
    second = torch.tensor([1])
    # one score vector for two classes, the second is the positive one
    assert make_loss("logistic", second, 2).value(scores_of(np.log(3))).item() == pytest.approx(
        np.log(4 / 3)
    )
    assert make_loss("squared_hinge", second, 2).value(scores_of(0.5)).item() == 0.25
    assert make_loss("squared_hinge", second, 2).value(scores_of(1.5)).item() == 0
    three = scores_of(0.0, np.log(2), 0.0)  # probabilities 1/4, 1/2, 1/4
    assert make_loss("logistic", second, 3).value(three).item() == pytest.approx(np.log(2))
    # (max(0, 1 − 2 + 0)² + max(0, 1 − 2 + 1.5)²) / 2
    three = scores_of(0.0, 2.0, 1.5)
    assert make_loss("squared_hinge", second, 3).value(three).item() == 0.125


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_gradient_and_curvature_are_the_derivatives(name, n_classes):
    loss = make_loss(name, CODES[n_classes], n_classes)
    assert loss.n_vectors == (1 if n_classes == 2 else 3)
    random = torch.Generator().manual_seed(0)
    shape = (4, 2, loss.n_vectors)  # two problems at once
    scores = torch.randn(shape, dtype=torch.float64, generator=random, requires_grad=True)
    direction = torch.randn(shape, dtype=torch.float64, generator=random)
    (gradient,) = torch.autograd.grad(loss.value(scores).sum(), scores, create_graph=True)
    torch.testing.assert_close(loss.gradient(scores.detach()), gradient.detach())
    (hessian_times,) = torch.autograd.grad((gradient * direction).sum(), scores)
    curvature = loss.curvature(scores.detach(), torch.float64)
    torch.testing.assert_close(curvature.times(direction), hessian_times)
    for k in range(loss.n_vectors):
        unit = torch.zeros(shape, dtype=torch.float64)
        unit[..., k] = 1
        torch.testing.assert_close(curvature.diagonal[..., k], curvature.times(unit)[..., k])


@pytest.mark.parametrize("name", NAMES)
def test_separated_says_whether_every_sample_lies_on_its_side(name):
    two = make_loss(name, torch.tensor([0, 1]), 2)
    # problems: both on their side; the second sample on neither side
    scores = torch.tensor([[[-1.0], [-1.0]], [[2.0], [0.0]]], dtype=torch.float64)
    assert two.separated(scores).tolist() == [True, False]
    three = make_loss(name, torch.tensor([0, 2]), 3)
    good = [[1.0, 0.0, 0.5], [0.0, 0.0, 0.1]]
    tied = [[1.0, 0.0, 1.0], [0.0, 0.0, 0.1]]
    scores = torch.tensor([good, tied], dtype=torch.float64).transpose(0, 1)
    assert three.separated(scores).tolist() == [True, False]

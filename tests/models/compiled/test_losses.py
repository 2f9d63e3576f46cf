"""The compiled losses of one sample against values by hand and PyTorch's own gradients."""

import numpy as np
import pytest
import torch

from beyondlinear.models.compiled.losses import (
    add_losses,
    add_losses_with_slopes,
    cross_entropy_of,
    hinge_of,
)
from beyondlinear.models.losses import cross_entropy, hinge


def test_cross_entropy_by_hand():
    scores = np.array([0.0, np.log(3)], np.float32)  # probabilities 1/4 and 3/4
    assert cross_entropy_of(scores, 0) == pytest.approx(np.log(4))
    assert scores == pytest.approx([-0.75, 0.75])


def test_hinge_by_hand():
    scores = np.array([2.0, 0.0, 1.5], np.float32)
    # max(0, 1 − 2 + 0) + max(0, 1 − 2 + 1.5) = 0.5, over K − 1 = 2
    assert hinge_of(scores, 0) == 0.25
    assert scores.tolist() == [-0.5, 0.0, 0.5]


def test_scores_that_are_not_a_number_show_in_the_loss():
    assert np.isnan(cross_entropy_of(np.array([np.nan, 0], np.float32), 0))
    assert np.isnan(hinge_of(np.array([np.nan, 0], np.float32), 0))


def test_large_scores_do_not_overflow():
    assert cross_entropy_of(np.array([1000, 0], np.float32), 1) == pytest.approx(1000)


@pytest.mark.parametrize("loss", [cross_entropy, hinge])
def test_slopes_are_the_gradient_of_the_mean_weighted_loss(loss):
    random = np.random.default_rng(0)
    scores = random.standard_normal((8, 3)).astype(np.float32)
    codes = np.array([0, 2, 1, 1, 0])
    class_weights = np.array([0.5, 1, 2], np.float32)
    leaf = torch.from_numpy(scores[:5].copy()).requires_grad_()
    weighted = torch.from_numpy(class_weights[codes]) * loss(leaf, torch.from_numpy(codes))
    weighted.mean().backward()
    is_hinge = loss is hinge
    total = add_losses(10.0, scores.copy(), codes, class_weights, is_hinge)
    assert total == pytest.approx(10 + weighted.sum().item(), abs=1e-5)
    assert add_losses_with_slopes(10.0, scores, codes, class_weights, is_hinge) == total
    np.testing.assert_allclose(scores[:5], leaf.grad, atol=1e-6)
    assert not scores[5:].any()  # rows that fill the batch up

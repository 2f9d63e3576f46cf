"""Scores to probabilities, by values a reader can check; tests/evaluation/test_metrics.py has their
calibration."""

import numpy as np
import pytest

from beyondlinear.models.probabilities import log_loss, platt_scaling, softmax


def test_softmax_by_hand():
    scores = np.array([[0, np.log(3)], [1000, 1000]])
    np.testing.assert_allclose(softmax(scores), [[0.25, 0.75], [0.5, 0.5]])
    assert softmax(scores.astype(np.float32)).dtype == np.float64


def test_log_loss_by_hand():
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5]])
    expected = (np.log(4 / 3) + np.log(2)) / 2
    assert log_loss(probabilities, np.array([1, 0])) == pytest.approx(expected)


def test_a_probability_of_zero_costs_much_but_not_everything():
    smallest = np.finfo(np.float32).tiny
    assert log_loss(np.array([[0.0, 1.0]]), np.array([0])) == pytest.approx(-np.log(smallest))


def test_platt_scaling_on_scores_that_say_nothing_gives_his_smoothed_frequencies():
    """Equal scores: the sigmoid is the mean target, of 6 samples at (6 + 1)/(6 + 2) and 2 at
    1/(2 + 2): (6·7/8 + 2·1/4)/8."""
    codes = np.array([1] * 6 + [0] * 2)
    found = platt_scaling(np.zeros((8, 2)), codes, np.zeros((3, 2)))
    assert found[:, 1] == pytest.approx((6 * 7 / 8 + 2 / 4) / 8, abs=1e-4)
    assert found.sum(1) == pytest.approx(1)


def test_platt_scaling_of_several_classes_sums_to_one_and_keeps_the_order():
    codes = np.arange(30) % 3
    scores = np.eye(3)[codes] + 0.5 * np.eye(3)[(codes * 7 + np.arange(30) // 3) % 3]
    found = platt_scaling(scores, codes, np.eye(3))
    assert found.sum(1) == pytest.approx(1)
    assert found.argmax(1).tolist() == [0, 1, 2]

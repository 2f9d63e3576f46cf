"""Scores to metrics: probabilities as the model gives them, or calibrated on the validation
part."""

import numpy as np
import pytest

from beyondlinear.evaluation.score_fit import score_fit
from beyondlinear.models.interface import FitResult, Part

X = np.zeros((4, 1), dtype=np.float32)
TEST = Part(X, np.array([0, 0, 1, 1]), np.array([4, 5, 6, 7]))
VALIDATION = Part(X, np.array([0, 1, 0, 1]), np.array([0, 1, 2, 3]))
# the third sample is taken for the other class
SCORES = np.array([[2.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])


def result(probabilities=None, validation_scores=None) -> FitResult:
    return FitResult(SCORES, probabilities, validation_scores, {}, {})


def test_probabilities_of_the_model_are_scored_as_they_are():
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.5, 0.5], [0.25, 0.75]])
    scores = score_fit(result(p), None, TEST)
    assert scores.metrics["balanced_accuracy"] == 0.75  # recalls 1 and 1/2
    assert scores.metrics["log_loss"] == pytest.approx(
        -(np.log(0.9) + np.log(0.8) + np.log(0.5) + np.log(0.75)) / 4
    )
    assert scores.confusion.tolist() == [[2, 0], [1, 1]]
    assert scores.calibration_rows is None
    assert scores.notes == []


def test_others_are_calibrated_on_the_validation_part():
    validation_scores = np.array([[3.0, 0.0], [0.0, 3.0], [1.0, 0.0], [0.0, 1.0]])
    scores = score_fit(result(None, validation_scores), VALIDATION, TEST)
    assert scores.calibration_rows.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(scores.probabilities.sum(1), 1)
    assert np.isfinite(scores.metrics["log_loss"])
    assert scores.notes == ["probabilities by Platt scaling on the validation part"]


def test_without_a_validation_part_there_is_no_log_loss():
    scores = score_fit(result(), None, TEST)
    assert np.isnan(scores.metrics["log_loss"])
    assert scores.probabilities is None
    assert scores.notes == ["no log-loss: there is no validation part to calibrate the scores on"]

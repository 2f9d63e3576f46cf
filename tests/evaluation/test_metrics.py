import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from beyondlinear.evaluation.metrics import evaluate
from beyondlinear.models.probabilities import log_loss, platt_scaling, softmax


def random_scores(n: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, k, n)
    return rng.normal(0, 1, (n, k)) + np.eye(k)[codes], codes


@pytest.mark.parametrize("k", [2, 5])
def test_equals_scikit_learn(k):
    scores, codes = random_scores(300, k)
    m = evaluate(scores, codes, softmax(scores), []).metrics
    predicted = scores.argmax(1)
    assert m["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(codes, predicted), abs=1e-6
    )
    assert m["accuracy"] == pytest.approx((predicted == codes).mean(), abs=1e-6)
    assert m["macro_f1"] == pytest.approx(f1_score(codes, predicted, average="macro"), abs=1e-6)
    p = softmax(scores)
    expected = (
        roc_auc_score(codes, p[:, 1]) if k == 2 else roc_auc_score(codes, p, multi_class="ovr")
    )
    assert m["auroc"] == pytest.approx(expected, abs=1e-6)
    assert m["log_loss"] == pytest.approx(-np.log(p[np.arange(300), codes]).mean(), abs=1e-9)


def test_a_class_absent_from_validation_is_not_scored_even_if_predicted():
    # class 2 never occurs and is predicted once: recall is 2/3 for class 0 and 2/2 for class 1
    codes = np.array([0, 0, 0, 1, 1])
    scores = np.eye(3)[[0, 0, 2, 1, 1]]
    judged = evaluate(scores, codes, None, [])
    assert judged.metrics["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert judged.confusion.tolist() == [[2, 0, 1], [0, 2, 0], [0, 0, 0]]
    assert judged.notes == ["1 of 3 classes are absent from test and not scored"]


def test_a_perfect_classifier_scores_1_whichever_class_is_absent():
    """Bug 1 of the published code: a class missing from a part shifted the codes of all later
    classes."""
    for absent in range(4):
        codes = np.array([c for c in range(4) if c != absent for _ in range(3)])
        assert evaluate(np.eye(4)[codes], codes, None, []).metrics["balanced_accuracy"] == 1.0


def test_one_class_in_validation_has_no_auroc():
    judged = evaluate(np.eye(2)[[0, 0, 1]], np.array([0, 0, 0]), None, [])
    assert np.isnan(judged.metrics["auroc"])
    assert judged.metrics["balanced_accuracy"] == pytest.approx(2 / 3)


def test_auroc_ranks_by_scores_and_not_by_a_calibration_that_turned_them_round():
    """Anti-predictive scores, as full removal makes them: Platt's slope comes out negative, the
    AUROC stays below 0.5."""
    scores, codes = random_scores(400, 2)
    turned = platt_scaling(-scores, codes, -scores)
    assert turned[codes == 1, 1].mean() > 0.5
    judged = evaluate(-scores, codes, turned, [])
    assert judged.metrics["auroc"] == pytest.approx(
        1 - evaluate(scores, codes, None, []).metrics["auroc"], abs=1e-6
    )
    assert judged.metrics["auroc"] < 0.5


def test_auroc_keeps_its_resolution_for_very_large_scores():
    scores, codes = random_scores(300, 2)
    large, small = (evaluate(scores * s, codes, None, []).metrics["auroc"] for s in (100, 0.01))
    assert large == pytest.approx(roc_auc_score(codes, scores[:, 1] - scores[:, 0]), abs=1e-6)
    assert small == pytest.approx(large, abs=1e-6)


@pytest.mark.parametrize("k", [2, 4])
def test_platt_scaling_calibrates_scores_of_any_scale(k):
    scores, codes = random_scores(8000, k)
    validation, new = slice(0, 4000), slice(4000, 8000)
    calibrated = platt_scaling(scores[validation] * 50, codes[validation], scores[new] * 50)
    assert np.allclose(calibrated.sum(1), 1)
    # these scores are log-likelihoods up to a constant: the softmax is the true posterior
    assert log_loss(calibrated, codes[new]) < log_loss(softmax(scores[new]), codes[new]) + 0.03


def test_platt_scaling_stays_finite_where_the_scores_separate():
    p = platt_scaling(np.eye(2)[[0] * 9 + [1] * 9], np.array([0] * 9 + [1] * 9), np.eye(2)[[0, 1]])
    # Platt's targets for 9 and 9: 10/11 and 1/11
    assert p[:, 1] == pytest.approx([1 / 11, 10 / 11], abs=1e-3)

"""From scores to probabilities, and what probabilities are worth."""

import numpy as np
import torch


def log_loss(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Mean −log p(true class), p floored at the smallest float32 above 0."""
    p = probabilities[np.arange(len(codes)), codes].astype(np.float64)
    return float(-np.log(np.maximum(p, np.finfo(np.float32).tiny)).mean())


def softmax(scores: np.ndarray) -> np.ndarray:
    return torch.from_numpy(np.asarray(scores, dtype=np.float64)).softmax(1).numpy()


def platt_scaling(
    validation_scores: np.ndarray, validation_codes: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Scores to probabilities by Platt's (1999) sigmoid, fitted on the validation part; several
    classes one against the rest.

    Platt's smoothed targets, (n₊ + 1)/(n₊ + 2) and 1/(n₋ + 2), keep the sigmoid finite where the
    scores separate.

    :param validation_scores: (n_validation, n_classes); validation_codes: (n_validation,), holding
        every class
    :returns: (n, n_classes) probabilities of `scores`
    """
    n_classes = scores.shape[1]
    if n_classes == 2:
        second = _sigmoid(
            validation_scores[:, 1] - validation_scores[:, 0],
            validation_codes == 1,
            scores[:, 1] - scores[:, 0],
        )
        return np.c_[1 - second, second]
    columns = [
        _sigmoid(validation_scores[:, c], validation_codes == c, scores[:, c])
        for c in range(n_classes)
    ]
    against_rest = np.maximum(np.column_stack(columns), np.finfo(np.float32).tiny)
    return against_rest / against_rest.sum(1, keepdims=True)


def _sigmoid(score: np.ndarray, positive: np.ndarray, new: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    n_positive, n_negative = positive.sum(), (~positive).sum()
    target = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    centre, width = score.mean(), score.std() or 1.0
    # a soft target t is one sample of each class, weighted t and 1 − t
    rows = np.tile((score - centre) / width, 2)[:, None]
    labels = np.repeat([1, 0], len(score))
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(
        rows, labels, np.r_[target, 1 - target]
    )
    return model.predict_proba(((new - centre) / width)[:, None])[:, 1]

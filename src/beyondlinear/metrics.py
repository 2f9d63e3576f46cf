"""What a fit is judged by, from the scores of its validation part."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torchmetrics.functional.classification import (
    binary_auroc,
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_f1_score,
)


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one validation part. confusion: (n_classes, n_classes), rows true, columns predicted."""

    metrics: dict[str, float]
    confusion: np.ndarray
    probabilities: np.ndarray | None
    notes: list[str]


def evaluate(scores: np.ndarray, codes: np.ndarray, probabilities: np.ndarray | None, notes: list[str]) -> Evaluation:
    """Balanced accuracy, accuracy, macro F1, AUROC and log-loss.

    Balanced accuracy, macro F1 and AUROC are means over the classes that occur in `codes`; a class that is absent is
    noted, not scored. AUROC is one class against the rest and ranks by the scores themselves, never by calibrated
    probabilities: a calibration may turn them round. Log-loss is NaN without probabilities.

    :param scores: (n, n_classes), larger is likelier; the prediction is the largest
    :param codes: (n,) true classes
    :param probabilities: (n, n_classes), or None where the scores could not be calibrated
    """
    n_classes = scores.shape[1]
    s, y = torch.from_numpy(np.asarray(scores, dtype=np.float64)), torch.from_numpy(codes)
    predicted = s.argmax(1)
    confusion = multiclass_confusion_matrix(predicted, y, n_classes)
    present = torch.unique(y)
    recall = confusion.diagonal()[present].double() / confusion.sum(1)[present]
    f1 = multiclass_f1_score(predicted, y, n_classes, average=None)[present]
    auroc = float("nan")
    if len(present) > 1:
        auroc = float(torch.stack([_auroc(s, y, int(c)) for c in present]).double().mean())
    metrics = {
        "balanced_accuracy": float(recall.mean()),
        "accuracy": float(multiclass_accuracy(predicted, y, n_classes, average="micro")),
        "macro_f1": float(f1.double().mean()),
        "auroc": auroc,
        "log_loss": log_loss(probabilities, codes) if probabilities is not None else float("nan"),
    }
    if len(present) < n_classes:
        notes = [*notes, f"{n_classes - len(present)} of {n_classes} classes are absent from validation and not scored"]
    return Evaluation(metrics, confusion.numpy(), probabilities, notes)


def _auroc(scores: torch.Tensor, codes: torch.Tensor, c: int) -> torch.Tensor:
    """Ranks by the log-odds of class c under a softmax of the scores, s_c − log Σ_{j≠c} exp s_j."""
    others = torch.cat([scores[:, :c], scores[:, c + 1 :]], dim=1)
    ranks = rankdata(scores[:, c] - others.logsumexp(1)) / len(codes)  # torchmetrics squashes what lies outside [0, 1]
    return binary_auroc(torch.from_numpy(ranks), (codes == c).long())


def log_loss(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Mean −log p(true class), p floored at the smallest float32 above 0."""
    p = probabilities[np.arange(len(codes)), codes].astype(np.float64)
    return float(-np.log(np.maximum(p, np.finfo(np.float32).tiny)).mean())


def softmax(scores: np.ndarray) -> np.ndarray:
    return torch.from_numpy(np.asarray(scores, dtype=np.float64)).softmax(1).numpy()


def platt_scaling(tune_scores: np.ndarray, tune_codes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Scores to probabilities by Platt's (1999) sigmoid, fitted on the tune part; several classes one against the rest.

    Platt's smoothed targets, (n₊ + 1)/(n₊ + 2) and 1/(n₋ + 2), keep the sigmoid finite where the scores separate.

    :param tune_scores: (n_tune, n_classes); tune_codes: (n_tune,), holding every class
    :returns: (n, n_classes) probabilities of `scores`
    """
    n_classes = scores.shape[1]
    if n_classes == 2:
        second = _sigmoid(tune_scores[:, 1] - tune_scores[:, 0], tune_codes == 1, scores[:, 1] - scores[:, 0])
        return np.c_[1 - second, second]
    columns = [_sigmoid(tune_scores[:, c], tune_codes == c, scores[:, c]) for c in range(n_classes)]
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
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(rows, labels, np.r_[target, 1 - target])
    return model.predict_proba(((new - centre) / width)[:, None])[:, 1]

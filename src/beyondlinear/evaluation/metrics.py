"""What a fit is judged by, from the scores of its test part."""

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

from beyondlinear.models.probabilities import log_loss


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one test part. confusion: (n_classes, n_classes), rows true, columns predicted."""

    metrics: dict[str, float]
    confusion: np.ndarray
    probabilities: np.ndarray | None
    notes: list[str]


def evaluate(
    scores: np.ndarray, codes: np.ndarray, probabilities: np.ndarray | None, notes: list[str]
) -> Evaluation:
    """Balanced accuracy, accuracy, macro F1, AUROC and log-loss.

    Balanced accuracy, macro F1 and AUROC are means over the classes that occur in `codes`; a class
    that is absent is noted, not scored. AUROC is one class against the rest and ranks by the scores
    themselves, never by calibrated probabilities: a calibration may turn them round. Log-loss is
    NaN without probabilities.

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
        notes = [
            *notes,
            (
                f"{n_classes - len(present)} of {n_classes} classes are absent from test and not"
                " scored"
            ),
        ]
    return Evaluation(metrics, confusion.numpy(), probabilities, notes)


def _auroc(scores: torch.Tensor, codes: torch.Tensor, c: int) -> torch.Tensor:
    """Ranks by the log-odds of class c under a softmax of the scores, s_c − log Σ_{j≠c} exp s_j."""
    others = torch.cat([scores[:, :c], scores[:, c + 1 :]], dim=1)
    ranks = rankdata(scores[:, c] - others.logsumexp(1)) / len(
        codes
    )  # torchmetrics squashes what lies outside [0, 1]
    return binary_auroc(torch.from_numpy(ranks), (codes == c).long())

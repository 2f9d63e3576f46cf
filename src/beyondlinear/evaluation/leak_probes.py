"""Leak probes beside each result: what is easy to read from a part after signal removal, whatever
the model at hand finds.

A removal that writes labels into the data shows here even where a net under-trained overlooks it.
"""

import numba
import numpy as np
from scipy.stats import rankdata

from beyondlinear.data.scaled_rows import Matrix, blocks, dense
from beyondlinear.evaluation.metrics import evaluate
from beyondlinear.models.compiled.flags import SUMS
from beyondlinear.models.interface import Part

_ROWS = 256  # at a time


def norm_auc(train: Part, test: Part, n_classes: int) -> float:
    """AUC, on the test part, of ‖x − mean of the train part‖² as the only feature: what the length
    of a sample alone gives away, each class against the rest, turned the way it points in the train
    part. 0.5: nothing."""
    total = np.zeros(train.x.shape[1])
    for block in blocks(train.x, _ROWS):
        _add_rows(np.ascontiguousarray(block), total)
    middle = (total / len(train)).astype(np.float32)
    of_train, of_test = _distances(train.x, middle), _distances(test.x, middle)
    found = []
    for c in range(n_classes - 1 if n_classes == 2 else n_classes):
        there = _auc(of_train, train.codes == c)
        here = _auc(of_test, test.codes == c)
        found.append(here if there >= 0.5 else 1 - here)
    known = [a for a in found if np.isfinite(a)]
    return float(np.mean(known)) if known else float("nan")


def forest_accuracy(
    train: Part, test: Part, n_classes: int, trees: int, seed: int, threads: int
) -> float:
    """Balanced accuracy, on the test part, of a random forest of so many trees."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        trees, class_weight="balanced", random_state=seed % 2**32, n_jobs=threads
    )
    shares = forest.fit(dense(train.x), train.codes).predict_proba(dense(test.x))
    return evaluate(shares, test.codes, None, []).metrics["balanced_accuracy"]


def _distances(x: Matrix, middle: np.ndarray) -> np.ndarray:
    """(n,) squared distances of the rows from `middle`."""
    return np.concatenate([_squares(np.ascontiguousarray(b), middle) for b in blocks(x, _ROWS)])


@numba.njit(nogil=True, cache=True)
def _add_rows(x: np.ndarray, total: np.ndarray) -> None:
    for i in range(len(x)):
        row = x[i]
        for j in range(len(total)):
            total[j] += row[j]


@numba.njit(nogil=True, cache=True, fastmath=SUMS)
def _squares(x: np.ndarray, middle: np.ndarray) -> np.ndarray:
    out = np.empty(len(x))
    for i in range(len(x)):
        row, square = x[i], 0.0
        for j in range(len(middle)):
            apart = np.float64(row[j] - middle[j])
            square += apart * apart
        out[i] = square
    return out


def _auc(values: np.ndarray, positive: np.ndarray) -> float:
    """Mann & Whitney's U over the number of pairs, ties counted half: what scikit-learn gives,
    without its checks of the input, which take ten times as long."""
    n, n_all = int(positive.sum()), len(positive)
    if not 0 < n < n_all:
        return float("nan")
    return float((rankdata(values)[positive].sum() - n * (n + 1) / 2) / (n * (n_all - n)))

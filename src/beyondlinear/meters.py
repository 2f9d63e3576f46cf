"""Leak meters beside each result: what is easy to read from a part after signal removal, whatever the model at hand finds.

A removal that writes labels into the data shows here even where a net under-trained overlooks it.
"""

from typing import Any

import numba
import numpy as np
from scipy.stats import rankdata

from beyondlinear.datamodule import Part
from beyondlinear.errors import ResultsError
from beyondlinear.linear_epoch import SUMS
from beyondlinear.metrics import evaluate
from beyondlinear.parts import Bench
from beyondlinear.results import fit_key, read_json, write_json
from beyondlinear.seeds import stream_seed
from beyondlinear.splits import Fold
from beyondlinear.view import Matrix, blocks, dense

_ROWS = 256  # at a time


def norm_auc(fit: Part, validation: Part, n_classes: int) -> float:
    """AUC, on the validation part, of ‖x − mean of the fit part‖² as the only feature: what the length of a sample alone gives
    away, each class against the rest, turned the way it points in the fit part. 0.5: nothing."""
    total = np.zeros(fit.x.shape[1])
    for block in blocks(fit.x, _ROWS):
        _add_rows(np.ascontiguousarray(block), total)
    middle = (total / len(fit)).astype(np.float32)
    of_fit, of_validation = _distances(fit.x, middle), _distances(validation.x, middle)
    found = []
    for c in range(n_classes - 1 if n_classes == 2 else n_classes):
        there = _auc(of_fit, fit.codes == c)
        here = _auc(of_validation, validation.codes == c)
        found.append(here if there >= 0.5 else 1 - here)
    known = [a for a in found if np.isfinite(a)]
    return float(np.mean(known)) if known else float("nan")


def forest_accuracy(fit: Part, validation: Part, n_classes: int, trees: int, seed: int, threads: int) -> float:
    """Balanced accuracy, on the validation part, of a random forest of so many trees."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(trees, class_weight="balanced", random_state=seed % 2**32, n_jobs=threads)
    shares = forest.fit(dense(fit.x), fit.codes).predict_proba(dense(validation.x))
    return evaluate(shares, validation.codes, None, []).metrics["balanced_accuracy"]


def read_meters(
    bench: Bench, fold: Fold, fraction: float, pretrained: bool | None, parts: dict[str, Part]
) -> dict[str, Any]:
    """The meters of one fit's parts; the forest after removal only, and once for all models that share the parts."""
    n_classes = len(bench.samples.classes)
    fit, validation = parts["fit"], parts["validation"]
    said: dict[str, Any] = {"norm_auc": norm_auc(fit, validation, n_classes)}
    trees = bench.cfg.meters.trees
    if trees == 0 or bench.config["signal_removal"]["name"] == "none":
        return said
    shared = {"model": {"name": "meter", "trees": trees}, "tuning": {"method": "none"}}
    key = fit_key(bench.config | shared, bench.fingerprint, fold, fraction, pretrained)
    path = bench.store.root / "meters" / f"{key}.json"
    if path.exists():
        try:
            return said | {"forest": float(read_json(path)["forest"])}
        except (ResultsError, KeyError, TypeError):  # it is read again below
            path.unlink()
    seed = stream_seed(bench.cfg.seed, "meter", fold.number, fraction)
    said["forest"] = forest_accuracy(fit, validation, n_classes, trees, seed, bench.training.threads)
    write_json(path, {"forest": said["forest"], "trees": trees})
    return said


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
    """Mann & Whitney's U over the number of pairs, ties counted half: what scikit-learn gives, without its checks of the input,
    which take ten times as long."""
    n, n_all = int(positive.sum()), len(positive)
    if not 0 < n < n_all:
        return float("nan")
    return float((rankdata(values)[positive].sum() - n * (n + 1) / 2) / (n * (n_all - n)))

"""Statistics of fits that share training samples: a comparison of two models, an interval of one, many at once, calibration.

The fits of one cross-validation train on overlapping samples, so that their results are correlated and a plain t-test over
folds rejects far too often. What is used instead is approximate; benchmarks/inference.py measures how well it holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

ROPE = 0.01  # balanced accuracies that differ by less are the same in practice


@dataclass(frozen=True)
class Comparison:
    """Two models on the same folds, first minus second. low, high: 95 % interval; below, rope, above: posterior probability
    that the second is better by more than the region of practical equivalence, that they are equivalent, that the first is.
    All but n, ratio and mean are NaN below two folds."""

    n: int
    ratio: float
    mean: float
    sd: float
    low: float
    high: float
    p_value: float
    below: float
    rope: float
    above: float


def compare(differences: Sequence[float] | np.ndarray, n_train: float, n_test: float, rope: float = ROPE) -> Comparison:
    """The corrected resampled t-test and its Bayesian counterpart.

    Nadeau & Bengio (2003), Machine Learning 52:239: the variance of the mean of J differences is taken as
    (1/J + n_test/n_train) s², with J − 1 degrees of freedom. Corani & Benavoli (2015), Machine Learning 100:285: with a flat
    prior and correlation n_test/(n_test + n_train) between folds, the posterior of the mean is the Student distribution of the
    same centre, scale and degrees of freedom.

    :param differences: (J,) one a fold and seed; n_train, n_test: samples of a training and of a test part
    :param rope: half the width of the region of practical equivalence, in units of the differences
    """
    d = np.asarray(differences, dtype=np.float64)
    n, ratio = len(d), n_test / n_train
    if n < 2:
        nothing = (np.nan,) * 7
        return Comparison(n, ratio, float(d.mean()) if n else np.nan, *nothing)
    mean, sd = float(d.mean()), float(d.std(ddof=1))
    scale = float(np.sqrt(1 / n + ratio)) * sd
    if sd <= 1e-12:  # all folds say the same: no spread to judge by
        certain = (float(mean < -rope), float(abs(mean) <= rope), float(mean > rope))
        return Comparison(n, ratio, mean, 0.0, mean, mean, 1.0 if abs(mean) < 1e-12 else 0.0, *certain)
    half = float(t.ppf(0.975, n - 1)) * scale
    p_value = float(2 * t.sf(abs(mean) / scale, n - 1))
    below = float(t.cdf((-rope - mean) / scale, n - 1))
    above = float(t.sf((rope - mean) / scale, n - 1))
    return Comparison(n, ratio, mean, sd, mean - half, mean + half, p_value, below, 1 - below - above, above)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p-values that keep the chance of any false rejection (Holm 1979, Scand. J. Statist. 6:65); NaN stays NaN and
    counts for nothing.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else []
    return adjusted


@dataclass(frozen=True)
class Interval:
    """value: balanced accuracy of all predictions; low, high: its 95 % interval, NaN below FEWEST_GROUPS groups."""

    value: float
    low: float
    high: float
    n_groups: int


FEWEST_GROUPS = 5  # resampling fewer says nothing about groups that were not seen


def bootstrap(
    right: np.ndarray, codes: np.ndarray, groups: np.ndarray, n_classes: int, seed: int = 0, draws: int = 2000
) -> Interval:
    """Balanced accuracy with a cluster bootstrap over groups: whole groups are drawn with replacement, since samples of one
    donor or study are not independent (Field & Welsh 2007, J. R. Statist. Soc. B 69:369).

    Percentiles, widened by √(G/(G − 1)) · t_{G−1}/z on the logit scale, as a t-interval is wider than a normal one: with few
    groups G plain percentiles are too narrow. What varies is which samples are predicted; the trained models are taken as
    they are.

    :param right: (n,) whether each prediction is correct, or the share of seeds in which it is; codes: (n,) true classes
    :param groups: (n,) group of each sample
    """
    _, of = np.unique(groups, return_inverse=True)
    n_groups = int(of.max()) + 1 if len(of) else 0
    cell = of * n_classes + codes
    size = n_groups * n_classes
    total = np.bincount(cell, minlength=size).reshape(n_groups, n_classes).astype(float)
    hits = np.bincount(cell, weights=right, minlength=size).reshape(n_groups, n_classes)
    value = float(_mean_recall(hits.sum(0), total.sum(0)))
    if n_groups < FEWEST_GROUPS:
        return Interval(value, np.nan, np.nan, n_groups)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws).astype(float)
    drawn = _mean_recall(times @ hits, times @ total)
    low, high = np.quantile(_logit(drawn, total.sum()), [0.025, 0.975])
    centre = float(_logit(np.array(value), total.sum()))
    wider = float(np.sqrt(n_groups / (n_groups - 1)) * t.ppf(0.975, n_groups - 1) / t.ppf(0.975, np.inf))
    low, high = centre + wider * (min(low, centre) - centre), centre + wider * (max(high, centre) - centre)
    if value in (0.0, 1.0):  # no draw differs: the rule of three, for groups instead of samples
        low, high = (
            (_logit(np.array(0.05 ** (1 / n_groups)), np.inf), np.inf)
            if value == 1.0
            else (
                -np.inf,
                _logit(np.array(1 - 0.05 ** (1 / n_groups)), np.inf),
            )
        )
    return Interval(value, float(1 / (1 + np.exp(-low))), float(1 / (1 + np.exp(-high))), n_groups)


def _mean_recall(hits: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that were drawn, on the last axis."""
    present = total > 0
    recall = np.divide(hits, total, out=np.zeros_like(hits), where=present)
    return recall.sum(-1) / np.maximum(present.sum(-1), 1)


def _logit(share: np.ndarray, n: float) -> np.ndarray:
    """Log-odds, with shares of 0 and 1 moved inside by half a sample."""
    inside = np.clip(share, 0.5 / n, 1 - 0.5 / n)
    return np.log(inside / (1 - inside))


@dataclass(frozen=True)
class Calibration:
    """ece: expected calibration error; the other columns: a bin each, of predictions of like confidence."""

    ece: float
    confidence: np.ndarray
    accuracy: np.ndarray
    n: np.ndarray


def calibration(probabilities: np.ndarray, codes: np.ndarray, bins: int = 10) -> Calibration:
    """How far the probability of the predicted class is from the share of those predictions that are right.

    Σ_b n_b/n |accuracy_b − confidence_b| over bins of equal width in [1/n_classes, 1] (Guo et al. 2017, ICML).

    :param probabilities: (n, n_classes); codes: (n,) true classes
    """
    n_classes = probabilities.shape[1]
    confidence = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == codes
    width = (1 - 1 / n_classes) / bins
    which = np.clip(((confidence - 1 / n_classes) / width).astype(int), 0, bins - 1)
    n = np.bincount(which, minlength=bins)
    full = n > 0
    mean = np.bincount(which, weights=confidence, minlength=bins)[full] / n[full]
    accuracy = np.bincount(which, weights=right, minlength=bins)[full] / n[full]
    ece = float((n[full] / n.sum() * np.abs(accuracy - mean)).sum()) if n.sum() else np.nan
    return Calibration(ece, mean, accuracy, n[full])

"""Statistics of fits that share training samples: a comparison of two models, an interval of one,
many at once, calibration.

The fits of one cross-validation train on overlapping samples, so that their results are correlated
and a plain t-test over folds rejects far too often. What is used instead is approximate;
benchmarks/inference.py measures how well it holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

ROPE = 0.01  # balanced accuracies that differ by less are the same in practice
_NO_SPREAD = 1e-12  # rounding; differences of less are none


@dataclass(frozen=True)
class Comparison:
    """Two models on the same folds, first minus second. low, high: 95 % interval; below, rope,
    above: posterior probability that the second is better by more than the region of practical
    equivalence, that they are equivalent, that the first is. All but n, ratio and mean are NaN
    below two folds."""

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


def compare(
    differences: Sequence[float] | np.ndarray, n_train: float, n_test: float, rope: float = ROPE
) -> Comparison:
    """The corrected resampled t-test and its Bayesian counterpart.

    Nadeau & Bengio (2003), Machine Learning 52:239: the variance of the mean of J differences is
    taken as (1/J + n_test/n_train) s², with J − 1 degrees of freedom. Corani & Benavoli (2015),
    Machine Learning 100:285: with a flat prior and correlation n_test/(n_test + n_train) between
    folds, the posterior of the mean is the Student distribution of the same centre, scale and
    degrees of freedom.

    :param differences: (J,) one a fold and seed; n_train, n_test: samples of a training and of a
        test part
    :param rope: half the width of the region of practical equivalence, in units of the differences
    """
    d = np.asarray(differences, dtype=np.float64)
    n = len(d)
    ratio = n_test / n_train
    mean = float(d.mean()) if n else np.nan
    if n < 2:
        return _without_spread(n, ratio, mean)
    sd = float(d.std(ddof=1))
    if sd <= _NO_SPREAD:
        return _all_the_same(n, ratio, mean, rope)
    standard_error = float(np.sqrt(1 / n + ratio)) * sd
    half_width = float(t.ppf(0.975, n - 1)) * standard_error
    below = float(t.cdf((-rope - mean) / standard_error, n - 1))
    above = float(t.sf((rope - mean) / standard_error, n - 1))
    return Comparison(
        n=n,
        ratio=ratio,
        mean=mean,
        sd=sd,
        low=mean - half_width,
        high=mean + half_width,
        p_value=float(2 * t.sf(abs(mean) / standard_error, n - 1)),
        below=below,
        rope=1 - below - above,
        above=above,
    )


def _without_spread(n: int, ratio: float, mean: float) -> Comparison:
    """Below two folds there is no spread to judge by."""
    return Comparison(
        n=n,
        ratio=ratio,
        mean=mean,
        sd=np.nan,
        low=np.nan,
        high=np.nan,
        p_value=np.nan,
        below=np.nan,
        rope=np.nan,
        above=np.nan,
    )


def _all_the_same(n: int, ratio: float, mean: float, rope: float) -> Comparison:
    """All folds say the same, which the model of the test takes for certain."""
    return Comparison(
        n=n,
        ratio=ratio,
        mean=mean,
        sd=0.0,
        low=mean,
        high=mean,
        p_value=1.0 if abs(mean) < _NO_SPREAD else 0.0,
        below=float(mean < -rope),
        rope=float(abs(mean) <= rope),
        above=float(mean > rope),
    )


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p-values that keep the chance of any false rejection (Holm 1979, Scand. J. Statist.
    6:65); NaN stays NaN and counts for nothing.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    if not len(known):
        return adjusted
    ascending = known[np.argsort(p[known], kind="stable")]
    n_not_smaller = len(ascending) - np.arange(len(ascending))
    never_below_the_one_before = np.maximum.accumulate(p[ascending] * n_not_smaller)
    adjusted[ascending] = np.minimum(never_below_the_one_before, 1.0)
    return adjusted


@dataclass(frozen=True)
class Interval:
    """value: balanced accuracy of all predictions; low, high: its 95 % interval, NaN below
    FEWEST_GROUPS groups."""

    value: float
    low: float
    high: float
    n_groups: int


FEWEST_GROUPS = 5  # resampling fewer says nothing about groups that were not seen


def bootstrap(
    right: np.ndarray,
    codes: np.ndarray,
    groups: np.ndarray,
    n_classes: int,
    seed: int = 0,
    draws: int = 2000,
) -> Interval:
    """Balanced accuracy with a cluster bootstrap over groups: whole groups are drawn with
    replacement, since samples of one donor or study are not independent (Field & Welsh 2007, J. R.
    Statist. Soc. B 69:369).

    Percentiles, widened by √(G/(G − 1)) · t_{G−1}/z on the logit scale, as a t-interval is wider
    than a normal one: with few groups G plain percentiles are too narrow. What varies is which
    samples are predicted; the trained models are taken as they are.

    :param right: (n,) whether each prediction is correct, or the share of seeds in which it is;
        codes: (n,) true classes
    :param groups: (n,) group of each sample
    """
    _, group_of = np.unique(groups, return_inverse=True)
    n_groups = int(group_of.max()) + 1 if len(group_of) else 0
    # (n_groups, n_classes): samples, and correct predictions among them
    cell = group_of * n_classes + codes
    n_cells = n_groups * n_classes
    shape = (n_groups, n_classes)
    total = np.bincount(cell, minlength=n_cells).reshape(shape).astype(float)
    hits = np.bincount(cell, weights=right, minlength=n_cells).reshape(shape)
    value = float(_mean_recall(hits.sum(0), total.sum(0)))
    if n_groups < FEWEST_GROUPS:
        return Interval(value, np.nan, np.nan, n_groups)

    if value == 1.0:  # no draw differs: the rule of three, for groups instead of samples
        low, high = _logit_of(0.05 ** (1 / n_groups), np.inf), np.inf
    elif value == 0.0:
        low, high = -np.inf, _logit_of(1 - 0.05 ** (1 / n_groups), np.inf)
    else:
        rng = np.random.default_rng(seed)
        shares = np.full(n_groups, 1 / n_groups)
        times_drawn = rng.multinomial(n_groups, shares, size=draws).astype(float)
        drawn = _mean_recall(times_drawn @ hits, times_drawn @ total)
        n = total.sum()
        centre = _logit_of(value, n)
        lowest, highest = np.quantile(_logit(drawn, n), [0.025, 0.975])
        wider = _widening(n_groups)
        low = centre + wider * (min(float(lowest), centre) - centre)
        high = centre + wider * (max(float(highest), centre) - centre)
    return Interval(value, _expit(low), _expit(high), n_groups)


def _widening(n_groups: int) -> float:
    """√(G/(G − 1)) · t_{G−1}/z, by which a t-interval of G groups is wider than a normal one."""
    quantile = t.ppf(0.975, n_groups - 1) / t.ppf(0.975, np.inf)
    return float(np.sqrt(n_groups / (n_groups - 1)) * quantile)


def _mean_recall(hits: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that were drawn, on the last axis."""
    present = total > 0
    recall = np.divide(hits, total, out=np.zeros_like(hits), where=present)
    return recall.sum(-1) / np.maximum(present.sum(-1), 1)


def _logit(share: np.ndarray, n: float) -> np.ndarray:
    """Log-odds, with shares of 0 and 1 moved inside by half a sample."""
    inside = np.clip(share, 0.5 / n, 1 - 0.5 / n)
    return np.log(inside / (1 - inside))


def _logit_of(share: float, n: float) -> float:
    return float(_logit(np.array(share), n))


def _expit(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))


@dataclass(frozen=True)
class Calibration:
    """ece: expected calibration error; the other columns: a bin each, of predictions of like
    confidence."""

    ece: float
    confidence: np.ndarray
    accuracy: np.ndarray
    n: np.ndarray


def calibration(probabilities: np.ndarray, codes: np.ndarray, bins: int = 10) -> Calibration:
    """How far the probability of the predicted class is from the share of those predictions that
    are right.

    Σ_b n_b/n |accuracy_b − confidence_b| over bins of equal width in [1/n_classes, 1] (Guo et al.
    2017, ICML).

    :param probabilities: (n, n_classes); codes: (n,) true classes
    """
    n_classes = probabilities.shape[1]
    confidence = probabilities.max(1).astype(np.float64)
    is_right = probabilities.argmax(1) == codes
    width = (1 - 1 / n_classes) / bins
    bin_of = np.clip(((confidence - 1 / n_classes) / width).astype(int), 0, bins - 1)
    n = np.bincount(bin_of, minlength=bins)
    filled = n > 0
    n_in_bin = n[filled]
    mean_confidence = np.bincount(bin_of, weights=confidence, minlength=bins)[filled] / n_in_bin
    accuracy = np.bincount(bin_of, weights=is_right, minlength=bins)[filled] / n_in_bin
    ece = np.nan
    if n.sum():
        ece = float((n_in_bin / n.sum() * np.abs(accuracy - mean_confidence)).sum())
    return Calibration(ece, mean_confidence, accuracy, n_in_bin)

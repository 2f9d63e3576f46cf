"""How far the statistics of the real labels stand out of those of drawn ones: p-values by rank, of
each statistic and of the best of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Statistic:
    """One statistic against its null distribution.

    observed: its value; null_mean, null_sd: over the draws; p_value: (1 + #{draws ≥ observed}) /
    (draws + 1).
    """

    observed: float
    null_mean: float
    null_sd: float
    p_value: float


@dataclass(frozen=True)
class LabellingScores:
    """What one labelling gives: statistics by name, gains by learner."""

    statistics: dict[str, float]
    gains: dict[str, float]


def judge(looks: Sequence[LabellingScores]) -> dict[str, Statistic]:
    """Each statistic of the first look against the others, and the best of them all: the largest,
    each standardised by its mean and standard deviation over the draws, against the same of each
    draw."""
    names = list(looks[0].statistics)
    values = np.array([[look.statistics[name] for name in names] for look in looks])
    draws = values[1:]
    mean = draws.mean(0)
    sd = draws.std(0, ddof=1)
    standardised = (values - mean) / np.where(sd > 0, sd, 1.0)
    judged = [i for i, name in enumerate(names) if not name.endswith("_gain")]
    best = standardised[:, judged].max(1)
    found = {}
    for i, name in enumerate(names):
        p_value = rank_p_value(values[:, i])
        found[name] = Statistic(float(values[0, i]), float(mean[i]), float(sd[i]), p_value)
    best_draws = best[1:]
    found["best"] = Statistic(
        observed=float(best[0]),
        null_mean=float(best_draws.mean()),
        null_sd=float(best_draws.std(ddof=1)),
        p_value=rank_p_value(best),
    )
    return found


def rank_p_value(values: np.ndarray) -> float:
    """(1 + #{draws ≥ observed}) / (draws + 1); the first value is the observed one."""
    return float((1 + (values[1:] >= values[0]).sum()) / len(values))

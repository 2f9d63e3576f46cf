"""Whole groups into bins of given shares, every class spread as evenly as its groups allow."""

import numpy as np


def assign(
    groups: np.ndarray,
    codes: np.ndarray,
    n_classes: int,
    shares: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Put whole groups into bins of the given shares; (n_samples,) bin numbers.

    Groups that carry much of a class come early, by chance not strictly so: else large groups would
    lie in the same bins whatever the seed, and never in a small bin. Each goes where it lowers
    Σ_bins Σ_classes (share of the class in the bin − wanted share)² + the same for all samples,
    weighted as one class each. Then groups move, cheapest first, until every class is in as many
    bins as its groups allow.
    """
    ids, groups = np.unique(groups, return_inverse=True)
    table = np.zeros((len(ids), n_classes))
    np.add.at(table, (groups, codes), 1.0)
    totals = np.maximum(table.sum(0), 1)
    # one more column for the sample count, which weighs as much as all classes together
    weight = np.sqrt(np.r_[np.ones(n_classes), n_classes])
    load = np.c_[table / totals, table.sum(1) / table.sum()] * weight
    deviation = -np.outer(shares, weight)
    bins = np.zeros(len(ids), dtype=np.int64)
    for g in np.argsort(-load[:, :-1].max(1) * rng.uniform(0.2, 1, len(ids)), kind="stable"):
        bins[g] = int(np.argmin(deviation @ load[g]))
        deviation[bins[g]] += load[g]
    _spread_classes(bins, table > 0, load, deviation)
    return bins[groups]


def _spread_classes(
    bins: np.ndarray, has: np.ndarray, load: np.ndarray, deviation: np.ndarray
) -> None:
    """Move groups between bins (in place) while that brings a class into a bin it was missing from
    and loses none."""
    n_bins = len(deviation)
    holders = np.zeros((n_bins, has.shape[1]), dtype=np.int64)  # groups per bin and class
    np.add.at(holders, bins, has)
    for _ in range(n_bins * has.shape[1]):
        wanting = (holders == 0) & ((holders > 0).sum(0) < np.minimum(has.sum(0), n_bins))
        if not wanting.any():
            return
        gained = has.astype(np.int64) @ wanting.T.astype(np.int64)
        lost = (has & (holders[bins] == 1)).sum(1)
        cost = load @ deviation.T - np.einsum("gc,gc->g", load, deviation[bins] - load)[:, None]
        cost[(gained <= lost[:, None]) | (bins[:, None] == np.arange(n_bins))] = np.inf
        g, b = np.unravel_index(np.argmin(cost), cost.shape)
        if not np.isfinite(cost[g, b]):
            return
        for side, sign in ((bins[g], -1), (b, 1)):
            holders[side] += sign * has[g]
            deviation[side] += sign * load[g]
        bins[g] = b

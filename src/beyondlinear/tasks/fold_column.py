"""Outer folds that a column of obs gives, one for each of its values."""

import numpy as np
import pandas as pd

from beyondlinear.runtime.errors import SplitError, choices
from beyondlinear.tasks.task import Samples

_MANY_FOLDS = 50  # more values than these, and than half of the samples, are no folds


def folds_of_column(
    samples: Samples, name: str, group: str | list[str] | None
) -> tuple[np.ndarray, dict[int, str]]:
    """(n_samples,) fold of each sample, -1 where the column says nothing, and the folds' names.

    :param group: split.group, for errors
    :raises SplitError: unknown column, too many values, or a column that tears a group apart
    """
    obs = samples.obs
    if name not in obs.columns:
        raise SplitError(
            f"split.column: '{name}' is not a column of obs. {choices(name, obs.columns)}"
        )
    column = obs[name]
    filled = column.where(column.astype(str).str.strip() != "")
    bins, values = pd.factorize(filled, sort=True)
    if len(values) > max(_MANY_FOLDS, len(obs) // 2):
        raise SplitError(
            f"split.column: '{name}' has {len(values):,} values over {len(obs):,} samples;"
            " are these folds?"
        )
    folds_of_group = pd.Series(bins).groupby(samples.groups).nunique()
    torn = folds_of_group.index[folds_of_group > 1]
    if len(torn):
        of_first = samples.groups == torn[0]
        raise SplitError(
            f"split.column: '{name}' tears {len(torn)} groups of split.group={group} apart,"
            f" e.g. samples {', '.join(obs.index[of_first][:3])};"
            " mend the column or drop split.group"
        )
    return np.asarray(bins), {number: str(value) for number, value in enumerate(values)}

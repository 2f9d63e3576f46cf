"""Which samples belong together: groups of samples, from the columns of obs that name them."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from beyondlinear.data.obs import as_words
from beyondlinear.runtime.errors import SplitError, choices

OnMissingGroup = Literal["error", "own_group"]


def connected_groups(
    obs: pd.DataFrame,
    columns: Sequence[str],
    needed: np.ndarray | None = None,
    on_missing: OnMissingGroup = "error",
) -> np.ndarray:
    """(n_samples,) int64 group number of each sample: connected components over the values of the
    columns.

    A value "a;b" puts a sample into both groups a and b, which then are one. Without columns each
    sample is a group.
    :param needed: (n_samples,) bool, samples that must have a group (those with a label); None: all
    :param on_missing: what becomes of a needed sample without one
    :raises SplitError: unknown column, or samples without a group
    """
    n_samples = len(obs)
    # a graph of samples and values; every sample is a value of its own, so none is left out
    samples = [np.arange(n_samples)]
    values = [np.arange(n_samples)]
    n_values = n_samples
    for column in columns:
        if column not in obs.columns:
            raise SplitError(
                f"split.group: '{column}' is not a column of obs. {choices(column, obs.columns)}"
            )
        words = as_words(obs[column])
        missing = words.fillna("").str.fullmatch(r"[;\s]*").to_numpy(dtype=bool)
        if needed is not None:
            missing &= needed
        if missing.any() and on_missing == "error":
            examples = ", ".join(map(str, obs.index[missing][:3]))
            raise SplitError(
                f"split.group: {missing.sum():,} of {n_samples:,} samples have no '{column}'"
                f" (e.g. {examples}); fill the column, or take each such sample as a group of its"
                " own with split.on_missing_group=own_group"
            )
        several = words.dropna().str.split(";").explode().str.strip()
        several = several[several != ""]
        codes, uniques = pd.factorize(several)
        # row positions, not labels: obs ids are unique but exploded ones repeat
        position = pd.Series(np.arange(n_samples), index=obs.index)
        samples.append(position.loc[several.index].to_numpy())
        values.append(codes + n_values)
        n_values += len(uniques)
    row = np.concatenate(samples)
    col = np.concatenate(values)
    edges = np.ones(len(row), dtype=np.int8)
    graph = coo_array((edges, (row, col)), shape=(n_values, n_values))
    labels = connected_components(graph, directed=False)[1][:n_samples]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def group_name(obs: pd.DataFrame, columns: str | list[str], of_group: np.ndarray) -> str:
    """A name for one group: its value of the first column, and how many more there are.

    :param of_group: (n_samples,) bool
    """
    first = columns if isinstance(columns, str) else columns[0]
    values = obs.loc[of_group, first].astype(str).unique()
    if len(values) == 1:
        return str(values[0])
    return f"{values[0]} and {len(values) - 1} more"

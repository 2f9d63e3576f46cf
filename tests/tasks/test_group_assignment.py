"""Whole groups into bins: by hand where there is one answer, as a property elsewhere."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from beyondlinear.runtime.seeds import stream
from beyondlinear.tasks.group_assignment import assign


def test_four_equal_groups_of_two_classes_fill_two_bins_alike():
    groups = np.repeat([0, 1, 2, 3], 5)
    codes = np.repeat([0, 0, 1, 1], 5)
    bins = assign(groups, codes, 2, np.array([0.5, 0.5]), np.random.default_rng(0))
    by_group = bins.reshape(4, 5)
    assert (by_group == by_group[:, :1]).all()  # no group is torn apart
    assert sorted(by_group[:2, 0]) == sorted(by_group[2:, 0]) == [0, 1]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_assign_spreads_every_class_as_far_as_its_groups_allow(data):
    """Property: no bin is empty and a class with at least as many groups as bins is in two bins or
    more."""
    n_groups = data.draw(st.integers(10, 60))
    n_classes = data.draw(st.integers(2, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 8, n_groups))
    codes = np.where(
        rng.random(len(groups)) < 0.7, groups % n_classes, rng.integers(0, n_classes, len(groups))
    )
    shares = np.array(data.draw(st.sampled_from([[0.2] * 5, [0.8, 0.2], [0.5, 0.5]])))
    bins = assign(groups, codes, n_classes, shares, stream(0, "test"))
    assert set(bins) == set(range(len(shares)))
    assert pd.Series(bins).groupby(groups).nunique().max() == 1
    for c in range(n_classes):
        if len(set(groups[codes == c])) >= 2:
            assert len(set(bins[codes == c])) >= 2

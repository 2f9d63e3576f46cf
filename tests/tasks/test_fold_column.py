import pytest
from made_up import make_samples

from beyondlinear.runtime.errors import SplitError
from beyondlinear.tasks.fold_column import folds_of_column


def test_a_fold_for_each_value_in_their_order():
    samples = make_samples(list("ABABA"), batch=["two", "one", "two", " ", None])
    bins, names = folds_of_column(samples, "batch", None)
    assert bins.tolist() == [1, 0, 1, -1, -1]
    assert names == {0: "one", 1: "two"}


def test_columns_that_are_no_folds():
    samples = make_samples(["A", "B"] * 60, batch=[str(i) for i in range(120)])
    with pytest.raises(SplitError, match="has 120 values over 120 samples; are these folds"):
        folds_of_column(samples, "batch", None)
    with pytest.raises(SplitError, match="'bach' is not a column of obs.*did you mean 'batch'"):
        folds_of_column(samples, "bach", None)


def test_a_group_in_two_folds():
    samples = make_samples(list("ABAB"), ["d1", "d2", "d1", "d2"], batch=[1, 1, 2, 1])
    with pytest.raises(SplitError, match="tears 1 groups of split.group=donor apart.*s0, s2"):
        folds_of_column(samples, "batch", "donor")

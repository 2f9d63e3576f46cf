"""A loess where there are sizes enough, means below."""

import numpy as np
import pandas as pd
import pytest

from beyondlinear.report.curves import curve


def fits(sizes: list[int], accuracies: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "fraction": np.array(sizes) / 100,
            "n_outer_train": sizes,
            "balanced_accuracy": accuracies,
        }
    )


def test_means_without_a_band_below_four_sizes():
    found = curve(fits([10, 10, 20, 30], [0.5, 0.7, 0.8, 0.9]))
    assert found.n_outer_train.tolist() == [10, 20, 30]
    assert found.value.tolist() == pytest.approx([0.6, 0.8, 0.9])
    assert found.low.isna().all()


def test_a_line_is_its_own_loess():
    sizes = [10, 20, 30, 40, 50, 60, 70, 80]
    above = [0.1 + size / 100 + 0.01 for size in sizes]
    below = [0.1 + size / 100 - 0.01 for size in sizes]
    found = curve(fits(sizes * 2, above + below))
    assert len(found) == 60
    assert found.value.tolist() == pytest.approx(0.1 + found.n_outer_train / 100, abs=0.001)
    assert (found.low < found.value).all()
    assert (found.value < found.high).all()


def test_no_spread_no_band():
    found = curve(fits([10, 20, 30, 40], [1.0, 1.0, 1.0, 1.0]))
    assert (found.low == 1.0).all()
    assert (found.high == 1.0).all()

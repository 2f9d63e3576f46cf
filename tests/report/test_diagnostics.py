"""Figures of training, tuning, calibration and cost are there where records hold something."""

import numpy as np
import pandas as pd

from beyondlinear.report import diagnostics
from beyondlinear.report.statistics import Calibration


def test_the_optimum_gap_is_drawn_for_whatever_model_has_one(gathered):
    figure = diagnostics.optimum_gap(gathered)
    assert figure is not None
    assert "20 fits" in figure.caption  # of "mine": two removals, two fractions, five folds


def test_losses_by_part_and_epoch(gathered):
    fits = gathered.done[gathered.done.learner == "three_layer"].head(1)
    losses = diagnostics._losses(gathered, fits)
    assert losses.part.value_counts().to_dict() == {"train": 10, "validation": 10}
    first = losses[(losses.epoch == 1) & (losses.part == "validation")].iloc[0]
    assert first.loss == 0.7


def test_nothing_was_tuned(gathered):
    assert diagnostics.tuning(gathered) is None


def test_line_types_begin_with_the_signal_present():
    removals = pd.Series(["a", "none", "b", "a"])
    assert diagnostics._linetypes(removals) == {"none": "solid", "a": "dashed", "b": "dashdot"}


def test_bins_are_those_of_cells_with_the_signal_present():
    cells = pd.DataFrame(
        {
            "id": ["m1", "m2", "m3"],
            "panel": "data",
            "learner": ["net", "net", "other"],
            "signal_removal": ["none", "class_means", "none"],
        }
    )
    curve = Calibration(0.1, np.array([0.6, 0.9]), np.array([0.5, 0.8]), np.array([10, 20]))
    bins = diagnostics._bins(cells, {"m1": curve, "m2": curve})
    assert bins.learner.tolist() == ["net", "net"]
    assert bins.n.tolist() == [10, 20]


def test_cost_adds_up(gathered):
    figure = diagnostics.cost(gathered)
    assert figure is not None
    assert "all fits together 0.02 hours" in figure.caption  # 60 fits of a second

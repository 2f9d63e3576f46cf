"""Recall of each class and what it is confused with."""

import numpy as np
import pytest

from beyondlinear.report.classes import confusion, per_class, recall


def test_recall_is_the_diagonal_of_the_summed_confusions(gathered):
    table = per_class(gathered)
    assert len(table) == 3 * 2  # models, classes
    done = gathered.done
    mine = done[
        (done.learner == "three_layer") & (done.signal_removal == "none") & (done.fraction == 1.0)
    ]
    total = np.sum([gathered.records[key]["confusion"] for key in mine.key], axis=0)
    row = table[(table.learner == "three_layer") & (table["class"] == "class_1")].iloc[0]
    assert row.recall == pytest.approx(total[1, 1] / total[1].sum())
    assert row.predictions == total[1].sum()


def test_figures_of_classes_name_their_sample(gathered):
    for figure in (confusion(gathered), recall(gathered)):
        assert figure is not None
        assert "5 folds, seed 0; 15 fits" in figure.caption

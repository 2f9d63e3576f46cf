"""The numbers that the page's script draws."""

import pytest

from beyondlinear.report.interactive import curves


def test_lines_hold_the_means_of_each_training_size(gathered):
    found = curves(gathered)
    assert found["learners"] == {
        "mine": "#56B4E9",
        "ridge_logistic": "#0072B2",
        "three_layer": "#E69F00",
    }
    (panel,) = found["panels"]
    assert panel["naive"] == 0.5
    assert len(panel["lines"]) == 3 * 2
    done = gathered.done
    line = next(x for x in panel["lines"] if (x["learner"], x["removal"]) == ("mine", "none"))
    mine = done[(done.learner == "mine") & (done.signal_removal == "none")]
    expected = mine.groupby("fraction").balanced_accuracy.mean().tolist()
    assert line["mean"] == pytest.approx(expected, abs=1e-5)
    assert line["n"] == [5.0, 5.0]
    assert line["labels"] == ""
    assert "smooth" not in line  # two sizes

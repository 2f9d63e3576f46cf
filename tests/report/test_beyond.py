"""The ways to look for signal beyond the linear model, and what they say together."""

import numpy as np
import pandas as pd
import pytest
from made_up_reports import judged, tables_of

from beyondlinear.report.beyond import simes
from beyondlinear.report.reading import read
from beyondlinear.report.verdict import verdicts


def test_p_values_together():
    assert simes([0.04, 0.6]) == pytest.approx(0.08)  # min(2 · .04 / 1, 2 · .6 / 2)
    assert simes([0.04, 0.05]) == pytest.approx(0.05)  # min(2 · .04 / 1, 2 · .05 / 2)
    assert simes([0.3]) == pytest.approx(0.3)


def test_a_perfect_linear_model_leaves_nothing_to_ask(make_sweep, tmp_path):
    """At a balanced accuracy of .99 and above no model can be better by more than the region of
    practical equivalence."""
    options = {"n_samples": 600, "fractions": (1.0,)}
    (verdict,) = judged(read([make_sweep(tmp_path / "a", accuracy=0.998, **options)]))
    assert verdict.beyond.answer == "redundant"
    assert "so that none can be better by more than 0.01" in verdict.beyond.text
    assert len(verdict.beyond.rows) == 1
    (verdict,) = judged(read([make_sweep(tmp_path / "b", accuracy=0.97, **options)]))
    assert verdict.beyond.answer == "not asked"


def test_predicting_after_removal_is_no_finding_unless_above_the_control(make_sweep, tmp_path):
    """three_layer predicts at .8 after removal, real labels and linear ones alike; then real ones
    at .95."""
    same = read([make_sweep(tmp_path / "a", controls=5, n_samples=600, fractions=(1.0,))])
    assert judged(same)[0].beyond.answer == "none found"
    above = read(
        [make_sweep(tmp_path / "b", controls=5, n_samples=600, gain=0.15, fractions=(1.0,))]
    )
    assert judged(above)[0].beyond.answer == "yes"


@pytest.mark.parametrize(
    ("ways", "answer"),
    [
        ([0.68], "none found"),
        ([0.043], "yes"),
        ([0.68, 0.043], "open"),  # two looks at .05 each would be wrong once in ten times
        ([0.68, 0.024], "yes"),
        ([0.04, 0.049], "yes"),
        ([1 / 40, 0.9], "yes"),  # as little as 39 draws can give
    ],
)
def test_two_ways_to_look_share_one_level(make_sweep, tmp_path, ways, answer):
    reading = read([make_sweep(tmp_path, controls=5, n_samples=600, fractions=(1.0,))])
    tables = tables_of(reading)
    of_test, *of_excess = ways
    one = {
        "id": "t1",
        "panel": tables["cells"].panel.iloc[0],
        "control": "none",
        "statistic": "best",
        "verdict": "none found",
    }
    tables["tests"] = pd.DataFrame([one | {"p_value": of_test, "draws": 199}])
    tables["excess"]["p_holm"] = of_excess[0] if of_excess else np.nan
    (verdict,) = verdicts(reading, tables)
    assert verdict.beyond.answer == answer
    assert ("the two disagree" in verdict.beyond.text) == (len({p < 0.05 for p in ways}) == 2)
    if answer == "open":
        assert (
            "whether there is signal that the linear model cannot use stays open"
            in verdict.beyond.text
        )
        assert "p = 0.086 for both" in verdict.beyond.text

"""The words of sentences."""

import pandas as pd

from beyondlinear.report.sentences import counted, of_panel, signed


def test_numbers_and_nouns():
    assert counted(1, "fold") == "1 fold"
    assert counted(2000, "fit") == "2,000 fits"
    assert signed(0.0125) == "+0.013"
    assert signed(-0.0284) == "−0.028"  # a minus sign, not a hyphen


def test_rows_of_a_panel_and_of_an_empty_table():
    table = pd.DataFrame({"panel": ["a", "b"], "value": [1, 2]})
    assert of_panel(table, "b").value.tolist() == [2]
    assert of_panel(pd.DataFrame(), "b").empty

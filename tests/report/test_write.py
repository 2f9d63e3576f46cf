"""A folder of figures, tables and a page."""

import pandas as pd
import pytest

from beyondlinear.report import write as writing
from beyondlinear.report.drawing import Figure
from beyondlinear.runtime.errors import ResultsError


def test_a_figure_that_cannot_be_drawn_costs_itself_alone(tmp_path):
    def fail():
        raise ValueError("no points")

    said: list[str] = []
    problems: list = []
    figure = Figure("cost", "Time and cost", "", fail)
    assert writing._draw([figure], tmp_path, problems, said.append) == []
    assert problems[0].text == (
        "the figure 'Time and cost' could not be drawn (ValueError: no points)"
    )
    assert said == [problems[0].text]


def test_the_page_leaves_out_what_is_the_same_in_all():
    table = pd.DataFrame({"panel": ["a"], "reference_in_words": ["x"], "n": [1]})
    assert list(writing._for_page(table, n_panels=1)) == ["n"]
    assert list(writing._for_page(table, n_panels=2)) == ["panel", "n"]


def test_the_main_figure_is_the_comparison_where_there_is_one_size(make_sweep, tmp_path):
    from beyondlinear.report.reading import read

    gathered = read([make_sweep(tmp_path, fractions=(1.0,))])
    tables, reliability = writing._tables(gathered)
    names = [figure.name for figure in writing._figures(gathered, tables, reliability)]
    assert names[:2] == ["before_after", "learning_curve"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ResultsError, match="cannot be written"):
        writing._write_tables({"fits": pd.DataFrame()}, tmp_path / "out")

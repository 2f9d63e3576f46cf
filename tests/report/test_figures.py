"""The main figures: what is drawn, and in which colours."""

from beyondlinear.report.cells import cells
from beyondlinear.report.figures import before_after, learning_curve
from beyondlinear.report.model_kinds import colours


def test_the_learning_curve_says_what_its_lines_are(gathered):
    figure = learning_curve(gathered)
    assert figure is not None
    assert "dashed: after removal (class_means)" in figure.caption
    assert "means by training size (fewer than 4 sizes, so no loess)" in figure.caption
    assert "5 folds, seed 0; 60 fits" in figure.caption


def test_colours_are_the_same_in_all_figures_and_by_kind(gathered):
    palette = gathered.palette(gathered.done)
    assert palette == colours(gathered.done)
    assert palette["ridge_logistic"] == "#0072B2"
    assert palette["three_layer"] == "#E69F00"
    assert palette["mine"] == "#56B4E9"  # a linear model, by what its records state
    scale = next(s for s in learning_curve(gathered).draw().scales if "color" in s.aesthetics)
    assert scale.palette(3) == palette


def test_before_and_after_needs_a_removal(gathered):
    table = cells(gathered)[0]
    assert before_after(gathered, table[table.signal_removal == "none"]) is None
    figure = before_after(gathered, table)
    assert figure is not None
    assert "Triangles" not in figure.caption  # no linear labels were run

"""What figures say that they are of."""

import pandas as pd
from made_up_reports import fits

from beyondlinear.report.drawing import in_panels, largest, n_rows, plain, sample


def test_the_sample_is_said_in_words():
    table = fits(fold=[0, 1], n_outer_train=[80.0, 79.0], seed=[0, 0])
    assert sample(table) == "n = 79–80 training and 20 test samples a fit; 2 folds, seed 0; 2 fits"


def test_fits_with_real_labels_at_the_largest_fraction_of_their_panel():
    table = fits(
        panel=["a", "a", "b", "b"],
        fraction=[0.5, 1.0, 0.5, 1.0],
        control=["none", "none", "none", "linear_labels"],
    )
    found = largest(table)
    assert list(zip(found.panel, found.fraction, strict=True)) == [("a", 1.0), ("b", 0.5)]


def test_the_first_panels_are_drawn_with_their_names_wrapped():
    long = "a name that is wider than the thirty-four characters of a panel"
    shown, n_panels = in_panels(pd.DataFrame({"panel": [long, "$x$", "z"]}), most=2)
    assert n_panels == 2
    assert shown.panel.tolist() == [
        "a name that is wider than the\nthirty-four characters of a panel",
        r"\$x\$",
    ]


def test_rows_of_panels():
    assert [n_rows(n, 3) for n in (1, 3, 4)] == [1, 1, 2]
    assert plain("a$b") == r"a\$b"

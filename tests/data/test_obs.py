"""Metadata columns as words."""

import numpy as np
import pandas as pd
import pytest

from beyondlinear.data.obs import as_words, word


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.0, "1"), (np.float32(2), "2"), (1.5, "1.5"), (3, "3"), (" Lung ", "Lung"), (True, "True")],
)
def test_a_value_as_a_word(value, expected):
    assert word(value) == expected


def test_whole_numbers_read_the_same_as_integers_and_as_floats_and_blanks_are_missing():
    assert as_words(pd.Series([1, 2])).tolist() == ["1", "2"]
    words = as_words(pd.Series([1.0, np.nan]))
    assert words[0] == "1"
    assert words.isna().tolist() == [False, True]
    assert as_words(pd.Series(["a", " ", None])).isna().tolist() == [False, True, True]

"""Metadata columns as words."""

import numpy as np
import pandas as pd


def word(value: object) -> str:
    """A class as a word; 1.0 reads "1", since a whole-number column turns to floats once a value is
    missing."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip()


def as_words(column: pd.Series) -> pd.Series:
    """Values as words, blank ones as missing; whole numbers read the same whether stored as
    integers or floats."""
    words = column.astype(object).map(word, na_action="ignore")
    return words.mask(words == "")

"""Sentences to quote, each with the rows of the tables that it stands on."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import pandas as pd

LEVEL = 0.05

Answer: TypeAlias = Literal["yes", "no", "none found", "open", "not asked", "redundant"]
Tables: TypeAlias = dict[str, pd.DataFrame]  # cells, comparisons, excess, tests


@dataclass(frozen=True)
class Sentence:
    """A sentence to quote, the answer in it and the ids of the rows that it stands on."""

    answer: Answer
    text: str
    rows: tuple[str, ...] = ()


def of_panel(table: pd.DataFrame, panel: str) -> pd.DataFrame:
    """The rows of one panel; a table without rows has no columns either."""
    return table[table.panel == panel] if len(table) else table


def counted(n: int, noun: str) -> str:
    """
    >>> counted(1, "fold")
    '1 fold'
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def signed(value: float) -> str:
    """
    >>> signed(-0.0284)
    '−0.028'
    """
    return f"{value:+.3f}".replace("-", "−")

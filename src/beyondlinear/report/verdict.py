"""What the evidence lets one say, in three sentences a panel, each with the rows of the tables that
it stands on.

Whether a non-linear model is warranted is a comparison with the certified linear model with the
signal present. Whether there is signal that the linear model cannot use is told by the
residual-prediction test and by the excess over labels that are linear by construction; that a model
predicts after removal is never told as such.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from beyondlinear.report.beyond import beyond
from beyondlinear.report.reading import GatheredFits
from beyondlinear.report.sentences import LEVEL, Sentence, Tables, counted, of_panel, signed
from beyondlinear.report.statistics import ROPE

# association of group and label from which held-out groups say little (0: none, 1: complete)
_STRONG_CONFOUNDING = 0.5
_SMALLEST_WIDTH = 0.0005  # half an interval; below, three digits would show .000


@dataclass(frozen=True)
class PanelVerdict:
    """warranted: is a non-linear model better than the certified linear one; beyond: is there
    signal that the linear model cannot use; limits: how far the evidence goes."""

    panel: str
    warranted: Sentence
    beyond: Sentence
    limits: Sentence

    @property
    def sentences(self) -> list[Sentence]:
        return [self.warranted, self.beyond, self.limits]


def verdicts(gathered: GatheredFits, tables: Tables) -> list[PanelVerdict]:
    """One a panel.

    :param tables: "cells" as cells.py makes it, "comparisons" as comparisons.py does, "excess" and
        "tests" as signal_tests.py does
    """
    panels = set(tables["cells"].panel)
    if len(tables["tests"]):
        panels |= set(tables["tests"].panel)
    return [
        PanelVerdict(
            panel,
            _warranted(panel, tables),
            beyond(panel, gathered, tables),
            _limits(panel, gathered, tables),
        )
        for panel in sorted(panels)
    ]


def _non_linear(panel: str, tables: Tables) -> pd.DataFrame:
    """The comparisons of a panel that could warrant a non-linear model."""
    rows = of_panel(tables["comparisons"], panel)
    return rows[~rows.linear] if len(rows) else rows


def _warranted(panel: str, tables: Tables) -> Sentence:
    rows = _non_linear(panel, tables)
    if rows.empty:
        text = (
            "whether a non-linear model is warranted was not asked: there is no other model beside"
            " a certified linear one."
        )
        return Sentence("not asked", f"{panel}: {text}")
    best = rows.loc[rows.difference.idxmax()]
    if np.isnan(best.low):
        text = f"{_difference(best)}; one fold, so no interval can be given)."
        return Sentence("open", f"{panel}: {text}", (best.id,))

    ids = tuple(rows.id)
    clearly_better = rows[(rows.p_holm < LEVEL) & (rows.difference > 0) & (rows.better > 1 - LEVEL)]
    if len(clearly_better):
        first = clearly_better.loc[clearly_better.difference.idxmax()]
        text = f"a non-linear model is warranted: {_difference_and_interval(first)}."
        return Sentence("yes", f"{panel}: {text}", ids)
    if (rows.better < LEVEL).all():
        text = (
            "no non-linear model is warranted: none is likely to be better in practice; at best,"
            f" {_difference_and_interval(best)}."
        )
        return Sentence("no", f"{panel}: {text}", ids)
    text = (
        "whether a non-linear model is warranted stays open: neither a gain nor its absence is"
        f" shown; {_difference_and_interval(best)}."
    )
    return Sentence("open", f"{panel}: {text}", ids)


def _difference(row: pd.Series) -> str:
    """The bracket stays open for what follows."""
    return (
        f"{row.learner} reached a balanced accuracy of {row.balanced_accuracy:.3f} against"
        f" {row.of_reference:.3f} of {row.reference_in_words} (difference {signed(row.difference)}"
    )


def _difference_and_interval(row: pd.Series) -> str:
    return (
        f"{_difference(row)}, 95 % interval {signed(row.low)} to {signed(row.high)}, p ="
        f" {row.p_holm:.3f} after Holm over all comparisons, probability of being better by more"
        f" than {ROPE:g}: {row.better:.2f})"
    )


def _limits(panel: str, gathered: GatheredFits, tables: Tables) -> Sentence:
    fits = of_panel(gathered.fits, panel)
    done = of_panel(gathered.done, panel)
    if done.empty:
        text = "no fit is done, so that only the test above can be read."
        return Sentence("open", f"{panel}: {text}")
    data = gathered.records[done.key.iloc[0]].get("data", {})
    clauses = [
        f"this rests on {data.get('n_samples', 0):,} samples in {data.get('n_groups', 0):,} groups,"
        f" {counted(done.fold.nunique(), 'fold')} and {counted(done.seed.nunique(), 'seed')}"
    ]
    cells = of_panel(tables["cells"], panel)
    with_signal = cells.signal_removal == "none"
    ids = list(cells[with_signal & (cells.fraction == cells.fraction.max())].id)

    comparisons = _non_linear(panel, tables)
    smallest = _smallest_difference(comparisons)
    if smallest:
        clauses.append(
            f"differences below about {smallest} in balanced accuracy could not have been told from"
            " none"
        )
        ids += list(comparisons.id)
    lost = int((fits.status != "done").sum())
    if lost:
        clauses.append(f"{lost:,} of {len(fits):,} fits have no result")
    leaks = gathered.leaks(done)
    if leaks:
        clauses.append(f"THE AUDIT FOUND A LEAK IN {leaks:,} FITS")
    confounding = data.get("confounding")
    cramers_v = None if confounding is None else confounding.get("cramers_v_corrected")
    if cramers_v is not None and cramers_v > _STRONG_CONFOUNDING:
        clauses.append(
            f"group and label go together (Cramér's V {cramers_v:.2f}), which limits what held-out"
            " groups can show"
        )
    clauses.append(
        "it holds for new groups drawn like these, not for other laboratories or platforms"
    )
    return Sentence("no" if leaks else "open", f"{panel}: {'; '.join(clauses)}.", tuple(ids))


def _smallest_difference(comparisons: pd.DataFrame) -> str:
    """Half the width of the intervals, "0.012" or "0.012 to 0.030, by model,"; "" where unknown."""
    if comparisons.empty:
        return ""
    half_widths = (comparisons.high - comparisons.low) / 2
    smallest, largest = half_widths.min(), half_widths.max()
    if not largest >= _SMALLEST_WIDTH:
        return ""
    if largest - smallest < 0.001:
        return f"{smallest:.3f}"
    return f"{smallest:.3f} to {largest:.3f}, by model,"

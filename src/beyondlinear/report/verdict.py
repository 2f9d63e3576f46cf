"""What the evidence lets one say, in three sentences a panel, each with the rows of the tables that it stands on.

Whether a non-linear model is warranted is a comparison with the certified linear model with the signal present. Whether there
is signal that the linear model cannot use is told by the residual-prediction test and by the excess over labels that are linear
by construction; that a model predicts after removal is never told as such.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from beyondlinear.report.reading import Reading
from beyondlinear.report.statistics import ROPE
from beyondlinear.report.summaries import LINEAR, OPTIMUM, certified

LEVEL = 0.05
# which linear model it is: one that was trained at its optimum, or the optimum beside one that was trained like a net
_REFERENCE = {False: "the certified linear model", True: "the certified optimum of logistic regression"}

Answer = Literal["yes", "no", "none found", "open", "not asked", "redundant"]


@dataclass(frozen=True)
class Sentence:
    """A sentence to quote, the answer in it and the ids of the rows that it stands on."""

    answer: Answer
    text: str
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """warranted: is a non-linear model better than the certified linear one; beyond: is there signal that the linear model
    cannot use; limits: how far the evidence goes."""

    panel: str
    warranted: Sentence
    beyond: Sentence
    limits: Sentence

    @property
    def sentences(self) -> list[Sentence]:
        return [self.warranted, self.beyond, self.limits]


Tables = dict[str, pd.DataFrame]


def verdicts(reading: Reading, tables: Tables) -> list[Verdict]:
    """One a panel, tables as `summaries` makes them: cells, comparisons, excess, tests."""
    panels = sorted({*tables["cells"].panel, *(tables["tests"].panel if len(tables["tests"]) else ())})
    return [
        Verdict(panel, _warranted(panel, tables), _beyond(panel, reading, tables), _limits(panel, reading, tables))
        for panel in panels
    ]


def _of(table: pd.DataFrame, panel: str) -> pd.DataFrame:
    return table[table.panel == panel] if len(table) else table


def _warranted(panel: str, tables: Tables) -> Sentence:
    rows = _of(tables["comparisons"], panel)
    rows = rows[~rows.model.isin(LINEAR)] if len(rows) else rows
    if rows.empty:
        text = "whether a non-linear model is warranted was not asked: there is no other model beside a certified linear one."
        return Sentence("not asked", f"{panel}: {text}")
    best, ids = rows.loc[rows.difference.idxmax()], tuple(rows.id)
    if np.isnan(best.low):
        return Sentence("open", f"{panel}: {_numbers(best)}; one fold, so no interval can be given).", (best.id,))
    clear = rows[(rows.p_holm < LEVEL) & (rows.difference > 0) & (rows.better > 1 - LEVEL)]
    if len(clear):
        text = f"a non-linear model is warranted: {_whole(clear.loc[clear.difference.idxmax()])}."
        return Sentence("yes", f"{panel}: {text}", ids)
    if (rows.better < LEVEL).all():
        text = f"no non-linear model is warranted: none is likely to be better in practice; at best, {_whole(best)}."
        return Sentence("no", f"{panel}: {text}", ids)
    text = (
        f"whether a non-linear model is warranted stays open: neither a gain nor its absence is shown; {_whole(best)}."
    )
    return Sentence("open", f"{panel}: {text}", ids)


def _numbers(row: pd.Series) -> str:
    return (
        f"{row.learner} reached a balanced accuracy of {row.balanced_accuracy:.3f} against {row.of_reference:.3f} of "
        f"{_REFERENCE[row.reference == OPTIMUM]} (difference {signed(row.difference)}"
    )


def _whole(row: pd.Series) -> str:
    return (
        f"{_numbers(row)}, 95 % interval {signed(row.low)} to {signed(row.high)}, p = {row.p_holm:.3f} after Holm over all "
        f"comparisons, probability of being better by more than {ROPE:g}: {row.better:.2f})"
    )


def _beyond(panel: str, reading: Reading, tables: Tables) -> Sentence:
    tests, excess = _of(tables["tests"], panel), _of(tables["excess"], panel)
    tests = tests[tests.control.isin(["none", None])] if len(tests) else tests
    shown = excess[excess.p_holm.notna()] if len(excess) else excess
    parts, ids = [], []
    redundant, ways = False, []  # the p-value of each way in which signal was looked for
    if len(tests):
        said = tests[tests.statistic.isin(["best", "none"])]
        ids += list(said.id)
        if (said.verdict == "redundant").any():
            row = said[said.verdict == "redundant"].iloc[0]
            redundant = True
            parts.append(
                f"the certified linear model leaves nothing to use (out-of-fold log-loss {row.linear_log_loss:.4f}, of a "
                f"constant {row.constant_log_loss:.3f})"
            )
        else:
            row = said.loc[said.p_value.idxmin()]
            p = min(1.0, row.p_value * len(said))  # one test a seed
            ways.append(p)
            parts.append(
                f"the residual-prediction test {'finds' if p < LEVEL else 'finds no'} signal that the certified linear model "
                f"cannot use (p = {p:.3f}, {row.draws:.0f} bootstrap draws)"
            )
    if len(shown):
        best = shown.loc[shown.p_holm.idxmin()]
        ids += list(shown.id)
        ways.append(float(best.p_holm))
        parts.append(
            f"after signal removal {'a' if best.p_holm < LEVEL else 'no'} model exceeds labels that are linear by "
            f"construction "
            f"({best.model} after {best.signal_removal}: {best.real:.3f} against {best.control:.3f} of "
            f"{best.draws:.0f} draws, "
            f"excess {signed(best.excess)}, 95 % interval {signed(best.low)} to {signed(best.high)}, p = "
            f"{best.p_holm:.3f} after Holm)"
        )
    elif len(excess):
        parts.append(
            "labels that are linear by construction give no contrast here, or one draw only, so they decide nothing"
        )
        ids += list(excess.id)
    asked = redundant or bool(ways)
    perfect = _perfect(panel, reading, tables) if not asked else None
    if perfect is not None:
        return Sentence(
            "redundant", f"{panel}: {'; '.join([perfect.text, *parts])}.", tuple(dict.fromkeys([*perfect.rows, *ids]))
        )
    if not asked:
        text = "whether there is signal that a linear model cannot use cannot be told: "
        text += f"{parts[0] + ', and ' if parts else ''}the residual-prediction test was not made"
        text += "" if parts else ", nor was control=linear_labels run beside a removal"
        return Sentence(
            "not asked", f"{panel}: {text}; that a model predicts after removal does not show it.", tuple(ids)
        )
    answer = _found(ways, redundant)
    if answer == "yes" and max(ways) >= LEVEL:
        parts.append("the two disagree, so take the finding with care")
    if answer == "open":
        parts.append(
            f"the two disagree, and together they do not reach {LEVEL} (p = {_together(ways):.3f} for both, Simes)"
        )
    lead = {
        "yes": "there is signal that the linear model cannot use",
        "open": "whether there is signal that the linear model cannot use stays open",
        "none found": "no signal was found that the linear model cannot use, which does not prove that there is none",
        "redundant": "nothing is left that another model could use",
    }[answer]
    return Sentence(answer, f"{panel}: {lead}: {'; '.join(parts)}.", tuple(ids))


def _found(ways: list[float], redundant: bool) -> Answer:
    if ways and _together(ways) <= LEVEL:  # of 39 draws none as extreme: 1/40, looked at twice
        return "yes"
    if ways and min(ways) < LEVEL:
        return "open"
    return "redundant" if redundant else "none found"


def _together(ways: list[float]) -> float:
    """The p-value of all ways to look together (Simes 1986): who looks twice finds something by chance more often.

    >>> _together([0.04, 0.6]), _together([0.04, 0.04])
    (0.08, 0.04)
    """
    return min(len(ways) * p / i for i, p in enumerate(sorted(ways), 1))


def _perfect(panel: str, reading: Reading, tables: Tables) -> Sentence | None:
    """Whether the certified linear model is right on so nearly all held-out samples that none can be better in practice."""
    done = reading.done
    fits = done[(done.panel == panel) & (done.signal_removal == "none") & (done.control == "none")]
    fits = fits[fits.fraction == fits.fraction.max()]
    reference, name = certified(fits)
    if reference is None or not reference.value.mean() >= 1 - ROPE:
        return None
    learner = fits.learner[fits.model == "logistic_regression"].mode()[0] if name == OPTIMUM else name
    of = _of(tables["cells"], panel)
    of = of[(of.learner == learner) & (of.signal_removal == "none") & (of.control == "none")]
    text = (
        f"nothing is left that another model could use: {_REFERENCE[name == OPTIMUM]} reaches a balanced accuracy of "
    )
    text += f"{reference.value.mean():.3f} on held-out samples, so that none can be better by more than {ROPE:g}; the "
    text += "residual-prediction test was not made"
    return Sentence("redundant", text, tuple(of[of.fraction == fits.fraction.max()].id))


def _limits(panel: str, reading: Reading, tables: Tables) -> Sentence:
    cells, rows = _of(tables["cells"], panel), _of(tables["comparisons"], panel)
    fits = reading.fits[reading.fits.panel == panel] if len(reading.fits) else reading.fits
    done = fits[(fits.status == "done")] if len(fits) else fits
    if done.empty:
        return Sentence("open", f"{panel}: no fit is done, so that only the test above can be read.")
    data: dict[str, Any] = reading.records[done.key.iloc[0]].get("data", {})
    text = (
        f"this rests on {data.get('n_samples', 0):,} samples in {data.get('n_groups', 0):,} groups, "
        f"{counted(done.fold.nunique(), 'fold')} and {counted(done.seed.nunique(), 'seed')}"
    )
    ids = list(cells[(cells.signal_removal == "none") & (cells.fraction == cells.fraction.max())].id)
    rows = rows[~rows.model.isin(LINEAR)] if len(rows) else rows
    widths = (rows.high - rows.low) / 2 if len(rows) else pd.Series(dtype=float)
    if widths.max() >= 0.0005:
        span = f"{widths.min():.3f}" + (
            f" to {widths.max():.3f}, by model," if widths.max() - widths.min() >= 0.001 else ""
        )
        text += f"; differences below about {span} in balanced accuracy could not have been told from none"
        ids += list(rows.id)
    lost = int((fits.status != "done").sum())
    text += f"; {lost:,} of {len(fits):,} fits have no result" if lost else ""
    leaks = sum(any(f.get("severity") == "leak" for f in reading.records[k].get("audit") or []) for k in done.key)
    text += f"; THE AUDIT FOUND A LEAK IN {leaks:,} FITS" if leaks else ""
    v = (data.get("confounding") or {}).get("cramers_v_corrected")
    text += (
        f"; group and label go together (Cramér's V {v:.2f}), which limits what held-out groups can show"
        if v and v > 0.5
        else ""
    )
    text += "; it holds for new groups drawn like these, not for other laboratories or platforms"
    return Sentence("open" if not leaks else "no", f"{panel}: {text}.", tuple(ids))


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

"""Is there signal that the linear model cannot use? What the residual-prediction test and labels
that are linear by construction let one say, together."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from beyondlinear.report.comparisons import at_largest_fraction, certified_reference
from beyondlinear.report.reading import GatheredFits
from beyondlinear.report.sentences import LEVEL, Answer, Sentence, Tables, of_panel, signed
from beyondlinear.report.statistics import ROPE

_LEADS: dict[Answer, str] = {
    "yes": "there is signal that the linear model cannot use",
    "open": "whether there is signal that the linear model cannot use stays open",
    "none found": (
        "no signal was found that the linear model cannot use, which does not prove that there is"
        " none"
    ),
    "redundant": "nothing is left that another model could use",
}


@dataclass(frozen=True)
class Evidence:
    """What one way to look for signal says.

    text: part of a sentence; rows: ids of the rows that it stands on; p_value: None where it
    decides nothing; nothing_left: whether the linear model explains all that there is.
    """

    text: str
    rows: tuple[str, ...]
    p_value: float | None = None
    nothing_left: bool = False


def beyond(panel: str, gathered: GatheredFits, tables: Tables) -> Sentence:
    """:param tables: as `verdict.verdicts` takes them"""
    of_test = _of_residual_test(of_panel(tables["tests"], panel))
    of_labels = _of_linear_labels(of_panel(tables["excess"], panel))
    evidence = [found for found in (of_test, of_labels) if found is not None]
    p_values = [found.p_value for found in evidence if found.p_value is not None]
    nothing_left = any(found.nothing_left for found in evidence)
    if not p_values and not nothing_left:
        return _not_asked(panel, gathered, tables, evidence)

    answer = _answer(p_values, nothing_left)
    texts = [found.text for found in evidence]
    if answer == "yes" and max(p_values) >= LEVEL:
        texts.append("the two disagree, so take the finding with care")
    if answer == "open":
        texts.append(
            f"the two disagree, and together they do not reach {LEVEL} (p ="
            f" {simes(p_values):.3f} for both, Simes)"
        )
    return Sentence(answer, f"{panel}: {_LEADS[answer]}: {'; '.join(texts)}.", _rows(evidence))


def _rows(evidence: Sequence[Evidence]) -> tuple[str, ...]:
    return tuple(row for found in evidence for row in found.rows)


def _of_residual_test(tests: pd.DataFrame) -> Evidence | None:
    """What the residual-prediction tests of a panel say; None where there is none of the real
    labels."""
    if len(tests):
        tests = tests[tests.control.isin(["none", None])]
    if tests.empty:
        return None
    overall = tests[tests.statistic.isin(["best", "none"])]  # one a seed
    rows = tuple(overall.id)
    redundant = overall[overall.verdict == "redundant"]
    if len(redundant):
        test = redundant.iloc[0]
        text = (
            "the certified linear model leaves nothing to use (out-of-fold log-loss"
            f" {test.linear_log_loss:.4f}, of a constant {test.constant_log_loss:.3f})"
        )
        return Evidence(text, rows, nothing_left=True)
    test = overall.loc[overall.p_value.idxmin()]
    p_value = min(1.0, float(test.p_value) * len(overall))  # Bonferroni, over the tests of seeds
    finds = "finds" if p_value < LEVEL else "finds no"
    text = (
        f"the residual-prediction test {finds} signal that the certified linear model cannot use"
        f" (p = {p_value:.3f}, {test.draws:.0f} bootstrap draws)"
    )
    return Evidence(text, rows, p_value)


def _of_linear_labels(excess: pd.DataFrame) -> Evidence | None:
    """What a comparison with labels that are linear by construction says; None where it was not
    made."""
    if excess.empty:
        return None
    could_show_signal = excess[excess.p_holm.notna()]
    if could_show_signal.empty:
        text = (
            "labels that are linear by construction give no contrast here, or one draw only, so"
            " they decide nothing"
        )
        return Evidence(text, tuple(excess.id))
    best = could_show_signal.loc[could_show_signal.p_holm.idxmin()]
    p_value = float(best.p_holm)
    text = (
        f"after signal removal {'a' if p_value < LEVEL else 'no'} model exceeds labels that are"
        f" linear by construction ({best.model} after {best.signal_removal}: {best.real:.3f}"
        f" against {best.control:.3f} of {best.draws:.0f} draws, excess {signed(best.excess)}, 95 %"
        f" interval {signed(best.low)} to {signed(best.high)}, p = {p_value:.3f} after Holm)"
    )
    return Evidence(text, tuple(could_show_signal.id), p_value)


def _answer(p_values: Sequence[float], nothing_left: bool) -> Answer:
    """The ways to look share one level, since who looks twice finds something by chance more
    often."""
    # "at most": of 39 draws none as extreme gives 1/40, which counts when looked at twice
    if p_values and simes(p_values) <= LEVEL:
        return "yes"
    if p_values and min(p_values) < LEVEL:
        return "open"
    return "redundant" if nothing_left else "none found"


def simes(p_values: Sequence[float]) -> float:
    """The p-value of several ways to look, together: min over i of n · p₍ᵢ₎ / i, with p₍ᵢ₎ the
    i-th smallest of n (Simes 1986, Biometrika 73:751).

    >>> simes([0.04, 0.6]), simes([0.04, 0.04])
    (0.08, 0.04)
    """
    n = len(p_values)
    return min(n * p / i for i, p in enumerate(sorted(p_values), 1))


def _not_asked(
    panel: str, gathered: GatheredFits, tables: Tables, evidence: Sequence[Evidence]
) -> Sentence:
    """No way to look gave an answer; only a linear model that is right on nearly all samples
    leaves no question."""
    perfect = _perfect(panel, gathered, tables)
    if perfect is not None:
        texts = [perfect.text, *[found.text for found in evidence]]
        rows = dict.fromkeys([*perfect.rows, *_rows(evidence)])
        return Sentence("redundant", f"{panel}: {'; '.join(texts)}.", tuple(rows))
    if evidence:
        why = f"{evidence[0].text}, and the residual-prediction test was not made"
    else:
        why = (
            "the residual-prediction test was not made, nor was control=linear_labels run beside a"
            " removal"
        )
    text = (
        f"whether there is signal that a linear model cannot use cannot be told: {why}; that a"
        " model predicts after removal does not show it."
    )
    return Sentence("not asked", f"{panel}: {text}", _rows(evidence))


def _perfect(panel: str, gathered: GatheredFits, tables: Tables) -> Evidence | None:
    """Whether the certified linear model is right on so nearly all held-out samples that none can
    be better in practice."""
    done = of_panel(gathered.done, panel)
    if done.empty:
        return None
    fits = at_largest_fraction(done[(done.signal_removal == "none") & (done.control == "none")])
    reference = certified_reference(fits)
    if reference is None:
        return None
    accuracy = float(reference.values.value.mean())
    if not accuracy >= 1 - ROPE:
        return None
    cells = of_panel(tables["cells"], panel)
    cells = cells[
        (cells.learner == reference.learner)
        & (cells.signal_removal == "none")
        & (cells.control == "none")
        & (cells.fraction == fits.fraction.max())
    ]
    text = (
        f"nothing is left that another model could use: {reference.in_words} reaches a balanced"
        f" accuracy of {accuracy:.3f} on held-out samples, so that none can be better by more than"
        f" {ROPE:g}; the residual-prediction test was not made"
    )
    return Evidence(text, tuple(cells.id))

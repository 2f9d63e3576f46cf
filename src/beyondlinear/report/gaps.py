"""What a report must say is not there: fits without a result, cells that the grid lacks, too few
folds or seeds to judge by."""

import itertools

import pandas as pd

from beyondlinear.report.comparisons import at_largest_fraction, certified_reference
from beyondlinear.report.reading import GatheredFits, ReadingProblem

_MOST_CELLS = 40  # of a panel that are named
_GRID = ["learner", "signal_removal", "control", "seed", "fold", "fraction"]


def find_gaps(gathered: GatheredFits) -> list[ReadingProblem]:
    """Everything that is known to be missing, the gravest first."""
    fits = gathered.fits
    if fits.empty:
        text = "there are no fits here: no model, interval or comparison is shown"
        return [*gathered.problems, ReadingProblem("limit", text)]
    found = [*gathered.problems, *_without_result(fits)]
    for panel, group in fits.groupby("panel", sort=True):
        found += _never_run(str(panel), group)
    return found + _limits(gathered)


def _without_result(fits: pd.DataFrame) -> list[ReadingProblem]:
    found = []
    lost = fits[fits.status != "done"]
    statuses, reasons = lost.status.fillna("missing"), lost.reason.fillna("")
    for (status, reason), group in lost.groupby([statuses, reasons], sort=False):
        text = (
            f"{'; '.join(sorted(set(group.panel)))}: {', '.join(sorted(set(group.learner)))};"
            f" removal {', '.join(sorted(set(group.signal_removal)))}; folds"
            f" {', '.join(str(fold) for fold in sorted(set(group.fold.dropna())))}"
        )
        if not reason and status == "missing":
            reason = "listed by a run, but there is no record"
        if reason:
            text += f". {reason}"
        found.append(ReadingProblem(str(status), text, len(group)))
    return found


def _never_run(panel: str, fits: pd.DataFrame) -> list[ReadingProblem]:
    """Combinations of what occurs in a panel that were never run."""
    levels = [sorted(fits[column].dropna().unique().tolist()) for column in _GRID]
    repeats_of_cell = len(levels[3]) * len(levels[4]) * len(levels[5])  # seeds, folds, fractions
    there = set(fits[_GRID].itertuples(index=False, name=None))
    absent: dict[tuple[str, str, str], list[str]] = {}
    for combination in itertools.product(*levels):
        if combination in there:
            continue
        learner, removal, control, seed, fold, fraction = combination
        repeat = f"seed {seed:g}, fold {fold:g}, fraction {fraction:g}"
        absent.setdefault((learner, removal, control), []).append(repeat)

    found = []
    for (learner, removal, control), repeats in list(absent.items())[:_MOST_CELLS]:
        if len(repeats) == repeats_of_cell:
            what = "no fit at all"
        else:
            what = f"no fit for {'; '.join(repeats[:3])}{' …' if len(repeats) > 3 else ''}"
        text = f"{panel}: {learner}, removal {removal}, control {control}: {what}"
        found.append(ReadingProblem("gap", text, len(repeats)))
    if len(absent) > _MOST_CELLS:
        text = f"{panel}: and {len(absent) - _MOST_CELLS} cells more"
        found.append(ReadingProblem("gap", text))
    return found


def _limits(gathered: GatheredFits) -> list[ReadingProblem]:
    done = gathered.done
    if done.empty:
        text = "no fit is done: there is nothing to draw or to compare"
        return [ReadingProblem("limit", text)]
    texts = []
    for panel, group in done.groupby("panel", sort=True):
        texts += [f"{panel}: {text}" for text in _limits_of_panel(gathered, group)]
    return [ReadingProblem("limit", text) for text in texts]


def _limits_of_panel(gathered: GatheredFits, done: pd.DataFrame) -> list[str]:
    real = done[done.control == "none"]
    texts = []
    if done.fold.nunique() < 2:
        texts.append("one fold, so that no interval of a difference can be given")
    if done.seed.nunique() < 2:
        texts.append("one seed; another seed would draw other folds and other initial weights")
    silent = _do_not_state_their_kind(gathered, done)
    if silent:
        texts.append(
            f"the records of {', '.join(silent)} do not say whether the model is linear; it is"
            " treated as not linear"
        )
    if certified_reference(at_largest_fraction(real[real.signal_removal == "none"])) is None:
        texts.append(
            "no linear model at a certified optimum (model=ridge_logistic) to compare other models"
            " with"
        )
    if real.linear.all():
        texts.append("linear models alone; whether another model does better is not asked")
    if (real.signal_removal != "none").any() and not (done.control == "linear_labels").any():
        texts.append(
            "signal removal without control=linear_labels: a model above the baseline after removal"
            " shows nothing"
        )
    if not _is_tested(gathered, real):
        texts.append("no residual-prediction test of these data (experiment=residual_test)")
    return texts


def _do_not_state_their_kind(gathered: GatheredFits, done: pd.DataFrame) -> list[str]:
    """Models of which a record lacks what the model says about itself."""
    silent = {fit.model for fit in done.itertuples() if "model" not in gathered.records[fit.key]}
    return sorted(silent)


def _is_tested(gathered: GatheredFits, fits: pd.DataFrame) -> bool:
    """Whether a residual-prediction test was made on the data of these fits."""
    tested = {test["data"].get("fingerprint") for test in gathered.tests}
    fingerprints = {
        (gathered.records[key].get("data") or {}).get("fingerprint") for key in fits.key
    }
    return bool(fingerprints & tested)

"""What a report must say is not there: fits without a result, cells that the grid lacks, too few folds or seeds to judge by."""

import itertools

import pandas as pd

from beyondlinear.report.reading import Problem, Reading
from beyondlinear.report.summaries import CERTIFIED, LINEAR

_SHOWN = 40


def find_gaps(reading: Reading) -> list[Problem]:
    """Everything that is known to be missing, the gravest first."""
    fits = reading.fits
    if fits.empty:
        return [
            *reading.problems,
            Problem("limit", "there are no fits here: no model, interval or comparison is shown"),
        ]
    return [*reading.problems, *_without_result(fits), *_grid(fits), *_limits(reading)]


def _without_result(fits: pd.DataFrame) -> list[Problem]:
    found = []
    lost = fits[fits.status != "done"]
    for (status, reason), group in lost.groupby([lost.status.fillna("missing"), lost.reason.fillna("")], sort=False):
        models, panels = ", ".join(sorted(set(group.learner))), "; ".join(sorted(set(group.panel)))
        folds = ", ".join(f"{f}" for f in sorted(set(group.fold.dropna())))
        why = reason or ("listed by a run, but there is no record" if status == "missing" else "")
        text = f"{panels}: {models}; removal {', '.join(sorted(set(group.signal_removal)))}; folds {folds}"
        found.append(Problem(str(status), f"{text}{'. ' + why if why else ''}", len(group)))
    return found


def _grid(fits: pd.DataFrame) -> list[Problem]:
    """Combinations of what occurs in a panel that were never run."""
    found = []
    for panel, group in fits.groupby("panel", sort=True):
        axes = ["learner", "signal_removal", "control", "seed", "fold", "fraction"]
        levels = [sorted(group[c].dropna().unique().tolist()) for c in axes]
        have = set(group[axes].itertuples(index=False, name=None))
        absent: dict[tuple[str, str, str], list[str]] = {}
        for learner, removal, control, seed, fold, fraction in itertools.product(*levels):
            if (learner, removal, control, seed, fold, fraction) not in have:
                absent.setdefault((learner, removal, control), []).append(
                    f"seed {seed:g}, fold {fold:g}, fraction {fraction:g}"
                )
        for (learner, removal, control), where in list(absent.items())[:_SHOWN]:
            whole = len(where) == len(levels[3]) * len(levels[4]) * len(levels[5])
            what = "no fit at all" if whole else f"no fit for {'; '.join(where[:3])}{' …' if len(where) > 3 else ''}"
            text = f"{panel}: {learner}, removal {removal}, control {control}: {what}"
            found.append(Problem("gap", text, len(where)))
        if len(absent) > _SHOWN:
            found.append(Problem("gap", f"{panel}: and {len(absent) - _SHOWN} cells more"))
    return found


def _limits(reading: Reading) -> list[Problem]:
    found, done = [], reading.done
    if done.empty:
        return [Problem("limit", "no fit is done: there is nothing to draw or to compare")]
    tested = {(t["data"].get("fingerprint")) for t in reading.tests}
    for panel, group in done.groupby("panel", sort=True):
        folds, seeds, real = group.fold.nunique(), group.seed.nunique(), group[group.control == "none"]
        if folds < 2:
            found.append(Problem("limit", f"{panel}: one fold, so that no interval of a difference can be given"))
        if seeds < 2:
            found.append(
                Problem("limit", f"{panel}: one seed; another seed would draw other folds and other initial weights")
            )
        models = set(real.model)
        best = real.optimum_balanced_accuracy.notna().any() if len(real) else False
        if not models & set(CERTIFIED) and not best:
            text = "no linear model at a certified optimum (model=ridge_logistic) to compare other models with"
            found.append(Problem("limit", f"{panel}: {text}"))
        if not models - set(LINEAR):
            found.append(
                Problem("limit", f"{panel}: linear models alone; whether another model does better is not asked")
            )
        if (real.signal_removal != "none").any() and not (group.control == "linear_labels").any():
            text = (
                "signal removal without control=linear_labels: a model above the baseline after removal shows nothing"
            )
            found.append(Problem("limit", f"{panel}: {text}"))
        prints = {(reading.records[k].get("data") or {}).get("fingerprint") for k in real.key}
        if not prints & tested:
            found.append(
                Problem("limit", f"{panel}: no residual-prediction test of these data (experiment=residual_test)")
            )
    return found

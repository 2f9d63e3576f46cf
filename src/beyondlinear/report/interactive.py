"""The learning curves of the page, which its script draws: every mean as a number, models by their
names."""

from typing import TypedDict

import pandas as pd

from beyondlinear.report.curves import curve
from beyondlinear.report.reading import GatheredFits

Numbers = list[float | None]  # None where a number is not known


class SmoothCurve(TypedDict):
    """A loess with its band."""

    n_outer_train: Numbers
    value: Numbers
    low: Numbers
    high: Numbers


class _Means(TypedDict):
    learner: str
    removal: str
    labels: str  # "" for the real ones
    x: Numbers  # training samples
    mean: Numbers  # balanced accuracy
    sd: Numbers
    n: Numbers  # fits


class CurveLine(_Means, total=False):
    """Mean, standard deviation and number of fits of each training size, of one model."""

    smooth: SmoothCurve  # where there are sizes enough


class CurvePanel(TypedDict):
    """The lines of one panel."""

    name: str
    naive: float  # balanced accuracy
    lines: list[CurveLine]


class Curves(TypedDict):
    """What the page's script is given."""

    learners: dict[str, str]  # name → colour
    panels: list[CurvePanel]


def curves(gathered: GatheredFits) -> Curves:
    """The curves of real labels and of linear ones."""
    done = gathered.done
    done = done[done.control.isin(["none", "linear_labels"])]
    if done.empty:
        return {"learners": {}, "panels": []}
    direction = done.direction.fillna("").where(done.control != "none", "")
    done = done.assign(direction=direction)
    panels: list[CurvePanel] = []
    for panel, fits in done.groupby("panel", sort=True):
        naive = round(1 / float(fits.n_classes.max()), 4)
        panels.append({"name": str(panel), "naive": naive, "lines": _lines(fits)})
    return {"learners": gathered.palette(done), "panels": panels}


def _lines(of_panel: pd.DataFrame) -> list[CurveLine]:
    lines = []
    by_line = of_panel.groupby(["control", "direction", "signal_removal", "learner"], sort=True)
    for (control, direction, removal, learner), fits in by_line:
        means = fits.groupby("fraction").agg(
            x=("n_outer_train", "mean"),
            mean=("balanced_accuracy", "mean"),
            sd=("balanced_accuracy", "std"),
            n=("key", "size"),
        )
        line: CurveLine = {
            "learner": learner,
            "removal": removal,
            "labels": "" if control == "none" else f"linear labels ({direction})",
            "x": _numbers(means.x),
            "mean": _numbers(means["mean"]),
            "sd": _numbers(means.sd),
            "n": _numbers(means.n),
        }
        if control == "none":
            smooth = curve(fits)
            if smooth.low.notna().all():
                line["smooth"] = {
                    "n_outer_train": _numbers(smooth.n_outer_train),
                    "value": _numbers(smooth.value),
                    "low": _numbers(smooth.low),
                    "high": _numbers(smooth.high),
                }
        lines.append(line)
    return lines


def _numbers(values: pd.Series) -> Numbers:
    return [None if pd.isna(value) else round(float(value), 5) for value in values]

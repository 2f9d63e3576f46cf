"""The curves of the page, as numbers that plotly draws: one panel at a time, models by their names."""

from typing import Any

import pandas as pd

from beyondlinear.report.curves import curve
from beyondlinear.report.figures import colours
from beyondlinear.report.reading import Reading


def curves(reading: Reading) -> dict[str, Any]:
    """{"learners": {name: colour}, "panels": [{"name", "naive", "lines": [{"learner", "signal", "x", …}]}]}; mean, standard
    deviation and number of fits of each training size, and the smoothed line with its band. Real labels and linear ones."""
    done = reading.done
    done = done[done.control.isin(["none", "linear_labels"])]
    if done.empty:
        return {"learners": {}, "panels": []}
    done = done.assign(direction=done.direction.fillna("").where(done.control != "none", ""))
    panels = []
    for panel, of_panel in done.groupby("panel", sort=True):
        lines = []
        for (control, direction, removal, learner), fits in of_panel.groupby(
            ["control", "direction", "signal_removal", "learner"], sort=True
        ):
            means = fits.groupby("fraction").agg(
                x=("n_train", "mean"),
                mean=("balanced_accuracy", "mean"),
                sd=("balanced_accuracy", "std"),
                n=("key", "size"),
            )
            smooth = curve(fits) if control == "none" else None
            labels = "" if control == "none" else f"linear labels ({direction})"
            line: dict[str, Any] = {"learner": learner, "removal": removal, "labels": labels}
            line |= {c: _numbers(means[c]) for c in ("x", "mean", "sd", "n")}
            if smooth is not None and smooth.low.notna().all():
                line["smooth"] = {c: _numbers(smooth[c]) for c in ("n_train", "value", "low", "high")}
            lines.append(line)
        panels.append({"name": panel, "naive": round(1 / float(of_panel.n_classes.max()), 4), "lines": lines})
    return {"learners": colours(list(done.learner.unique())), "panels": panels}


def _numbers(values: pd.Series) -> list[float | None]:
    return [None if pd.isna(v) else round(float(v), 5) for v in values]

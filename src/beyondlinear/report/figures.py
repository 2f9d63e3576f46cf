"""The two main figures, in the form of the paper: learning curves, and models before and after
signal removal."""

import numpy as np
import pandas as pd
from plotnine import (
    aes,
    facet_wrap,
    geom_hline,
    geom_line,
    geom_linerange,
    geom_point,
    geom_ribbon,
    ggplot,
    labs,
    position_dodge,
    scale_color_manual,
    scale_fill_manual,
    scale_linetype_manual,
    scale_shape_manual,
)

from beyondlinear.report.curves import FEWEST_SIZES, curve
from beyondlinear.report.drawing import (
    MOST_PANELS,
    Figure,
    in_panels,
    largest,
    n_rows,
    sample,
    style,
    wrapped,
)
from beyondlinear.report.reading import GatheredFits

PRESENT, REMOVED = "signal present", "signal removed"
MOST_POINTS = 3000  # fits; above, means are drawn
_DASHES = ("dashed", "dashdot", "dotted")
REAL, LINEAR_BY_CONSTRUCTION = "real labels", "labels linear by construction"
_FIT = ["panel", "learner", "signal_removal"]


def learning_curve(gathered: GatheredFits) -> Figure | None:
    """The paper's figure: balanced accuracy against training samples, solid with the signal, dashed
    after its removal."""
    done = gathered.done[gathered.done.control == "none"]
    if done.empty:
        return None
    panels = sorted(done.panel.unique())
    removals = _removals(done)
    caption = (
        "Balanced accuracy on held-out samples against the number of training samples. Solid:"
        " signal present"
    )
    if removals:
        caption += f"; dashed: after removal ({', '.join(removals)})"
    caption += (
        f"; dotted: naive baseline, 1/number of classes; {_how_lines_are_made(done)}."
        f" {sample(done)}."
    )
    if removals:
        caption += (
            " A dashed line above the baseline does not by itself show non-linear signal: the"
            " removal can write it."
        )
    if len(panels) > MOST_PANELS:
        caption += (
            f" The first {MOST_PANELS} of {len(panels)} panels; the interactive curves hold all."
        )
    return Figure(
        "learning_curve",
        "Balanced accuracy against training samples",
        caption,
        lambda: _draw_curves(done, gathered.palette(done)),
    )


def _removals(done: pd.DataFrame) -> list[str]:
    return sorted(set(done.signal_removal) - {"none"})


def _how_lines_are_made(done: pd.DataFrame) -> str:
    n_sizes = done.groupby("panel").fraction.nunique()
    without_loess = list(n_sizes.index[n_sizes < FEWEST_SIZES])
    if len(without_loess) == len(n_sizes):
        return (
            f"lines: means by training size (fewer than {FEWEST_SIZES} sizes, so no loess), points:"
            " fits"
        )
    text = (
        "lines: loess, bands: its pointwise 95 %, which take fits as independent (intervals that do"
        " not: the tables)"
    )
    if without_loess:
        text += (
            f"; fewer than {FEWEST_SIZES} training sizes, so means and no band, in"
            f" {'; '.join(without_loess)}"
        )
    return text


def _draw_curves(done: pd.DataFrame, palette: dict[str, str]) -> ggplot:
    done = done[done.panel.isin(sorted(done.panel.unique())[:MOST_PANELS])]
    n_panels = done.panel.nunique()
    signal_of, linetypes = _signals(_removals(done))

    lines = []
    for (panel, learner, removal), fits in done.groupby(_FIT):
        names = {"panel": panel, "learner": learner, "signal": signal_of[removal]}
        lines.append(curve(fits).assign(**names))
    drawn = pd.concat(lines)
    drawn["signal"] = pd.Categorical(drawn.signal, list(linetypes))
    naive = done.groupby("panel").n_classes.max().rdiv(1).rename("naive").reset_index()
    points, few_sizes = _points(done, signal_of)
    for frame in (drawn, naive, points):
        frame["panel"] = wrapped(frame.panel)

    by_line = drawn.groupby(["panel", "learner", "signal"], observed=True)
    drawn = drawn[by_line.n_outer_train.transform("size") > 1]  # one size is a point, no line
    n_columns = min(n_panels, 3)
    return (
        ggplot(
            drawn,
            aes("n_outer_train", "value", color="learner", fill="learner", linetype="signal"),
        )
        + geom_hline(naive, aes(yintercept="naive"), linetype="dotted", color="#444444")
        + geom_ribbon(drawn.dropna(), aes(ymin="low", ymax="high"), alpha=0.15, color="none")
        + geom_line(size=0.8)
        + geom_point(
            points,
            aes("n_outer_train", "value", color="learner"),
            size=1.3 if few_sizes else 0.5,
            alpha=1 if few_sizes else 0.35,
            inherit_aes=False,
        )
        + facet_wrap("panel", ncol=n_columns, scales="free_x")
        + scale_color_manual(palette)
        + scale_fill_manual(palette, guide=None)
        + scale_linetype_manual(linetypes)
        + labs(
            x="training samples", y="balanced accuracy (held-out)", color="", fill="", linetype=""
        )
        + style(3.4 * n_columns + 1.8, 2.9 * n_rows(n_panels, n_columns) + 0.6)
    )


def _signals(removals: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """What the legend calls each removal, and the line type of each name in the legend."""
    signal_of = {"none": PRESENT}
    linetypes = {PRESENT: "solid"}
    for number, removal in enumerate(removals):
        name = REMOVED if len(removals) == 1 else removal
        signal_of[removal] = name
        linetypes[name] = _DASHES[number % len(_DASHES)]
    return signal_of, linetypes


def _points(done: pd.DataFrame, signal_of: dict[str, str]) -> tuple[pd.DataFrame, bool]:
    """Fits, or their means where there are too many; and whether they are few enough to be drawn
    large."""
    points = done.assign(signal=done.signal_removal.map(signal_of), value=done.balanced_accuracy)
    if len(points) > MOST_POINTS:
        by_size = points.groupby(["panel", "learner", "signal", "fraction"])
        return by_size[["n_outer_train", "value"]].mean().reset_index(), True
    few_sizes = done.groupby(_FIT).fraction.nunique().max() < FEWEST_SIZES
    return points, bool(few_sizes)


def before_after(gathered: GatheredFits, cells: pd.DataFrame) -> Figure | None:
    """Each model before and after removal, with labels that are linear by construction beside it
    where they were run."""
    if cells.empty:
        return None
    at_largest = cells.fraction == cells.groupby("panel").fraction.transform("max")
    shown = cells[(cells.done > 0) & at_largest]
    shown = shown[shown.control.isin(["none", "linear_labels"]) & (shown.direction != "random")]
    if shown.empty or shown.signal_removal.nunique() < 2:
        return None
    is_control = shown.control != "none"
    shown = shown.assign(labels=np.where(is_control, LINEAR_BY_CONSTRUCTION, REAL))
    shown.loc[is_control, ["low", "high"]] = np.nan
    caption = (
        "Balanced accuracy with the signal present and after its removal, at the largest training"
        " size. Lines: 95 % intervals of a model (cluster bootstrap over groups); dotted: naive"
        " baseline. "
    )
    if is_control.any():
        caption += (
            "Triangles: the same with labels that are linear by construction; real labels no higher"
            " show nothing. "
        )
    palette = gathered.palette(shown)
    return Figure(
        "before_after",
        "Before and after signal removal",
        f"{caption}{sample(largest(gathered.done))}.",
        lambda: _draw_before_after(shown, palette),
    )


def _draw_before_after(cells: pd.DataFrame, palette: dict[str, str]) -> ggplot:
    order = ["none", *_removals(cells)]
    shown, n_panels = in_panels(cells)
    shown["signal_removal"] = pd.Categorical(shown.signal_removal, order)
    beside = position_dodge(width=0.6)
    n_columns = min(n_panels, 3)
    return (
        ggplot(
            shown,
            aes(
                "signal_removal",
                "balanced_accuracy",
                color="learner",
                shape="labels",
                group="learner",
            ),
        )
        + geom_hline(aes(yintercept="naive"), linetype="dotted", color="#444444")
        + geom_linerange(
            aes(ymin="low", ymax="high"), shown.dropna(subset=["low"]), position=beside
        )
        + geom_point(position=beside, size=2)
        + facet_wrap("panel", ncol=n_columns)
        + scale_color_manual(palette)
        + scale_shape_manual({REAL: "o", LINEAR_BY_CONSTRUCTION: "^"})
        + labs(x="signal removal", y="balanced accuracy (held-out)", color="", shape="")
        + style(3.4 * n_columns + 2.4, 2.9 * n_rows(n_panels, n_columns) + 0.6)
    )

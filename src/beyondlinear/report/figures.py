"""The figures of a report, in the form of the paper. Each says what is on its axes, of how many samples, folds and seeds."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

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
    theme,
    theme_bw,
)
from plotnine.themes.elements import element_blank, element_rect, element_text

from beyondlinear.report.curves import FEWEST_SIZES, curve
from beyondlinear.report.reading import Reading

# Okabe & Ito (2008), apart under colour blindness; linear models in blues, so that kinds of model are seen at a glance
COLOURS = {
    "ridge_logistic": "#0072B2",
    "logistic_regression": "#56B4E9",
    "ridge_svm": "#004466",
    "linear_svm": "#7A9FC2",
    "three_layer": "#E69F00",
    "five_layer": "#D55E00",
    "random_forest": "#009E73",
    "rbf_svm": "#CC79A7",
}
_MORE = ("#8C564B", "#7F7F7F", "#BCBD22", "#9467BD", "#17BECF", "#000000")
PRESENT, REMOVED = "signal present", "signal removed"
MOST_PANELS, MOST_POINTS = 12, 3000


@dataclass(frozen=True)
class Figure:
    """name: of its files; caption: what is shown and of what; draw: makes the plot."""

    name: str
    title: str
    caption: str
    draw: Callable[[], ggplot]


def colours(learners: list[str]) -> dict[str, str]:
    """A colour for each learner; a model has the same in every report."""
    spare = iter(_MORE * (1 + len(learners)))
    taken: set[str] = set()
    found = {}
    for learner in sorted(learners):
        own = COLOURS.get(learner.split(",")[0])
        found[learner] = own if own and own not in taken else next(spare)
        taken.add(found[learner])
    return found


def plain(text: object) -> str:
    """A name as matplotlib shows it: $ would begin a formula."""
    return str(text).replace("$", r"\$")


def sample(fits: pd.DataFrame) -> str:
    """Of what: "n = 480 training samples, 5 folds, 2 seeds"."""

    def span(column: str) -> str:
        low, high = fits[column].min(), fits[column].max()
        return f"{low:,.0f}" if low == high else f"{low:,.0f}–{high:,.0f}"

    folds, seeds = fits.fold.nunique(), sorted(fits.seed.unique())
    which = ", ".join(f"{s:g}" for s in seeds[:6]) + (", …" if len(seeds) > 6 else "")
    return (
        f"n = {span('n_train')} training and {span('n_validation')} validation samples a fit; {folds} fold{'s' * (folds > 1)}, "
        f"seed{'s' * (len(seeds) > 1)} {which}; {len(fits):,} fits"
    )


def learning_curve(reading: Reading) -> Figure | None:
    """The paper's figure: balanced accuracy against training samples, solid with the signal, dashed after its removal."""
    done = reading.done[(reading.done.control == "none")]
    if done.empty:
        return None
    panels = sorted(done.panel.unique())
    removals = sorted(set(done.signal_removal) - {"none"})
    said = "; dashed: after removal" + (f" ({', '.join(removals)})" if removals else "") if removals else ""
    short = [p for p, fits in done.groupby("panel") if fits.fraction.nunique() < FEWEST_SIZES]
    how = "lines: loess, bands: its pointwise 95 %, which take fits as independent (intervals that do not: the tables)"
    if len(short) == len(panels):
        how = f"lines: means by training size (fewer than {FEWEST_SIZES} sizes, so no loess), points: fits"
    elif short:
        how += f"; fewer than {FEWEST_SIZES} training sizes, so means and no band, in {'; '.join(short)}"
    caption = (
        f"Balanced accuracy on held-out samples against the number of training samples. Solid: signal present{said}; "
    )
    caption += f"dotted: naive baseline, 1/number of classes; {how}. {sample(done)}."
    if removals:
        caption += (
            " A dashed line above the baseline does not by itself show non-linear signal: the removal can write it."
        )
    if len(panels) > MOST_PANELS:
        caption += f" The first {MOST_PANELS} of {len(panels)} panels; the interactive curves hold all."
    return Figure(
        "learning_curve", "Balanced accuracy against training samples", caption, lambda: _curves(done, panels)
    )


def _curves(done: pd.DataFrame, panels: list[str]) -> ggplot:
    done = done[done.panel.isin(panels[:MOST_PANELS])]
    removals = sorted(set(done.signal_removal) - {"none"})
    styles = {PRESENT: "solid"}
    styles |= {REMOVED if len(removals) == 1 else r: s for r, s in zip(removals, _dashes(len(removals)), strict=True)}
    signal = {"none": PRESENT} | {r: REMOVED if len(removals) == 1 else r for r in removals}
    lines = []
    for (panel, learner, removal), fits in done.groupby(["panel", "learner", "signal_removal"]):
        lines.append(curve(fits).assign(panel=panel, learner=learner, signal=signal[removal]))
    drawn = pd.concat(lines)
    naive = done.groupby("panel").n_classes.max().rdiv(1).rename("naive").reset_index()
    points = done.assign(signal=done.signal_removal.map(signal)).rename(columns={"balanced_accuracy": "value"})
    few = done.groupby(["panel", "learner", "signal_removal"]).fraction.nunique().max() < FEWEST_SIZES
    many = len(points) > MOST_POINTS
    means = points.groupby(["panel", "learner", "signal", "fraction"])[["n_train", "value"]].mean().reset_index()
    for frame in (drawn, naive, points, means):
        frame["panel"] = [fill(plain(p), 34) for p in frame.panel]
    drawn["signal"] = pd.Categorical(drawn.signal, list(styles))
    single = drawn.groupby(["panel", "learner", "signal"], observed=True).n_train.transform("size") == 1
    palette = colours(list(done.learner.unique()))
    n = len(set(panels[:MOST_PANELS]))
    columns = min(n, 3)
    plot = (
        ggplot(drawn[~single], aes("n_train", "value", color="learner", fill="learner", linetype="signal"))
        + geom_hline(naive, aes(yintercept="naive"), linetype="dotted", color="#444444")
        + geom_ribbon(drawn[~single].dropna(), aes(ymin="low", ymax="high"), alpha=0.15, color="none")
        + geom_line(size=0.8)
    )
    if few or many:
        plot += geom_point(
            points if not many else means, aes("n_train", "value", color="learner"), size=1.3, inherit_aes=False
        )
    else:
        plot += geom_point(points, aes("n_train", "value", color="learner"), size=0.5, alpha=0.35, inherit_aes=False)
    return (
        plot
        + facet_wrap("panel", ncol=columns, scales="free_x")
        + scale_color_manual({plain(k): v for k, v in palette.items()})
        + scale_fill_manual({plain(k): v for k, v in palette.items()}, guide=None)
        + scale_linetype_manual(styles)
        + labs(x="training samples", y="balanced accuracy (held-out)", color="", fill="", linetype="")
        + style(3.4 * columns + 1.8, 2.9 * -(-n // columns) + 0.6)
    )


def _dashes(n: int) -> list[str]:
    return (["dashed", "dashdot", "dotted"] * (1 + n // 3))[:n]


def style(width: float, height: float) -> theme:
    """The look of all figures; width and height in inches."""
    return theme_bw(base_size=10) + theme(
        figure_size=(width, height),
        legend_key=element_blank(),
        panel_grid_minor=element_blank(),
        strip_background=element_rect(fill="#EEEEEE", color="none"),
        strip_text=element_text(size=9),
        legend_position="right",
    )


def before_after(reading: Reading, cells: pd.DataFrame) -> Figure | None:
    """Each model before and after removal, with labels that are linear by construction beside it where they were run."""
    if cells.empty:
        return None
    at = cells[(cells.done > 0) & (cells.fraction == cells.groupby("panel").fraction.transform("max"))]
    at = at[at.control.isin(["none", "linear_labels"]) & (at.direction != "random")]
    if at.empty or at.signal_removal.nunique() < 2:
        return None
    at = at.assign(labels=np.where(at.control == "none", "real labels", "labels linear by construction"))
    spread = at.control != "none"
    at.loc[spread, "low"], at.loc[spread, "high"] = np.nan, np.nan
    done = reading.done
    caption = "Balanced accuracy with the signal present and after its removal, at the largest training size. "
    caption += "Lines: 95 % intervals of a model (cluster bootstrap over groups); dotted: naive baseline. "
    if spread.any():
        caption += (
            "Triangles: the same with labels that are linear by construction; real labels no higher show nothing. "
        )
    real = done[(done.control == "none") & (done.fraction == done.groupby("panel").fraction.transform("max"))]
    return Figure(
        "before_after", "Before and after signal removal", f"{caption}{sample(real)}.", lambda: _before_after(at)
    )


def _before_after(at: pd.DataFrame) -> ggplot:
    order = ["none", *sorted(set(at.signal_removal) - {"none"})]
    panels = sorted(at.panel.unique())[:MOST_PANELS]
    at = at[at.panel.isin(panels)].assign(signal_removal=pd.Categorical(at.signal_removal, order))
    at["panel"] = [fill(plain(p), 34) for p in at.panel]
    beside = position_dodge(width=0.6)
    columns = min(len(panels), 3)
    palette = colours(list(at.learner.unique()))
    return (
        ggplot(at, aes("signal_removal", "balanced_accuracy", color="learner", shape="labels", group="learner"))
        + geom_hline(aes(yintercept="naive"), linetype="dotted", color="#444444")
        + geom_linerange(aes(ymin="low", ymax="high"), at.dropna(subset=["low"]), position=beside)
        + geom_point(position=beside, size=2)
        + facet_wrap("panel", ncol=columns)
        + scale_color_manual(palette)
        + scale_shape_manual({"real labels": "o", "labels linear by construction": "^"})
        + labs(x="signal removal", y="balanced accuracy (held-out)", color="", shape="")
        + style(3.4 * columns + 2.4, 2.9 * -(-len(panels) // columns) + 0.6)
    )


def write(plot: ggplot, folder: Path, name: str) -> None:
    """PNG (200 dpi), SVG and PDF of one plot, which is built, laid out and measured once."""
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = plot.draw(show=False)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        box = figure.get_tightbbox().padded(0.1)
        for suffix in ("png", "svg", "pdf"):
            # no date in the file: the same records give the same bytes
            metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix)
            with plt.rc_context({"svg.hashsalt": "beyondlinear", "svg.fonttype": "path"}):
                figure.savefig(folder / f"{name}.{suffix}", dpi=200, bbox_inches=box, metadata=metadata)
        plt.close(figure)


def largest(done: pd.DataFrame) -> pd.DataFrame:
    """Fits with the real labels at the largest fraction of their panel."""
    real = done[done.control == "none"]
    return real[real.fraction == real.groupby("panel").fraction.transform("max")]


def in_panels(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The first panels, their names wrapped."""
    first = sorted(frame.panel.unique())[:MOST_PANELS]
    shown = frame[frame.panel.isin(first)].copy()
    shown["panel"] = [fill(plain(p), 34) for p in shown.panel]
    return shown, len(first)

"""Figures beside the main ones: how models were optimised and tuned, whether their probabilities
can be believed, and what they cost."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from plotnine import (
    aes,
    facet_grid,
    facet_wrap,
    geom_abline,
    geom_hline,
    geom_line,
    geom_point,
    ggplot,
    labs,
    scale_color_manual,
    scale_linetype_manual,
    scale_y_log10,
    theme,
    xlim,
    ylim,
)
from plotnine.themes.elements import element_text

from beyondlinear.report.drawing import Figure, in_panels, largest, n_rows, sample, style
from beyondlinear.report.reading import GatheredFits
from beyondlinear.report.statistics import Calibration

MOST_FITS = 12  # whose training is drawn, a learner and panel
_LINETYPES = ("solid", "dashed", "dashdot", "dotted")


def optimum_gap(gathered: GatheredFits) -> Figure | None:
    """How far linear models that are trained like nets stay from the certified optimum of the same
    fit."""
    done = gathered.done
    fits = done[done.optimum_gap.notna() & (done.control == "none")]
    if fits.empty:
        return None
    caption = (
        "By how much the train part's log-loss (nats a sample) could still fall for a linear model"
        " that was trained like the nets, by training size; 0: it is optimal."
        f" {sample(fits)}."
    )
    palette = gathered.palette(fits)

    def draw() -> ggplot:
        shown, n_panels = in_panels(fits)
        n_columns = min(n_panels, 3)
        return (
            ggplot(
                shown, aes("n_outer_train", "optimum_gap", color="learner", shape="signal_removal")
            )
            + geom_hline(yintercept=0, color="#888888")
            + geom_point(alpha=0.6)
            + facet_wrap("panel", ncol=n_columns, scales="free")
            + scale_color_manual(palette)
            + labs(x="training samples", y="optimum gap (nats)", color="", shape="signal removal")
            + style(3.2 * n_columns + 2, 2.6 * n_rows(n_panels, n_columns) + 0.4)
        )

    return Figure("optimum_gap", "Were linear models optimised?", caption, draw)


def training(gathered: GatheredFits) -> Figure | None:
    """Losses by epoch of the fits at the largest fraction."""
    fits = largest(gathered.done)
    losses = _losses(gathered, fits)
    if losses.empty:
        return None
    caption = (
        "Weighted loss of each fit by epoch, on the train part (train) and on the validation part"
        " that stops it; kept are the weights of the lowest validation loss. The first"
        f" {MOST_FITS} fits a model and removal, at the largest size. {sample(fits)}."
    )
    return Figure("training", "Training of each fit", caption, lambda: _draw_training(losses))


def _losses(gathered: GatheredFits, fits: pd.DataFrame) -> pd.DataFrame:
    """panel, learner, signal_removal, part, epoch (from 1), loss; fit: one line of the figure."""
    rows: list[dict[str, object]] = []
    for _, of_learner in fits.groupby(["panel", "learner", "signal_removal"]):
        for fit in of_learner.head(MOST_FITS).itertuples():
            names = {
                "panel": fit.panel,
                "learner": fit.learner,
                "signal_removal": fit.signal_removal,
            }
            history = gathered.records[fit.key].get("training", {}).get("history") or []
            for epoch in history:
                by_part = {
                    "train": epoch.get("train_loss"),
                    "validation": epoch.get("validation_loss"),
                }
                for part, loss in by_part.items():
                    if loss is not None:
                        drawn = {"part": part, "epoch": epoch["epoch"] + 1, "loss": loss}
                        rows.append({**names, "fit": f"{fit.key}{part}", **drawn})
    return pd.DataFrame(rows)


def _draw_training(losses: pd.DataFrame) -> ggplot:
    shown, _ = in_panels(losses)
    shown["row"] = shown.panel + "\nremoval " + shown.signal_removal
    return (
        ggplot(shown, aes("epoch", "loss", group="fit", color="part"))
        + geom_line(alpha=0.5, size=0.4)
        + facet_grid("row", "learner", scales="free_y")
        + scale_color_manual({"train": "#777777", "validation": "#0072B2"})
        + labs(x="epoch", y="weighted loss", color="part")
        + style(2.0 * shown.learner.nunique() + 3, 1.5 * shown.row.nunique() + 0.5)
        + theme(
            strip_text_y=element_text(angle=0, ha="left", size=8),
            strip_text_x=element_text(size=8),
        )
    )


def tuning(gathered: GatheredFits) -> Figure | None:
    """Best inner loss so far, by trial."""
    fits = gathered.done[gathered.done.control == "none"]
    traces = _traces(gathered, fits)
    if traces.empty:
        return None
    caption = (
        "Smallest mean inner-validation loss after so many trials of nested tuning, a line a fit; a"
        " line that still falls at its end asks for more trials."
        f" {sample(fits[fits.key.isin(traces.fit)])}."
    )
    palette = gathered.palette(traces)
    return Figure("tuning", "Tuning traces", caption, lambda: _draw_tuning(traces, palette))


def _traces(gathered: GatheredFits, fits: pd.DataFrame) -> pd.DataFrame:
    """panel, learner, fit, removal, trial (from 1), best: the smallest loss until then."""
    rows: list[dict[str, object]] = []
    for fit in fits.itertuples():
        best = np.inf
        for trial in gathered.records[fit.key].get("tuning", {}).get("trials") or []:
            loss = trial.get("value")
            if loss is None:
                continue
            best = min(best, loss)
            rows.append(
                {
                    "panel": fit.panel,
                    "learner": fit.learner,
                    "fit": fit.key,
                    "removal": fit.signal_removal,
                    "trial": trial["number"] + 1,
                    "best": best,
                }
            )
    return pd.DataFrame(rows)


def _draw_tuning(traces: pd.DataFrame, palette: dict[str, str]) -> ggplot:
    shown, n_panels = in_panels(traces)
    n_columns = min(n_panels, 3)
    return (
        ggplot(shown, aes("trial", "best", group="fit", color="learner", linetype="removal"))
        + geom_line(alpha=0.6, size=0.5)
        + facet_wrap("panel", ncol=n_columns, scales="free_y")
        + scale_color_manual(palette)
        + scale_linetype_manual(_linetypes(traces.removal))
        + labs(x="trial", y="best inner loss so far", color="", linetype="removal")
        + style(3.2 * n_columns + 2, 2.6 * n_rows(n_panels, n_columns) + 0.4)
    )


def _linetypes(removals: pd.Series) -> dict[str, str]:
    """Solid without a removal, then one line type a removal."""
    without_first = sorted(removals.unique(), key=lambda removal: removal != "none")
    return {
        removal: _LINETYPES[number % len(_LINETYPES)]
        for number, removal in enumerate(without_first)
    }


def reliability(
    gathered: GatheredFits, cells: pd.DataFrame, curves: Mapping[str, Calibration]
) -> Figure | None:
    """Accuracy against confidence.

    :param curves: by the id of a cell, as `cells.cells` gives them
    """
    bins = _bins(cells, curves)
    if bins.empty:
        return None
    caption = (
        "Share of predictions that are right against the probability given to them, in ten bins of"
        " equal width. On the grey diagonal probabilities can be believed, below it a model is"
        " overconfident. Size: predictions in the bin. With the signal present, largest training"
        " size, all folds and seeds."
    )
    palette = gathered.palette(bins)

    def draw() -> ggplot:
        shown, n_panels = in_panels(bins)
        n_columns = min(n_panels, 3)
        return (
            ggplot(shown, aes("confidence", "accuracy", color="learner"))
            + geom_abline(slope=1, intercept=0, color="#999999")
            + geom_line(size=0.5)
            + geom_point(aes(size="n"), alpha=0.7)
            + facet_wrap("panel", ncol=n_columns)
            + xlim(0, 1)
            + ylim(0, 1)
            + scale_color_manual(palette)
            + labs(
                x="mean probability of the predicted class",
                y="share right",
                color="",
                size="predictions",
            )
            + style(3.0 * n_columns + 2, 2.8 * n_rows(n_panels, n_columns) + 0.4)
        )

    return Figure("reliability", "Can the probabilities be believed?", caption, draw)


def _bins(cells: pd.DataFrame, curves: Mapping[str, Calibration]) -> pd.DataFrame:
    """panel, learner, confidence, accuracy, n: one row a bin of a model's predictions."""
    found = []
    for _, cell in cells.iterrows():
        curve = curves.get(cell.id)
        if curve is None or cell.signal_removal != "none":
            continue
        bins = {"confidence": curve.confidence, "accuracy": curve.accuracy, "n": curve.n}
        found.append(pd.DataFrame({"panel": cell.panel, "learner": cell.learner, **bins}))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def cost(gathered: GatheredFits) -> Figure | None:
    """Seconds a fit."""
    fits = gathered.done[gathered.done.seconds.notna()]
    if fits.empty:
        return None
    provenances = [gathered.records[key].get("provenance", {}) for key in fits.key]
    threads = sorted({str(provenance.get("threads")) for provenance in provenances})
    hours = fits.seconds.sum() / 3600
    caption = (
        "Seconds that a fit took, tuning, removal and leak probes included, on"
        f" {', '.join(threads)} thread(s); all fits together {hours:.2f} hours. {sample(fits)}."
    )
    palette = gathered.palette(fits)

    def draw() -> ggplot:
        by_size = fits.groupby(["panel", "learner", "fraction"])
        means = by_size[["n_outer_train", "seconds"]].mean().reset_index()
        shown, n_panels = in_panels(means)
        n_columns = min(n_panels, 3)
        plot = ggplot(shown, aes("n_outer_train", "seconds", color="learner"))
        if shown.groupby(["panel", "learner"]).size().max() > 1:
            plot += geom_line(size=0.7)
        return (
            plot
            + geom_point()
            + facet_wrap("panel", ncol=n_columns, scales="free_x")
            + scale_y_log10()
            + scale_color_manual(palette)
            + labs(x="training samples", y="seconds a fit (mean)", color="")
            + style(3.2 * n_columns + 2, 2.6 * n_rows(n_panels, n_columns) + 0.4)
        )

    return Figure("cost", "Time and cost", caption, draw)

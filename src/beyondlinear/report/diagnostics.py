"""Figures beside the main ones: how models were optimised and tuned, whether their probabilities
can be believed, and what they cost."""

from typing import Any

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

from beyondlinear.report.figures import Figure, colours, in_panels, largest, sample, style
from beyondlinear.report.reading import Reading
from beyondlinear.report.statistics import Calibration

MOST_FITS = 12  # whose training is drawn, a learner and panel


def optimum_gap(reading: Reading) -> Figure | None:
    """How far linear models that are trained like nets stay from the certified optimum of the same fit."""
    at = reading.done[reading.done.optimum_gap.notna() & (reading.done.control == "none")]
    if at.empty:
        return None
    caption = (
        "By how much the fit part's log-loss (nats a sample) could still fall for a linear model that was trained like "
    )
    caption += f"the nets, by training size; 0: it is optimal. {sample(at)}."

    def draw() -> ggplot:
        shown, n = in_panels(at)
        return (
            ggplot(shown, aes("n_train", "optimum_gap", color="learner", shape="signal_removal"))
            + geom_hline(yintercept=0, color="#888888")
            + geom_point(alpha=0.6)
            + facet_wrap("panel", ncol=min(n, 3), scales="free")
            + scale_color_manual(colours(list(at.learner.unique())))
            + labs(x="training samples", y="optimum gap (nats)", color="", shape="signal removal")
            + style(3.2 * min(n, 3) + 2, 2.6 * -(-n // 3) + 0.4)
        )

    return Figure("optimum_gap", "Were linear models optimised?", caption, draw)


def training(reading: Reading) -> Figure | None:
    """Losses by epoch of the fits at the largest fraction."""
    at = largest(reading.done)
    rows: list[dict[str, Any]] = []
    for _, fits in at.groupby(["panel", "learner", "signal_removal"]):
        for fit in fits.head(MOST_FITS).itertuples():
            for step in reading.records[fit.key].get("training", {}).get("history") or []:
                for part in ("train", "tune"):
                    if step.get(f"{part}_loss") is not None:
                        names = {"panel": fit.panel, "learner": fit.learner, "signal_removal": fit.signal_removal}
                        names |= {"fit": f"{fit.key}{part}", "part": part}
                        rows.append(names | {"epoch": step["epoch"] + 1, "loss": step[f"{part}_loss"]})
    if not rows:
        return None
    drawn = pd.DataFrame(rows)
    caption = (
        "Weighted loss of each fit by epoch, on the fit part (train) and on the tune part that stops it; kept are the "
    )
    caption += f"weights of the lowest tune loss. The first {MOST_FITS} fits a model and removal, at the largest size. "
    caption += f"{sample(at)}."

    def draw() -> ggplot:
        shown, _ = in_panels(drawn)
        m = shown.learner.nunique()
        shown["row"] = [f"{p}\nremoval {r}" for p, r in zip(shown.panel, shown.signal_removal, strict=True)]
        return (
            ggplot(shown, aes("epoch", "loss", group="fit", color="part"))
            + geom_line(alpha=0.5, size=0.4)
            + facet_grid("row", "learner", scales="free_y")
            + scale_color_manual({"train": "#777777", "tune": "#0072B2"})
            + labs(x="epoch", y="weighted loss", color="part")
            + style(2.0 * m + 3, 1.5 * shown.row.nunique() + 0.5)
            + theme(strip_text_y=element_text(angle=0, ha="left", size=8), strip_text_x=element_text(size=8))
        )

    return Figure("training", "Training of each fit", caption, draw)


def tuning(reading: Reading) -> Figure | None:
    """Best inner loss so far, by trial."""
    rows: list[dict[str, Any]] = []
    done = reading.done[reading.done.control == "none"]
    for fit in done.itertuples():
        best = np.inf
        for trial in reading.records[fit.key].get("tuning", {}).get("trials") or []:
            if trial.get("value") is not None:
                best = min(best, trial["value"])
                names = {"panel": fit.panel, "learner": fit.learner, "fit": fit.key}
                rows.append(names | {"trial": trial["number"] + 1, "best": best, "removal": fit.signal_removal})
    if not rows:
        return None
    drawn = pd.DataFrame(rows)
    tuned = done[done.key.isin(drawn.fit)]
    caption = (
        "Smallest mean inner-validation loss after so many trials of nested tuning, a line a fit; a line that still "
    )
    caption += f"falls at its end asks for more trials. {sample(tuned)}."

    def draw() -> ggplot:
        shown, n = in_panels(drawn)
        return (
            ggplot(shown, aes("trial", "best", group="fit", color="learner", linetype="removal"))
            + geom_line(alpha=0.6, size=0.5)
            + facet_wrap("panel", ncol=min(n, 3), scales="free_y")
            + scale_color_manual(colours(list(drawn.learner.unique())))
            + scale_linetype_manual(dict(zip(sorted(drawn.removal.unique(), key="none".__ne__), _STYLES, strict=False)))
            + labs(x="trial", y="best inner loss so far", color="", linetype="removal")
            + style(3.2 * min(n, 3) + 2, 2.6 * -(-n // 3) + 0.4)
        )

    return Figure("tuning", "Tuning traces", caption, draw)


_STYLES = ("solid", "dashed", "dashdot", "dotted") * 4


def reliability(cells: pd.DataFrame, curves: dict[str, Calibration]) -> Figure | None:
    """Accuracy against confidence."""
    rows: list[dict[str, Any]] = []
    for _, cell in cells.iterrows():
        found = curves.get(cell.id)
        if found is not None and cell.signal_removal == "none":
            for confidence, accuracy, n in zip(found.confidence, found.accuracy, found.n, strict=True):
                names = {"panel": cell.panel, "learner": cell.learner}
                rows.append(names | {"confidence": confidence, "accuracy": accuracy, "n": n})
    if not rows:
        return None
    drawn = pd.DataFrame(rows)
    caption = (
        "Share of predictions that are right against the probability given to them, in ten bins of equal width. On the "
    )
    caption += (
        "grey diagonal probabilities can be believed, below it a model is overconfident. Size: predictions in the bin. "
    )
    caption += "With the signal present, largest training size, all folds and seeds."

    def draw() -> ggplot:
        shown, n = in_panels(drawn)
        return (
            ggplot(shown, aes("confidence", "accuracy", color="learner"))
            + geom_abline(slope=1, intercept=0, color="#999999")
            + geom_line(size=0.5)
            + geom_point(aes(size="n"), alpha=0.7)
            + facet_wrap("panel", ncol=min(n, 3))
            + xlim(0, 1)
            + ylim(0, 1)
            + scale_color_manual(colours(list(drawn.learner.unique())))
            + labs(x="mean probability of the predicted class", y="share right", color="", size="predictions")
            + style(3.0 * min(n, 3) + 2, 2.8 * -(-n // 3) + 0.4)
        )

    return Figure("reliability", "Can the probabilities be believed?", caption, draw)


def cost(reading: Reading) -> Figure | None:
    """Seconds a fit."""
    at = reading.done[reading.done.seconds.notna()]
    if at.empty:
        return None
    threads = sorted({str((reading.records[k].get("circumstances") or {}).get("threads")) for k in at.key})
    hours = at.seconds.sum() / 3600
    caption = (
        f"Seconds that a fit took, tuning, removal and meters included, on {', '.join(threads)} thread(s); all fits "
    )
    caption += f"together {hours:.2f} hours. {sample(at)}."

    def draw() -> ggplot:
        shown, n = in_panels(at.groupby(["panel", "learner", "fraction"])[["n_train", "seconds"]].mean().reset_index())
        plot = ggplot(shown, aes("n_train", "seconds", color="learner"))
        if shown.groupby(["panel", "learner"]).size().max() > 1:
            plot += geom_line(size=0.7)
        return (
            plot
            + geom_point()
            + facet_wrap("panel", ncol=min(n, 3), scales="free_x")
            + scale_y_log10()
            + scale_color_manual(colours(list(at.learner.unique())))
            + labs(x="training samples", y="seconds a fit (mean)", color="")
            + style(3.2 * min(n, 3) + 2, 2.6 * -(-n // 3) + 0.4)
        )

    return Figure("cost", "Time and cost", caption, draw)

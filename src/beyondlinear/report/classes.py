"""Which classes models confuse."""

from textwrap import fill

import numpy as np
import pandas as pd
from plotnine import (
    aes,
    facet_wrap,
    geom_point,
    geom_text,
    geom_tile,
    ggplot,
    labs,
    scale_color_manual,
    scale_fill_gradient,
    theme,
)
from plotnine.themes.elements import element_text

from beyondlinear.report.figures import Figure, colours, in_panels, largest, plain, sample, style
from beyondlinear.report.reading import Reading

MOST_CLASSES = 31


def _confusions(reading: Reading) -> pd.DataFrame:
    """panel, learner, true, predicted, n, share of the true class; summed over folds and seeds, with the signal present."""
    at = largest(reading.done)
    at = at[at.signal_removal == "none"]
    rows = []
    for (panel, learner), fits in at.groupby(["panel", "learner"], sort=True):
        records = [reading.records[k] for k in fits.key]
        classes = records[0]["data"]["classes"]
        if any(r["data"]["classes"] != classes or "confusion" not in r for r in records):
            continue
        total = np.sum([r["confusion"] for r in records], axis=0)
        for i, true in enumerate(classes):
            for j, predicted in enumerate(classes):
                share = total[i, j] / total[i].sum() if total[i].sum() else np.nan
                names = {"panel": panel, "learner": learner, "true": true, "predicted": predicted}
                rows.append(names | {"n": int(total[i, j]), "share": share})
    return pd.DataFrame(rows)


def per_class(reading: Reading) -> pd.DataFrame:
    """Recall of each class by model, with the signal present at the largest fraction."""
    found = _confusions(reading)
    if found.empty:
        return found
    totals = found.groupby(["panel", "learner", "true"]).n.sum().rename("n").reset_index()
    recall = found[found.true == found.predicted].drop(columns=["predicted", "n"]).merge(totals)
    recall = recall.rename(columns={"true": "class", "share": "recall", "n": "predictions"})
    recall.insert(0, "id", [f"k{i}" for i in range(1, len(recall) + 1)])
    return recall


def confusion(reading: Reading) -> Figure | None:
    """Confusion matrices, one a model and panel."""
    found = _confusions(reading)
    found = found[found.groupby("panel").true.transform("nunique") <= MOST_CLASSES] if len(found) else found
    if found.empty:
        return None
    at = largest(reading.done)
    caption = (
        "Share of each true class (row) that is predicted as each class (column), over all folds and seeds, with the "
    )
    caption += f"signal present and at the largest training size. {sample(at[at.signal_removal == 'none'])}."

    def draw() -> ggplot:
        first = sorted(found.panel.unique())[:4]
        shown = found[found.panel.isin(first)].dropna().copy()
        k = int(shown.groupby("panel").true.nunique().max())
        shown["panel"] = [fill(plain(p), 24) for p in shown.panel]
        for c in ("true", "predicted"):
            shown[c] = [fill(plain(v), 28, max_lines=2) for v in shown[c]]
        shown["label"] = [f"{s:.2f}".lstrip("0") if s < 1 else "1" for s in shown.share]
        plot = (
            ggplot(shown, aes("predicted", "true", fill="share"))
            + geom_tile()
            + facet_wrap(["panel", "learner"], scales="free", ncol=4)
            + scale_fill_gradient(low="#F7FBFF", high="#08306B", limits=(0, 1))
            + labs(x="predicted class", y="true class", fill="share of\ntrue class")
            + style(3.2 * min(4, shown.learner.nunique()) + 1, max(2.2, 0.3 * k + 1) * -(-_cells(shown) // 4) + 1)
        )
        if k <= 8:
            dark = shown.share > 0.5
            plot += geom_text(shown[~dark], aes(label="label"), size=8, color="#000000")
            plot += geom_text(shown[dark], aes(label="label"), size=8, color="#FFFFFF")
        return plot + theme(axis_text_x=element_text(rotation=90, size=7), axis_text_y=element_text(size=7))

    return Figure("confusion", "Which classes are confused", caption, draw)


def _cells(shown: pd.DataFrame) -> int:
    return len(shown[["panel", "learner"]].drop_duplicates())


def recall(reading: Reading) -> Figure | None:
    """Recall of each class."""
    found = per_class(reading)
    if found.empty:
        return None
    at = largest(reading.done)
    caption = "Share of each class's samples that are predicted correctly (recall; their mean is balanced accuracy), with the "
    caption += f"signal present and at the largest training size. {sample(at[at.signal_removal == 'none'])}."

    def draw() -> ggplot:
        shown, n = in_panels(found.rename(columns={"class": "label"}))
        shown["label"] = [fill(plain(c), 28, max_lines=2) for c in shown.label]
        k = int(shown.groupby("panel").label.nunique().max())
        return (
            ggplot(shown, aes("recall", "label", color="learner"))
            + geom_point(size=2, alpha=0.8)
            + facet_wrap("panel", ncol=min(n, 3), scales="free_y")
            + scale_color_manual(colours(list(found.learner.unique())))
            + labs(x="recall", y="", color="")
            + style(3.4 * min(n, 3) + 2, max(1.6, 0.22 * k + 1) * -(-n // 3) + 0.4)
        )

    return Figure("recall", "Recall by class", caption, draw)

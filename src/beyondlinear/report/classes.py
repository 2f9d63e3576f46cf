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

from beyondlinear.report.drawing import Figure, in_panels, largest, n_rows, plain, sample, style
from beyondlinear.report.reading import GatheredFits

MOST_CLASSES = 31  # of a panel in the figure of confusions
_MOST_CLASSES_WITH_NUMBERS = 8  # more tiles are too small for text
_MOST_PANELS = 4
_COLUMNS = 4


def _shown_fits(gathered: GatheredFits) -> pd.DataFrame:
    """Fits with the signal present, at the largest fraction."""
    fits = largest(gathered.done)
    return fits[fits.signal_removal == "none"]


def _confusions(gathered: GatheredFits) -> pd.DataFrame:
    """panel, learner, true, predicted, n, share of the true class; summed over folds and seeds,
    with the signal present."""
    rows = []
    for (panel, learner), fits in _shown_fits(gathered).groupby(["panel", "learner"], sort=True):
        records = [gathered.records[key] for key in fits.key]
        classes = records[0]["data"]["classes"]
        if any(record["data"]["classes"] != classes for record in records):
            continue
        if any("confusion" not in record for record in records):
            continue
        total = np.sum([record["confusion"] for record in records], axis=0)
        for i, true in enumerate(classes):
            n_true = total[i].sum()
            for j, predicted in enumerate(classes):
                rows.append(
                    {
                        "panel": panel,
                        "learner": learner,
                        "true": true,
                        "predicted": predicted,
                        "n": int(total[i, j]),
                        "share": total[i, j] / n_true if n_true else np.nan,
                    }
                )
    return pd.DataFrame(rows)


def per_class(gathered: GatheredFits) -> pd.DataFrame:
    """Recall of each class by model, with the signal present at the largest fraction."""
    confusions = _confusions(gathered)
    if confusions.empty:
        return confusions
    of_class = confusions.groupby(["panel", "learner", "true"])
    totals = of_class.n.sum().rename("n").reset_index()
    correct = confusions[confusions.true == confusions.predicted]
    table = correct.drop(columns=["predicted", "n"]).merge(totals)
    table = table.rename(columns={"true": "class", "share": "recall", "n": "predictions"})
    table.insert(0, "id", [f"k{number}" for number in range(1, len(table) + 1)])
    return table


def confusion(gathered: GatheredFits) -> Figure | None:
    """Confusion matrices, one a model and panel."""
    confusions = _confusions(gathered)
    if len(confusions):
        n_classes = confusions.groupby("panel").true.transform("nunique")
        confusions = confusions[n_classes <= MOST_CLASSES]
    if confusions.empty:
        return None
    caption = (
        "Share of each true class (row) that is predicted as each class (column), over all folds"
        " and seeds, with the signal present and at the largest training size."
        f" {sample(_shown_fits(gathered))}."
    )
    return Figure(
        "confusion", "Which classes are confused", caption, lambda: _draw_confusion(confusions)
    )


def _draw_confusion(confusions: pd.DataFrame) -> ggplot:
    first = sorted(confusions.panel.unique())[:_MOST_PANELS]
    shown = confusions[confusions.panel.isin(first)].dropna().copy()
    most_classes = int(shown.groupby("panel").true.nunique().max())
    shown["panel"] = [fill(plain(panel), 24) for panel in shown.panel]
    for column in ("true", "predicted"):
        shown[column] = _wrapped_classes(shown[column])
    shown["label"] = [_two_digits(share) for share in shown.share]
    n_matrices = len(shown[["panel", "learner"]].drop_duplicates())
    plot = (
        ggplot(shown, aes("predicted", "true", fill="share"))
        + geom_tile()
        + facet_wrap(["panel", "learner"], scales="free", ncol=_COLUMNS)
        + scale_fill_gradient(low="#F7FBFF", high="#08306B", limits=(0, 1))
        + labs(x="predicted class", y="true class", fill="share of\ntrue class")
        + style(
            width=3.2 * min(_COLUMNS, shown.learner.nunique()) + 1,
            height=max(2.2, 0.3 * most_classes + 1) * n_rows(n_matrices, _COLUMNS) + 1,
        )
    )
    if most_classes <= _MOST_CLASSES_WITH_NUMBERS:
        is_dark = shown.share > 0.5
        plot += geom_text(shown[~is_dark], aes(label="label"), size=8, color="#000000")
        plot += geom_text(shown[is_dark], aes(label="label"), size=8, color="#FFFFFF")
    return plot + theme(
        axis_text_x=element_text(rotation=90, size=7), axis_text_y=element_text(size=7)
    )


def _wrapped_classes(classes: pd.Series) -> list[str]:
    return [fill(plain(name), 28, max_lines=2) for name in classes]


def _two_digits(share: float) -> str:
    """As it fits into a tile: ".25", "1"."""
    return f"{share:.2f}".lstrip("0") if share < 1 else "1"


def recall(gathered: GatheredFits) -> Figure | None:
    """Recall of each class."""
    table = per_class(gathered)
    if table.empty:
        return None
    caption = (
        "Share of each class's samples that are predicted correctly (recall; their mean is balanced"
        " accuracy), with the signal present and at the largest training size."
        f" {sample(_shown_fits(gathered))}."
    )
    palette = gathered.palette(table)
    return Figure("recall", "Recall by class", caption, lambda: _draw_recall(table, palette))


def _draw_recall(table: pd.DataFrame, palette: dict[str, str]) -> ggplot:
    shown, n_panels = in_panels(table.rename(columns={"class": "label"}))
    shown["label"] = _wrapped_classes(shown.label)
    most_classes = int(shown.groupby("panel").label.nunique().max())
    n_columns = min(n_panels, 3)
    return (
        ggplot(shown, aes("recall", "label", color="learner"))
        + geom_point(size=2, alpha=0.8)
        + facet_wrap("panel", ncol=n_columns, scales="free_y")
        + scale_color_manual(palette)
        + labs(x="recall", y="", color="")
        + style(
            width=3.4 * n_columns + 2,
            height=max(1.6, 0.22 * most_classes + 1) * n_rows(n_panels, n_columns) + 0.4,
        )
    )

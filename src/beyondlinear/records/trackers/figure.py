"""The figure that trackers show of a run."""

import io
import logging
from collections.abc import Sequence

import numpy as np

from beyondlinear.records.record import FitRecord

_LABELS = {None: "mean", True: "mean, pretrained", False: "mean, not pretrained"}


def draw_run(records: Sequence[FitRecord]) -> bytes | None:
    """Balanced accuracy of each fit against its training samples, their mean, and the naive
    baseline; a PNG.

    :returns: None where no fit is done
    """
    done = [r for r in records if r.get("status") == "done"]
    if not done:
        return None
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells of its font cache
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for pretrained, label in _LABELS.items():
        fits = [r for r in done if r.get("pretrained") is pretrained]
        if not fits:
            continue
        n_train = np.array([r["counts"]["n_outer_train"] for r in fits])
        accuracy = np.array([r["metrics"]["balanced_accuracy"] for r in fits], dtype=np.float64)
        fractions = np.array([r["fraction"] for r in fits])
        (dots,) = axes.plot(n_train, accuracy, "o", alpha=0.4)
        each_fraction = [fractions == fraction for fraction in np.unique(fractions)]
        axes.plot(
            [n_train[same].mean() for same in each_fraction],
            [accuracy[same].mean() for same in each_fraction],
            "-s",
            color=dots.get_color(),
            label=label,
        )
    naive = 1 / done[0]["counts"]["n_classes"]
    axes.axhline(naive, color="grey", linestyle="--", label="naive")
    names = done[0]["names"]
    axes.set(xlabel="training samples", ylabel="balanced accuracy", ylim=(0, 1.02))
    axes.set_title(
        f"{names['dataset']}, {names['model']}, removal {names['signal_removal']}",
        fontsize="medium",
    )
    axes.legend(loc="lower right", fontsize="small")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()

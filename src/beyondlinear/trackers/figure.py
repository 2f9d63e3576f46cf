"""The figure that trackers show of a run."""

import io
import logging
from typing import Any

import numpy as np


def draw_run(records: list[dict[str, Any]]) -> bytes | None:
    """Balanced accuracy of each fit against its training samples, their mean, and the naive baseline; a PNG.

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
    for pretrained in sorted({str(r.get("pretrained")) for r in done}):
        fits = [r for r in done if str(r.get("pretrained")) == pretrained]
        n = np.array([r["counts"]["n_train"] for r in fits])
        reached = np.array([r["metrics"]["balanced_accuracy"] for r in fits])
        sizes = {
            f: [i for i, r in enumerate(fits) if r["fraction"] == f] for f in sorted({r["fraction"] for r in fits})
        }
        name = {"None": "mean", "True": "mean, pretrained", "False": "mean, not pretrained"}[pretrained]
        dots = axes.plot(n, reached, "o", alpha=0.4)
        means = [(n[i].mean(), reached[i].mean()) for i in sizes.values()]
        axes.plot(*zip(*means, strict=True), "-s", color=dots[0].get_color(), label=name)
    axes.axhline(1 / done[0]["counts"]["n_classes"], color="grey", linestyle="--", label="naive")
    names = done[0]["names"]
    axes.set(xlabel="training samples", ylabel="balanced accuracy", ylim=(0, 1.02))
    axes.set_title(f"{names['dataset']}, {names['model']}, removal {names['signal_removal']}", fontsize="medium")
    axes.legend(loc="lower right", fontsize="small")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
